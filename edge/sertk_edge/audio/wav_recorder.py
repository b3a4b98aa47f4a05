"""Write audio to disk: for finding faults, never on by itself."""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from ser_toolkit.runtime.errors import SertkError

from ..sources.base import Chunk

FILE_S = 600.0
CHOOSE_FOLDER = "Choose another --debug-audio-dir"


class WavRecorder:
    """Mono 16-bit WAV files of ten minutes, named by the second in which they begin, mode 0600."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: Any = None
        self._rate_hz = 0
        self._left = 0.0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SertkError(
                f"cannot record to '{folder}': {error.strerror}", CHOOSE_FOLDER
            ) from error

    def check(self) -> None:
        """Raise SertkError where no file can be made there."""
        try:
            TemporaryFile(dir=self._folder).close()
        except OSError as error:
            raise SertkError(
                f"cannot record to '{self._folder}': {error.strerror}", CHOOSE_FOLDER
            ) from error

    def write(self, chunk: Chunk) -> None:
        """Append a chunk. Raises OSError or soundfile's error where the disk is full."""
        if self._file is None or chunk.rate_hz != self._rate_hz or self._left <= 0:
            self._next(chunk.rate_hz)
        self._file.write(chunk.samples)
        self._left -= len(chunk.samples) / chunk.rate_hz

    def close(self) -> None:
        """Complete the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _next(self, rate_hz: int) -> None:
        import soundfile

        self.close()
        name = time.strftime("%Y%m%d-%H%M%S") + f"-{time.monotonic_ns() % 1000:03}.wav"
        path = self._folder / name
        # For its owner alone, in a folder that was there and is open to others, too.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._file = soundfile.SoundFile(path, "w", rate_hz, 1, subtype="PCM_16")
        self._rate_hz, self._left = rate_hz, FILE_S
