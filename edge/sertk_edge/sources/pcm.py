"""Raw samples on standard input: `arecord -t raw … | sertk serve-edge B --source -`."""

from __future__ import annotations

import os
import select
import time
from collections.abc import AsyncGenerator, Generator
from typing import ClassVar

from ser_toolkit.runtime.audio.recording import RATES_HZ
from ser_toolkit.runtime.errors import SertkError

from .base import BLOCK_S, Chunk, Gap, Source, chunk_of_pcm
from .threaded_iterator import ThreadedIterator

RATE_HZ = 16_000
HEADS = {b"RIFF": "a WAV file", b"fLaC": "a FLAC file", b"OggS": "an Ogg file"}
RAW = "Pipe raw sound in: arecord -t raw -f S16_LE -r 16000 -c 1 | sertk serve-edge … --source -"


class PcmSource(Source):
    """Interleaved signed 16-bit little-endian samples from a descriptor, until it ends.

    Whoever writes waits while nobody reads. Raises SertkError at once for a terminal.
    """

    kind: ClassVar[str] = "pcm"

    def __init__(self, rate_hz: int = 0, channels: int = 0, fd: int = 0) -> None:
        super().__init__("standard input")
        self.rate_hz, self.channels = rate_hz or RATE_HZ, channels or 1
        if self.rate_hz not in RATES_HZ:
            raise SertkError(f"a sample rate of 1000 Hz at least expected, received {rate_hz}")
        self._fd = fd
        _check_input(fd)
        self._pump = ThreadedIterator(self._frames())

    async def chunks(self) -> AsyncGenerator[Chunk | Gap, None]:
        """Yield what comes in, as it comes; half a frame waits for its other half."""
        self.say("waiting", "nothing has come yet")
        try:
            async for pcm in self._pump:
                self.say("ok", f"{self.rate_hz} Hz, {self.channels} channel(s)")
                yield chunk_of_pcm(pcm, self.channels, self.rate_hz, time.time())
        finally:
            self._pump.close()
            self.say("ended")

    async def close(self) -> None:
        """End the iteration, even while nothing comes."""
        self._pump.close()

    def _frames(self) -> Generator[bytes, None, None]:
        """Yield whole frames; what is left of the last one at the end is dropped. Raises
        SertkError.
        """
        frame = 2 * self.channels
        n, rest, known = frame * round(self.rate_hz * BLOCK_S), b"", False
        found = False
        while data := _read(self._fd, n):
            rest += data
            if not known and len(rest) >= 4:
                _check_head(rest)
                known = True
            whole = len(rest) - len(rest) % frame
            if known and whole:
                yield rest[:whole]
                rest, found = rest[whole:], True
        if not found:
            raise SertkError("standard input has no sample: raw sound expected", RAW)


def _read(fd: int, n: int) -> bytes:
    # Not through sys.stdin: a thread that waits in it keeps the interpreter from exiting.
    while True:
        try:
            return os.read(fd, n)
        except BlockingIOError:
            select.select([fd], [], [])


def _check_input(fd: int) -> None:
    try:
        terminal = os.isatty(fd)
        os.read(fd, 0)
    except OSError:
        raise SertkError("standard input is closed; raw sound expected", RAW) from None
    if terminal:
        raise SertkError("standard input is a terminal; raw sound expected", RAW)


def _check_head(data: bytes) -> None:
    # `arecord` writes a WAV file unless it is told not to.
    if (what := HEADS.get(data[:4])) is not None:
        raise SertkError(f"standard input is {what}; raw sound expected", RAW)
