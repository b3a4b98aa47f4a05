"""How much one client, and all of them together, may ask for."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .responses import later

# What is remembered of clients must not grow with their number.
MOST_CLIENTS = 1024
FULL_WAIT_S = 5.0


class RateLimiter:
    """So many requests per minute of each client, in bursts of as many (a token bucket each)."""

    def __init__(
        self, per_minute: float, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = max(1.0, per_minute)
        self._per_s = self._most / 60
        self._what = what
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, address: str | None) -> None:
        """Raise HttpError (429) for a client that has used up what it may ask for."""
        if (missing := 1 - self._level(client_of(address))) > 0:
            message = f"too many {self._what}; at most {self._most:g} per minute"
            raise later(429, message, missing / self._per_s)

    def spend(self, address: str | None) -> None:
        """Count a request. Raises as `check` does, and then counts none."""
        self.check(address)
        client = client_of(address)
        self._buckets[client] = (self._level(client) - 1, self._clock())
        self._buckets.move_to_end(client)
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)

    def _level(self, client: str) -> float:
        level, at = self._buckets.get(client, (self._most, 0.0))
        return min(self._most, level + (self._clock() - at) * self._per_s)


class Slots:
    """A number of places; who finds none is sent away until later."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self.taken = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one. Raises HttpError (503) where all are taken."""
        if self.taken >= self._most:
            raise later(503, f"{self.taken} {self._what}; no more at once", FULL_WAIT_S)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


def client_of(address: str | None) -> str:
    """Return one client: an IPv4 address, or the /64 that an IPv6 network gives to one customer."""
    try:
        ip = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
