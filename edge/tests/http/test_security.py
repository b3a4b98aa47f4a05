"""Who is answered and who is not."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from ser_toolkit.runtime.errors import SertkError
from sertk_edge.http.app import check
from sertk_edge.http.responses import HttpError
from sertk_edge.http.security import SLOWED_S, Security, Token, read_token
from sertk_edge.settings import HttpSettings, WrongUsageError
from sertk_edge.sinks.base import read_secret

TOKEN = "a-token-for-the-tests"
REQUEST = make_mocked_request("GET", "/v1/state")
PATHS = ("/", "/healthz", "/v1/state", "/v1/events", "/v1/listen", "/nothing", "/metrics")


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
def guarded(serving: Any, token_file: Path) -> Any:
    return serving(token_file=token_file)


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def login(site: Any, token: str, **headers: str) -> Any:
    named = {"Content-Type": "application/json", **headers}
    return site.ask("POST", "/v1/session", json.dumps({"token": token}), named)


def refused_address(settings: HttpSettings) -> str:
    with pytest.raises(SertkError) as error:
        check(settings)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("host", ["evil.example", "localhost.", "127.0.0.1.evil.example", "[::2]"])
def test_a_name_that_is_not_ours_is_refused(site: Any, host: str) -> None:
    for path in PATHS:
        for name in (host, f"{host}:{site.port}"):
            answer = site.get(path, Host=name)
            assert answer.status == 421
            assert "not listed" in answer.message


def test_names_of_this_machine_and_listed_ones_are_answered(serving: Any) -> None:
    site = serving(allowed_hosts=("pi.local", "2001:db8::7", "[2001:db8::8]", "kitchen"))
    for name in ("localhost", "LOCALHOST:1", "127.0.0.1:8642", "[::1]", "pi.local", "Kitchen:80"):
        assert site.get("/healthz", Host=name).status == 200
    assert site.get("/healthz", Host="[2001:db8::7]:8642").status == 200
    assert site.get("/healthz", Host="[2001:DB8::8]").status == 200
    for name in ("", "pi.local:", "pi.local:x", "a b", "pi.local@evil.example", "[kitchen]"):
        assert site.get("/healthz", Host=name).status in (400, 421)


def test_pages_of_other_origins_are_refused(site: Any, wav: bytes) -> None:
    ours = f"127.0.0.1:{site.port}"
    foreign = (
        "http://evil.example",
        f"https://{ours}",
        f"http://localhost:{site.port}",
        f"http://127.0.0.1:{site.port + 1}",
        "http://127.0.0.1",
        "null",
        "",
    )
    for origin in foreign:
        for path in PATHS:
            assert site.get(path, Host=ours, Origin=origin).status == 403
        headers = {"Origin": origin, "Content-Type": "audio/wav"}
        assert site.ask("POST", "/v1/classify", wav, headers).status == 403
    assert site.get("/v1/state", Host=ours, Origin=f"http://{ours}").status == 200
    assert site.get("/v1/state", Host="localhost", Origin="http://localhost:80").status == 200


def test_pages_of_other_sites_are_refused_though_they_send_no_origin(site: Any) -> None:
    page = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    for other in ("cross-site", "same-site", "what"):
        for path in PATHS:
            assert site.get(path, Sec_Fetch_Site=other).status == 403
        assert site.get("/", Sec_Fetch_Site=other, **page).status == 200
        assert site.get("/v1/state", Sec_Fetch_Site=other, **page).status == 403
        frame = {**page, "Sec_Fetch_Dest": "iframe"}
        assert site.get("/", Sec_Fetch_Site=other, **frame).status == 403
    for friend in ("same-origin", "none"):
        assert site.get("/v1/state", Sec_Fetch_Site=friend).status == 200


def test_with_a_token_everything_but_the_page_and_the_checks_needs_it(guarded: Any) -> None:
    for path in ("/", "/page.js", "/healthz", "/readyz"):
        assert guarded.get(path).status == 200
    for path in ("/v1/state", "/v1/model", "/v1/events", "/v1/listen", "/metrics", "/nothing"):
        answer = guarded.get(path)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert "token" in answer.message
    assert guarded.classify(b"").status == 401
    for path in ("/v1/state", "/v1/model", "/v1/openapi.json", "/metrics"):
        assert guarded.ask("GET", path, headers=bearer()).status == 200
    lower = {"Authorization": f"bearer  {TOKEN} "}
    assert guarded.ask("GET", "/v1/state", headers=lower).status == 200


@pytest.mark.parametrize(
    "given", ["Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN[:-1]}", "Bearer \xe4"]
)
def test_nothing_but_the_token_opens(guarded: Any, given: str) -> None:
    assert guarded.ask("GET", "/v1/state", headers={"Authorization": given}).status == 401


def test_a_browser_signs_in_once(guarded: Any) -> None:
    wrong = login(guarded, TOKEN + "x")
    assert (wrong.status, wrong.headers["Set-Cookie"]) == (401, None)
    answer = login(guarded, TOKEN)
    assert (answer.status, answer.body) == (204, b"")
    cookie = answer.headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/"))
    assert "Secure" not in cookie and TOKEN not in cookie
    value = cookie.partition(";")[0]
    assert guarded.get("/v1/state", Cookie=value).status == 200
    assert guarded.get("/v1/state", Cookie=value[:-1]).status == 401
    assert guarded.get("/v1/state", Cookie=f"sertk={TOKEN}").status == 401


def test_a_foreign_page_cannot_sign_a_browser_in_or_use_its_cookie(guarded: Any) -> None:
    assert login(guarded, TOKEN, Origin="http://evil.example").status == 403
    cookie = login(guarded, TOKEN).headers["Set-Cookie"].partition(";")[0]
    assert guarded.get("/v1/state", Cookie=cookie, Origin="http://evil.example").status == 403


def test_signing_in_takes_json_with_a_token_alone(site: Any) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (
        "",
        "[]",
        "{}",
        '{"token": 5}',
        '{"token": "x", "y": 1}',
        "[" * 9_000,
        "\ud83d"[:0],
    ):
        assert site.ask("POST", "/v1/session", body, headers).status == 400
    assert site.ask("POST", "/v1/session", b'"\xff', headers).status == 400
    assert (
        site.ask("POST", "/v1/session", '{"token": ""}', {"Content-Type": "text/plain"}).status
        == 415
    )
    assert site.ask("POST", "/v1/session", " " * 20_000, headers).status == 413
    assert login(site, "anything").status == 204


def test_guessing_tokens_is_slowed_down(guarded: Any) -> None:
    tries = [login(guarded, f"guess-{n}\ud800").status for n in range(5)]
    tries += [guarded.ask("GET", "/v1/state", headers=bearer("no")).status for _ in range(5)]
    assert tries == [401] * 10
    answer = login(guarded, "one-guess-more")
    assert answer.status == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 6
    # Who has the right one is never locked out.
    assert login(guarded, TOKEN).status == 204
    assert guarded.ask("GET", "/v1/state", headers=bearer()).status == 200
    assert guarded.get("/v1/state").status == 401


def test_one_more_wrong_token_is_answered_late() -> None:
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def guess(times: int) -> list[int]:
        security = Security(frozenset(), token=Token(TOKEN.encode()), sleep=sleep)
        assert security.token is not None
        found = []
        for _ in range(times):
            with pytest.raises(HttpError) as error:
                await security.check_token(REQUEST, security.token, "wrong")
            found.append(error.value.status)
        await security.check_token(REQUEST, security.token, TOKEN)
        return found

    assert asyncio.run(guess(12)) == [401] * 10 + [429] * 2
    assert slept == [SLOWED_S] * 2


def test_a_proxy_with_tls_may_show_the_page(serving: Any) -> None:
    page = {"Host": "kitchen.local", "Origin": "https://kitchen.local"}
    names = {"allowed_hosts": ("kitchen.local",)}
    assert serving(**names).get("/v1/state", **page).status == 403
    for more in (
        {"allowed_origins": ("https://kitchen.local:443/",)},
        {"trusted_proxies": ("127.0.0.0/8",)},
    ):
        site = serving(**names, **more)
        forwarded = {**page, "X-Forwarded-Proto": "https"}
        assert site.get("/v1/state", **forwarded).status == 200
        assert site.get("/v1/state", **{**forwarded, "Origin": "http://a.example"}).status == 403


def test_only_trusted_proxies_say_for_whom_they_ask(serving: Any, token_file: Path) -> None:
    proxied = serving(trusted_proxies=("127.0.0.1", "10.0.0.0/8"))
    for addresses, status in (
        ("127.0.0.1", 200),
        ("::1, 10.1.2.3", 200),
        ("192.0.2.7", 403),
        ("127.0.0.1, 192.0.2.7", 403),
        ("127.0.0.1, 192.0.2.7, 10.1.2.3", 403),
        ("unknown", 403),
        ("", 200),
    ):
        assert proxied.get("/v1/state", X_Forwarded_For=addresses).status == status, addresses
    # Of anybody else it counts for nothing.
    assert serving().get("/v1/state", X_Forwarded_For="192.0.2.7").status == 200
    # Each client behind the proxy has a count of its own.
    limited = serving(trusted_proxies=("127.0.0.1",), token_file=token_file, requests_per_minute=1)
    for client, statuses in (("192.0.2.7", [422, 429]), ("192.0.2.8", [422, 429])):
        headers = {**bearer(), "X-Forwarded-For": client}
        found = [limited.ask("POST", "/v1/classify", b"RIFF", headers).status for _ in range(2)]
        assert found == statuses
    secure = login(limited, TOKEN, **{"X-Forwarded-Proto": "https"}).headers["Set-Cookie"]
    assert "Secure" in secure and "Secure" not in login(limited, TOKEN).headers["Set-Cookie"]


def test_streams_and_sockets_go_through_a_proxy(serving: Any, token_file: Path) -> None:
    site = serving(
        trusted_proxies=("127.0.0.1",), allowed_hosts=("kitchen.local",), token_file=token_file
    )
    page = {"Host": "kitchen.local", "Origin": "https://kitchen.local"}
    headers = {**bearer(), **page, "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}

    async def asked() -> tuple[bytes, int | None]:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{site.port}") as session:
            async with session.get("/v1/events", headers=headers) as stream:
                first = await stream.content.readline()
            async with session.ws_connect("/v1/listen", headers=headers) as socket:
                await socket.send_bytes(bytes(3200))
                await socket.send_str("end")
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
                return first, socket.close_code

    assert asyncio.run(asked()) == (b"retry: 2000\n", 1000)


def test_origins_and_proxies_that_are_none_are_refused() -> None:
    for origin in ("*", "kitchen.local", "https://", "https://a/b", "ftp://a", "https://a b", ""):
        assert "allowed_origins" in refused_address(HttpSettings(allowed_origins=(origin,)))
    for proxy in ("kitchen.local", "10.0.0.1/8", "*", ""):
        assert "trusted_proxies" in refused_address(HttpSettings(trusted_proxies=(proxy,)))


def test_the_token_is_never_logged_or_shown(guarded: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    login(guarded, TOKEN)
    guarded.ask("GET", f"/v1/state?token={TOKEN}", headers=bearer())
    guarded.ask("GET", f"/v1/{TOKEN}", headers=bearer("wrong"))
    assert TOKEN not in caplog.text
    assert TOKEN not in guarded.ask("GET", "/metrics", headers=bearer()).body.decode()


def test_other_addresses_need_a_token(serving: Any, token_file: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "pi.local", ""):
        assert "no token" in refused_address(HttpSettings(host=host))
        with pytest.raises(WrongUsageError):
            check(HttpSettings(host=host))
        check(HttpSettings(host=host, token_file=token_file))
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        check(HttpSettings(host=host))
    everywhere = serving(host="0.0.0.0", token_file=token_file)
    assert everywhere.get("/v1/state").status == 401
    assert everywhere.ask("GET", "/v1/state", headers=bearer()).status == 200


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"fifteen-letters", b"two words in one line", b"x" * 5000, b"\xe4" * 20]
)
def test_a_file_that_holds_no_token_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    assert "holds no token" in refused_address(HttpSettings(token_file=path))


def test_no_command_is_proposed_that_overwrites_what_is_there(tmp_path: Path) -> None:
    taken = [tmp_path / name for name in ("my key.pem", "my key.pem.token", "my key.pem.token1")]
    for path in taken:
        path.write_text("a bundle, a key or a note")
    refused = refused_address(HttpSettings(token_file=taken[0]))
    command = refused.partition("`")[2].partition("`")[0]
    subprocess.run(["sh", "-c", command], check=True)
    made = tmp_path / "my key.pem.token2"
    check(HttpSettings(token_file=made))
    assert made.stat().st_mode & 0o077 == 0
    assert all(path.read_text() == "a bundle, a key or a note" for path in taken)


def test_a_secret_that_everybody_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    for mode, count in ((0o600, 0), (0o640, 0), (0o644, 2)):
        path.chmod(mode)
        caplog.clear()
        read_token(path)
        read_secret(str(path))
        warnings = [record.getMessage() for record in caplog.records]
        assert len(warnings) == count and all(f"chmod o-rwx {path}" in line for line in warnings)


def test_a_token_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    missing = refused_address(HttpSettings(token_file=tmp_path / "missing"))
    assert "No such file" in missing
    assert "directory" in refused_address(HttpSettings(token_file=tmp_path))
    assert "repr" not in repr(read_token_of(tmp_path)) and TOKEN not in repr(
        read_token_of(tmp_path)
    )


def read_token_of(folder: Path) -> Any:
    path = folder / "token"
    path.write_text(TOKEN)
    return read_token(path)


def test_names_that_are_none_are_refused() -> None:
    for host in ("http://pi.local", "pi.local:8642", "pi local", "*", ""):
        assert "allowed_hosts" in refused_address(HttpSettings(allowed_hosts=(host,)))
