"""Notice that the file of the bundle was exchanged, and load what is there now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ser_toolkit.runtime.errors import SertkError

from ..service.error_text import error_text
from ..service.worker_thread import in_thread
from ..settings import BundleSettings
from .last_good import LastGood
from .loader import LoadedBundle, digest, load, read

# A file that is being copied changes within this time.
SETTLED_S = 0.5
FileStamp = tuple[str, int, int, int]


@dataclass(frozen=True)
class RejectedBundle:
    """A bundle that was not taken, and why, in one line."""

    file: str
    reason: str
    time_s: float


class BundleWatcher:
    """Notices that the file was exchanged, and tries what is there now."""

    def __init__(self, path: Path, settings: BundleSettings, folder: Path | None = None) -> None:
        """Watch `path`; a copy of the last good one is kept in `folder`, if there is one."""
        self._path = path
        self._last_good = LastGood(folder, path)
        self.rejected: RejectedBundle | None = None
        self._settings = settings
        self._live: LoadedBundle | None = None
        self._seen: FileStamp | None = None
        self._nudged = asyncio.Event()

    def first(self) -> LoadedBundle:
        """Return what is there at the start, or the last good one in its place, which sets
        `rejected`. Raises SertkError where there is neither.
        """
        # Before it is read: what comes while it is read and tried is another one.
        self._seen = file_stamp(self._path)
        try:
            self._live = self._taken(read(self._path, self._settings), self._last_good.labels())
        except Exception as error:
            self._live = self._kept()
            if self._live is None:
                raise
            self.rejected = self._rejected(error)
        return self._live

    def _kept(self) -> LoadedBundle | None:
        """Return the last good bundle; None where there is none, or it is none any more."""
        content = self._last_good.content()
        try:
            return None if content is None else load(content, self._settings)
        except Exception:
            return None

    def _taken(self, content: bytes, labels: Sequence[str] | None) -> LoadedBundle:
        live = load(content, self._settings, labels)
        self._last_good.keep(content)
        return live

    def nudge(self) -> None:
        """Look now, even at a file that looks the same (SIGHUP)."""
        self._nudged.set()

    async def changes(self) -> AsyncIterator[LoadedBundle | RejectedBundle | None]:
        """Yield each file that is there anew: what may answer from now on, or why it may not.

        None where it is the one that answers already.
        """
        while True:
            asked = await self._wait()
            if asked or file_stamp(self._path) != self._seen:
                self._seen = await self._settled()
                yield await in_thread(self._try, "bundle")

    async def _wait(self) -> bool:
        """Wait until it is time to look; say whether somebody asked for it."""
        try:
            await asyncio.wait_for(self._nudged.wait(), self._settings.watch_s or None)
        except asyncio.TimeoutError:
            return False
        self._nudged.clear()
        return True

    async def _settled(self) -> FileStamp | None:
        """Return the file once it no longer changes."""
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
            if digest(content) == self._live.sha256:
                return None
            self._live = self._taken(content, self._live.classifier.labels)
        # Whatever goes wrong with a new one, in a plugin or for want of memory, too.
        except Exception as error:
            return self._rejected(error)
        return self._live

    def _rejected(self, error: Exception) -> RejectedBundle:
        known = isinstance(error, (SertkError, OSError))
        reason = " ".join(str(error).split()) if known else error_text(error)
        return RejectedBundle(self._path.name, reason, time.time())


def file_stamp(path: Path) -> FileStamp | None:
    """Return what tells one file from another without reading it; None where there is none."""
    try:
        real = path.resolve()
        found = real.stat()
    except (OSError, RuntimeError):
        return None
    return str(real), found.st_ino, found.st_size, found.st_mtime_ns
