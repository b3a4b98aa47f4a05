"""A sound file: as fast as it is taken, or at its own pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from pathlib import Path
from typing import ClassVar

from ser_toolkit.runtime.audio.decode import check_samples
from ser_toolkit.runtime.audio.recording import Recording, open_audio
from ser_toolkit.runtime.errors import AudioError
from ser_toolkit.runtime.features.base import F32

from .base import BLOCK_S, Chunk, Gap, Source, chunk_of
from .threaded_iterator import ThreadedIterator


class FileSource(Source):
    """WAV, FLAC, and what else libsndfile or ffmpeg reads; it is never in memory as a whole.

    Raises AudioError at once where the file is not there or is no sound.
    """

    kind: ClassVar[str] = "file"

    def __init__(self, path: Path, realtime: bool = False, repeat: bool = False) -> None:
        super().__init__(path.name, realtime)
        self.path, self.repeat = path, repeat
        with open_audio(path) as file:
            self.rate_hz = file.rate_hz
        self._pump = ThreadedIterator(self._blocks())

    async def chunks(self) -> AsyncGenerator[Chunk | Gap, None]:
        """Yield the file from its beginning to its end; over and over, if it is to be repeated."""
        start_s, n_samples = time.monotonic(), 0
        try:
            async for block in self._pump:
                if isinstance(block, Gap):
                    yield block
                    continue
                n_samples += len(block)
                if self.realtime:
                    await _until(start_s + n_samples / self.rate_hz)
                self.say("ok", f"{n_samples / self.rate_hz:.1f} s read")
                yield chunk_of(block, self.rate_hz, time.time())
        finally:
            self._pump.close()
            self.say("ended")

    async def close(self) -> None:
        """End the iteration."""
        self._pump.close()

    def _blocks(self) -> Generator[F32 | Gap, None, None]:
        yield from self._round()
        while self.repeat:
            yield Gap("the file begins anew", 0.0)
            yield from self._round()

    def _round(self) -> Iterator[F32]:
        with open_audio(self.path) as file:
            yield from self._all(file)

    def _all(self, file: Recording) -> Iterator[F32]:
        """Yield all blocks once. Raises AudioError where there are none."""
        name, n, n_blocks = self.path.name, max(1, round(self.rate_hz * BLOCK_S)), 0
        while len(frames := file.read(n)):
            check_samples(frames, name)
            n_blocks += 1
            yield frames
        if not n_blocks:
            raise AudioError(f"'{name}' has no samples")


async def _until(moment_s: float) -> None:
    """Sleep until a moment of the monotonic clock: what is late once does not stay late."""
    await asyncio.sleep(max(0.0, moment_s - time.monotonic()))
