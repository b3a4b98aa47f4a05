"""Who the device is, and where it keeps what must not be lost."""

from __future__ import annotations

import errno
import os
import re
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path

from ser_toolkit import SertkError, write_text

from ..settings import DeviceSettings, usage

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
ID_FILE = "device-id"


class ReadOnlyFolderError(SertkError):
    """A folder that cannot be written to, now; it may be later."""


def state_dir(settings: DeviceSettings, env: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the settings, else systemd's, else one below the user's home."""
    if settings.state_dir is not None:
        return settings.state_dir
    # systemd gives several folders separated by colons.
    if given := env.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(given)
    base = env.get("XDG_STATE_HOME") or _home() / ".local/state"
    return Path(base) / "sertk"


def prepared(folder: Path) -> Path:
    """Return the folder, made where it is not there, for its owner's eyes.

    Raises ReadOnlyFolderError where nothing can be written there, SertkError where it is no folder.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        read_only = getattr(error, "errno", None) in READ_ONLY
        raise (ReadOnlyFolderError if read_only else SertkError)(
            f"the state folder '{folder}' cannot be used: {why}", "Choose another with --state-dir"
        ) from error
    return folder


def name_of(settings: DeviceSettings) -> str:
    """Return the name that people see."""
    return settings.name or socket.gethostname().split(".")[0] or "sertk"


def device_id(settings: DeviceSettings, folder: Path | None) -> str:
    """Return the id that programs see: from the settings, or made once and kept.

    Where it cannot be kept it is one of the host's name, so that the next start has the same.
    Raises SertkError.
    """
    if settings.id:
        with usage():
            return _checked(settings.id, "device.id")
    if folder is None:
        return "sertk"
    path = folder / ID_FILE
    try:
        # What a power cut left empty is made anew: nobody is there to delete it.
        known = path.read_text("utf-8", errors="replace").strip() if path.is_file() else ""
    except OSError as error:
        problem = f"cannot read '{path}': {error.strerror}"
        raise SertkError(problem, "Set --device-id, or choose another --state-dir") from error
    if known:
        return _checked(known, str(path))
    made = uuid.uuid4().hex[:12]
    try:
        write_text(path, made + "\n")
    except OSError:
        return uuid.uuid5(uuid.NAMESPACE_DNS, socket.gethostname()).hex[:12]
    return made


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise SertkError(
            "this user has no home folder for the state", "Give --state-dir"
        ) from error


def _checked(text: str, where: str) -> str:
    if not ID.fullmatch(text):
        raise SertkError(
            f"'{where}' expects up to 64 letters, digits, '-' and '_', received {text!r:.80}"
        )
    return text
