"""Who may ask: the names we are called by, the pages that may call us, the token."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import shlex
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from aiohttp import web

from ser_toolkit.runtime.errors import SertkError

from ..service.secret_file import warn_if_exposed
from ..settings import HttpSettings, WrongUsageError, is_loopback
from .limits import RateLimiter
from .proxies import NO_PROXIES, Proxies, proxies_of
from .responses import HttpError

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::([0-9]{1,5}))?", re.IGNORECASE)
ORIGIN = re.compile(r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
COOKIE = "sertk"
COOKIE_DAYS = 90
SHORTEST_TOKEN = 16
LONGEST_TOKEN = 4096
LOGINS_PER_MINUTE = 10
# How long an answer to one more wrong token takes, which also holds one of the client's places.
SLOWED_S = 1.0
# Pages of other programs on this machine are of the same site, but not ours.
TRUSTED_SITES = (None, "same-origin", "none")


@dataclass(frozen=True, eq=False, repr=False)
class Token:
    """The secret that requests must carry; it is compared in constant time, and never shown."""

    secret: bytes

    @property
    def cookie(self) -> str:
        """Return what a browser gets in its place: it opens this daemon and tells nothing of the
        token.
        """
        return hmac.new(self.secret, b"sertk page", hashlib.sha256).hexdigest()

    def fits(self, given: str) -> bool:
        """Say whether this is the token."""
        return hmac.compare_digest(_digest(self.secret), _digest(_bytes(given)))

    def fits_cookie(self, given: str) -> bool:
        """Say whether a browser got this from us."""
        return hmac.compare_digest(_digest(_bytes(self.cookie)), _digest(_bytes(given)))


@dataclass(frozen=True, eq=False)
class Security:
    """What every request is checked against before it is answered."""

    names: frozenset[str]
    origins: frozenset[str] = frozenset()
    proxies: Proxies = NO_PROXIES
    token: Token | None = None
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    attempts: RateLimiter = field(
        default_factory=lambda: RateLimiter(LOGINS_PER_MINUTE, "wrong tokens")
    )
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def check(self, request: web.Request, is_open: bool) -> None:
        """Raise HttpError for a request that may not be answered; `is_open` ones need no token."""
        host = self._host(request)
        self._same_origin(request, host)
        if self.token is None:
            _from_here(request)
        elif not is_open:
            await self._authorized(request, self.token)

    def _host(self, request: web.Request) -> str:
        given = request.headers.getall("Host", [])
        found = HOST.fullmatch(given[0]) if len(given) == 1 else None
        name = (found[1] or found[2]).lower() if found else ""
        # An address cannot be made to point elsewhere, as a name can.
        if found is None or name not in self.names | {_own_address(request)}:
            raise HttpError(421, "this host name is not listed; add it to allowed_hosts")
        return _without_default(given[0].lower(), request.scheme)

    def _same_origin(self, request: web.Request, host: str) -> None:
        ours = {f"{request.scheme}://{host}", *self.origins}
        origins = {origin.lower() for origin in request.headers.getall("Origin", [])}
        if not {_without_default(origin, origin.partition(":")[0]) for origin in origins} <= ours:
            raise HttpError(403, "requests from pages of another origin are refused")
        site = request.headers.get("Sec-Fetch-Site")
        if site not in TRUSTED_SITES and not _opens_page(request):
            raise HttpError(403, "requests from pages of another site are refused")

    async def _authorized(self, request: web.Request, token: Token) -> None:
        if token.fits_cookie(request.cookies.get(COOKIE, "")):
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorized("a token is needed")
        await self.check_token(request, token, given.strip())

    async def check_token(self, request: web.Request, token: Token, given: str) -> None:
        """Raise HttpError for a wrong token (401); after too many of them late, and 429.

        The right one is taken at once, whoever else guesses at the same address.
        """
        if token.fits(given):
            return
        try:
            self.attempts.spend(request.remote)
        except HttpError:
            await self.sleep(SLOWED_S)
            raise
        raise unauthorized("the token is wrong")


def unauthorized(message: str) -> HttpError:
    """Refuse for want of a token."""
    return HttpError(401, message, {"WWW-Authenticate": 'Bearer realm="sertk"'})


def secured(settings: HttpSettings) -> Security:
    """Return the security that the settings ask for, from their files. Raises SertkError."""
    token = None if settings.token_file is None else read_token(settings.token_file)
    if token is None and not settings.is_loopback:
        raise WrongUsageError(
            f"'{settings.host}' can be reached from elsewhere, and there is no token",
            "Give --http-token-file, or listen on 127.0.0.1",
        )
    names = {_name(host) for host in settings.allowed_hosts}
    return Security(
        LOCAL_NAMES | names,
        frozenset(map(_origin, settings.allowed_origins)),
        proxies_of(settings.trusted_proxies),
        token,
        _tls(settings),
    )


def read_token(path: Path) -> Token:
    """Return the token in a file: one line of visible ASCII. Raises SertkError."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_TOKEN + 1).strip()
    except (OSError, ValueError) as error:
        problem = f"the token file '{path}' cannot be read: {_why(error)}"
        raise SertkError(problem, "Check --http-token-file and its permissions") from error
    if not SHORTEST_TOKEN <= len(content) <= LONGEST_TOKEN or not _is_visible(content):
        raise SertkError(
            f"the token file '{path}' holds no token: one line of {SHORTEST_TOKEN} or more "
            "letters, digits and signs expected",
            f"Name a file with one: `(umask 077; openssl rand -hex 32 > {_unused(path)})`",
        )
    warn_if_exposed(path)
    return Token(content)


