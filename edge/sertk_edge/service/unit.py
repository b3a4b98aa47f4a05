"""The systemd unit of the daemon: a template and what goes into it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ser_toolkit.runtime.errors import SertkError

TEMPLATE = files("sertk_edge").joinpath("service/sertk-edge.service")
HEAD = "# Written by `sertk edge install-service`"
SAFE_WORD = re.compile(r"[A-Za-z0-9_./:=,@+-]+")
UNIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
STEPS_SINCE = 254
"""The first systemd that waits longer after each failure."""


@dataclass(frozen=True)
class Unit:
    """What differs between two installations. Paths are absolute."""

    name: str
    command: tuple[str, ...]
    bundle: Path
    user: str = ""
    """Empty: systemd makes one up for as long as the service runs."""
    credentials: tuple[tuple[str, Path], ...] = ()
    home_is_read: bool = False
    systemd: int = 0

    def text(self) -> str:
        """Return the whole file. Raises SertkError for a path that no unit can name."""
        values = {
            "NAME": self.name,
            "COMMAND": " ".join(word(argument) for argument in self.command),
            "RESTART": self._restart(),
            "USER": f"User={specifier_free(self.user)}" if self.user else "DynamicUser=yes",
            "CREDENTIALS": self._credentials(),
            "HOME": "read-only" if self.home_is_read else "yes",
            "BUNDLE_DIR": word(str(self.bundle.parent)),
        }
        return filled(TEMPLATE.read_text(encoding="utf-8"), values)

    def _restart(self) -> str:
        if self.systemd >= STEPS_SINCE:
            return "RestartSec=2\nRestartSteps=8\nRestartMaxDelaySec=300"
        return "RestartSec=10"

    def _credentials(self) -> str:
        """Return lines for what systemd reads as root and shows to the daemon alone."""
        return "".join(
            f"LoadCredential={name}:{specifier_free(str(path))}\n"
            for name, path in self.credentials
        )


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return the template with @NAME@ replaced, each once: values are not looked at again."""
    return re.sub("@([A-Z_]+)@", lambda match: values[match[1]], template)


def word(text: str) -> str:
    """Return `text` as one word of a unit, where quotes, backslashes and % mean something."""
    safe = specifier_free(text)
    if SAFE_WORD.fullmatch(safe):
        return safe
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'


def specifier_free(text: str) -> str:
    """Double each %, which begins a specifier; refuse what could begin another line."""
    if not text.isprintable():
        raise SertkError(f"{text!a} cannot stand in a unit: it has control characters")
    return text.replace("%", "%%")


def checked_name(name: str) -> str:
    """Return the name of a unit without its `.service`. Raises SertkError."""
    plain = name.removesuffix(".service")
    if not UNIT_NAME.fullmatch(plain):
        raise SertkError(f"--name expects letters, digits, '-', '_' and '.', received {name!r}")
    return plain


def credential(text: str) -> tuple[str, Path]:
    """Return NAME=FILE as a pair. Raises SertkError."""
    name, _, path = text.partition("=")
    if not path or not CREDENTIAL_NAME.fullmatch(name):
        raise SertkError(f"--credential expects NAME=FILE, received {text!r}")
    return name, Path(path).absolute()


def service_command(
    sertk: Path, bundle: Path, config: Path | None, more: Sequence[str]
) -> tuple[str, ...]:
    """Return the command that the service runs."""
    options = ("--config", str(config)) if config else ()
    return (str(sertk), "serve-edge", str(bundle), *options, *more)
