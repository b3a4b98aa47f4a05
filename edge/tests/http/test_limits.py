"""How often one client may ask."""

from __future__ import annotations

from typing import Any

import pytest

from sertk_edge.http.limits import MOST_CLIENTS, RateLimiter
from sertk_edge.http.responses import HttpError


def test_a_client_may_ask_so_often_and_then_at_that_pace() -> None:
    now = [100.0]
    rate = RateLimiter(6, "requests", lambda: now[0])
    for _ in range(6):
        rate.spend("192.0.2.1")
    with pytest.raises(HttpError) as error:
        rate.spend("192.0.2.1")
    assert error.value.status == 429
    assert error.value.headers == {"Retry-After": "10"}
    rate.spend("192.0.2.2")
    now[0] += 10
    rate.spend("192.0.2.1")
    with pytest.raises(HttpError):
        rate.check("192.0.2.1")


def test_one_customer_of_an_ipv6_network_is_one_client() -> None:
    rate = RateLimiter(1, "requests", lambda: 0.0)
    rate.spend("2001:db8::1")
    with pytest.raises(HttpError):
        rate.check("2001:db8::ffff:2")
    rate.check("2001:db8:0:1::1")
    rate.spend("::ffff:192.0.2.1")
    with pytest.raises(HttpError):
        rate.check("192.0.2.1")


def test_what_is_remembered_of_clients_is_bounded() -> None:
    rate = RateLimiter(1, "requests", lambda: 0.0)
    for number in range(MOST_CLIENTS + 1):
        rate.spend(f"10.0.{number >> 8}.{number & 255}")
    rate.check("10.0.0.0")
    with pytest.raises(HttpError):
        rate.check("10.0.0.1")


def test_requests_beyond_the_rate_are_told_when_to_return(serving: Any, wav: bytes) -> None:
    site = serving(requests_per_minute=2)
    assert [site.classify(wav).status for _ in range(2)] == [200, 200]
    answer = site.classify(wav)
    assert (answer.status, "2 per minute" in answer.message) == (429, True)
    assert 1 <= int(answer.headers["Retry-After"]) <= 30
    assert site.get("/v1/state").status == 200