def _unused(path: Path) -> str:
    """Return a name beside the path where nothing is: what is there may be a bundle or a key."""
    names = (path.with_name(f"{path.name}.token{number or ''}") for number in count())
    return shlex.quote(str(next(name for name in names if not name.exists())))


def _is_visible(content: bytes) -> bool:
    return all(0x21 <= byte <= 0x7E for byte in content)


def _tls(settings: HttpSettings) -> ssl.SSLContext | None:
    cert, key = settings.tls_cert, settings.tls_key
    if cert is None and key is None:
        return None
    if cert is None:
        raise WrongUsageError("there is a TLS key but no certificate", "Give --http-tls-cert")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password of ours, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(cert, key, password="")
        warn_if_exposed(key or cert)
    except (OSError, ValueError) as error:
        files = f"'{cert}'" + (f" and '{key}'" if key else "")
        todo = "Give a certificate chain and its unencrypted key, both as PEM"
        raise SertkError(f"TLS cannot use {files}: {_why(error)}", todo) from error
    return context


def _name(host: str) -> str:
    found = HOST.fullmatch(f"[{host}]" if host.count(":") > 1 and host[0] != "[" else host)
    if found is None or found[3]:
        raise WrongUsageError(
            f"allowed_hosts has '{host}'", "Give names or addresses alone, such as pi.local"
        )
    return (found[1] or found[2]).lower()


def _origin(text: str) -> str:
    origin = text.lower().removesuffix("/")
    if not ORIGIN.fullmatch(origin):
        raise WrongUsageError(
            f"allowed_origins has '{text}'", "Give scheme and host, such as https://kitchen.local"
        )
    return _without_default(origin, origin.partition(":")[0])


def _from_here(request: web.Request) -> None:
    if not is_loopback((request.remote or "").partition("%")[0]):
        raise HttpError(403, "without a token only this machine may send requests")


def _own_address(request: web.Request) -> str:
    """Return the address that the client has reached us by."""
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return str(name[0]).partition("%")[0].lower() if name else ""


def _opens_page(request: web.Request) -> bool:
    """Say whether a person follows a link to the page."""
    kind = [request.headers.get(f"Sec-Fetch-{what}") for what in ("Mode", "Dest")]
    return request.method == "GET" and request.path == "/" and kind == ["navigate", "document"]


def _without_default(text: str, scheme: str) -> str:
    return text.removesuffix(":443" if scheme == "https" else ":80")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _digest(secret: bytes) -> bytes:
    # Of one length, so that the comparison tells nothing of the secret's.
    return hashlib.sha256(secret).digest()


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
