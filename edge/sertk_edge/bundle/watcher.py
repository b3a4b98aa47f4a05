"""The bundle that answers, and its replacement while the daemon runs."""

from __future__ import annotations

import asyncio
import hashlib
import stat
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ser_toolkit.bundles import open_bytes
from ser_toolkit.runtime.archive import BundleError
from ser_toolkit.runtime.bundle import parse_bundle, read_bytes
from ser_toolkit.runtime.classifier import Classifier
from ser_toolkit.runtime.errors import SertkError

from ..service.text import error_text
from ..service.worker_thread import in_thread
from ..settings import BundleSettings

# A file that is being copied changes within this time.
SETTLED_S = 0.5
FileStamp = tuple[str, int, int, int]


@dataclass(frozen=True, eq=False)
class LoadedBundle:
    """A bundle that has passed every check; `content` is its bytes, to open it again."""

    classifier: Classifier
    content: bytes
    sha256: str
    signed: bool
    loaded_time_s: float


@dataclass(frozen=True)
class RejectedBundle:
    """A bundle that was not taken, and why, in one line."""

    file: str
    reason: str
    time_s: float


def read(path: Path, settings: BundleSettings) -> bytes:
    """The bytes of a file that lies in the configured folder, links resolved. Raises SertkError."""
    return content_of(located(path, settings), settings)


def load(
    content: bytes, settings: BundleSettings, labels: Sequence[str] | None = None
) -> LoadedBundle:
    """Check a bundle and try it in a child process. Raises SertkError.

    With `labels` it must have the same emotions, in any order, unless the settings let it have
    others.
    """
    key = _key(settings)
    found = parse_bundle(content, key).manifest.labels
    if labels is not None and not settings.allow_new_labels and set(found) != set(labels):
        raise BundleError(
            f"the bundle tells {', '.join(found)}, the one that it replaces {', '.join(labels)}",
            "Restart the daemon with it, or set bundle.allow_new_labels",
        )
    classifier = open_bytes(content, key, settings.threads)
    digest = hashlib.sha256(content).hexdigest()
    return LoadedBundle(classifier, content, digest, key is not None, time.time())


def reopen(live: LoadedBundle, threads: int = 1) -> Classifier:
    """Another classifier of a bundle that has passed: for another thread."""
    return open_bytes(live.content, threads=threads, check=False)


def located(path: Path, settings: BundleSettings) -> Path:
    """Where the bundle really lies; BundleError outside the configured folder."""
    try:
        folder = (settings.directory or path.parent).resolve()
        real = path.resolve()
    # Links that lead in a circle, a name with a null byte.
    except (OSError, RuntimeError, ValueError) as error:
        raise BundleError(f"cannot find '{path.name}': {error}", "Check the path") from error
    if not real.is_relative_to(folder):
        raise BundleError(
            f"'{path.name}' leads out of the folder of bundles",
            "Copy the file there, or set bundle.directory",
        )
    return real


def content_of(path: Path, settings: BundleSettings) -> bytes:
    """The bytes of the file; BundleError for one that never ends, or fills the memory of a Pi."""
    try:
        found = path.stat()
    except OSError:
        return read_bytes(path)  # which says why not
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise BundleError(f"'{path.name}' is no regular file", "Check the path")
    if found.st_size > settings.max_bytes:
        size, most = found.st_size >> 20, settings.max_bytes >> 20
        raise BundleError(
            f"'{path.name}' has {size} MiB, at most {most} expected",
            "Check the path, or set bundle.max_bytes",
        )
    return read_bytes(path)


class BundleWatcher:
    """Notices that the file was exchanged, and tries what is there now."""

    def __init__(self, path: Path, settings: BundleSettings) -> None:
        self._path = path
        self._settings = settings
        self._live: LoadedBundle | None = None
        self._seen: FileStamp | None = None
        self._nudged = asyncio.Event()

    def first(self) -> LoadedBundle:
        """What is there at the start. Raises SertkError."""
        # Before it is read: what comes while it is read and tried is another one.
        self._seen = file_stamp(self._path)
        self._live = load(read(self._path, self._settings), self._settings)
        return self._live

    def nudge(self) -> None:
        """Look now, even at a file that looks the same (SIGHUP)."""
        self._nudged.set()

    async def changes(self) -> AsyncIterator[LoadedBundle | RejectedBundle | None]:
        """Each file that is there anew: what may answer from now on, or why it may not.

        None where it is the one that answers already.
        """
        while True:
            asked = await self._wait()
            if asked or file_stamp(self._path) != self._seen:
                self._seen = await self._settled()
                yield await in_thread(self._try, "bundle")

    async def _wait(self) -> bool:
        """Until it is time to look; whether somebody asked for it."""
        try:
            await asyncio.wait_for(self._nudged.wait(), self._settings.watch_s or None)
        except asyncio.TimeoutError:
            return False
        self._nudged.clear()
        return True

    async def _settled(self) -> FileStamp | None:
        """The file once it no longer changes."""
        before = file_stamp(self._path)
        while True:
            await asyncio.sleep(SETTLED_S)
            if (now := file_stamp(self._path)) == before:
                return now
            before = now

    def _try(self) -> LoadedBundle | RejectedBundle | None:
        assert self._live is not None
        try:
            content = read(self._path, self._settings)
            if content == self._live.content:
                return None
            live = load(content, self._settings, self._live.classifier.labels)
        except (SertkError, OSError) as error:
            return self._rejected(" ".join(str(error).split()))
        # Whatever else goes wrong with a new one, in a plugin or for want of memory.
        except Exception as error:
            return self._rejected(error_text(error))
        self._live = live
        return live

    def _rejected(self, reason: str) -> RejectedBundle:
        return RejectedBundle(self._path.name, reason, time.time())


def file_stamp(path: Path) -> FileStamp | None:
    """What tells one file from another without reading it; None where there is none."""
    try:
        real = path.resolve()
        found = real.stat()
    except (OSError, RuntimeError):
        return None
    return str(real), found.st_ino, found.st_size, found.st_mtime_ns


def _key(settings: BundleSettings) -> bytes | None:
    if settings.public_key is None:
        return None
    try:
        return settings.public_key.read_bytes()
    except OSError as error:
        raise SertkError(
            f"cannot read the key '{settings.public_key}': {error.strerror}", "Check the path"
        ) from error
