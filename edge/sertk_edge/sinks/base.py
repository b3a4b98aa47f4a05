"""What sinks have in common: secrets in files, TLS, the end of standard output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.events import Sink

from ..service.secret_file import warn_if_exposed

if TYPE_CHECKING:
    from ssl import SSLContext


class StdoutClosedError(Exception):
    """Nobody reads standard output any more; there is no use in trying again."""


class ContendedError(SertkError):
    """Another client takes the connection from us as we take it from that one: wait long."""


class InspectableSink(Sink):
    """A sink whose files `--check` looks into; the daemon starts without them, and tries again."""

    def inspect(self) -> None:
        """Raise SertkError or OSError for what would fail at each connection."""
        raise NotImplementedError


def read_secret(file: str) -> str:
    """Return a password or token from a file, without the end of the line; errors do not quote
    it.
    """
    try:
        secret = Path(file).read_text("utf-8").strip()
    except UnicodeDecodeError:
        secret = ""
    if not secret or not secret.isprintable():
        todo = "Name a file with nothing but the password or token in it"
        raise SertkError(f"{file} expects one line of text", todo)
    warn_if_exposed(Path(file))
    return secret


def check_age(max_age_s: float) -> None:
    """Raise ValueError for an age that no event can have."""
    if not max_age_s >= 0:
        raise ValueError(f"max_age_s expects 0 or more, received {max_age_s:g}")


def trusting(ca_file: str) -> SSLContext:
    """Return TLS that trusts the certificates of a file; empty: those of the system."""
    import ssl

    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError as error:
        todo = "Give the certificates to trust, or leave it out for those of the system"
        raise SertkError(f"'{ca_file}' expects certificates (PEM)", todo) from error
