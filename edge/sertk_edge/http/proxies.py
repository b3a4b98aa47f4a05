"""Proxies in front of the daemon: whom they speak for, and how they were reached."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from ..settings import WrongUsageError

SCHEMES = ("http", "https")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Proxies:
    """Those whose X-Forwarded-For and X-Forwarded-Proto are believed; of others they count for
    nothing.
    """

    networks: tuple[Network, ...] = ()

    def include(self, address: str) -> bool:
        """Say whether an address is that of a trusted proxy."""
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(ip in network for network in self.networks)

    def unwrapped(self, request: web.Request) -> web.Request:
        """Return the request as the client sent it to the proxy: its address, its scheme."""
        if not self.include(request.remote or ""):
            return request
        schemes = _listed(request, "X-Forwarded-Proto")
        scheme = schemes[-1].lower() if schemes else ""
        return request.clone(
            remote=self._client(_listed(request, "X-Forwarded-For"), request.remote or ""),
            scheme=scheme if scheme in SCHEMES else request.scheme,
        )

    def _client(self, addresses: Sequence[str], proxy: str) -> str:
        """Return the last address that is no proxy of ours: what stands before it, anyone wrote."""
        return next((each for each in reversed(addresses) if not self.include(each)), proxy)


NO_PROXIES = Proxies()


def proxies_of(texts: Sequence[str]) -> Proxies:
    """Return the proxies of a setting: addresses and networks. Raises WrongUsageError."""
    return Proxies(tuple(map(_network, texts)))


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        todo = "Give addresses or networks, such as 127.0.0.1 or 10.0.0.0/8"
        raise WrongUsageError(f"trusted_proxies has '{text}'", todo) from error


def _listed(request: web.Request, name: str) -> list[str]:
    values = ",".join(request.headers.getall(name, []))
    return [part.strip() for part in values.split(",") if part.strip()]
