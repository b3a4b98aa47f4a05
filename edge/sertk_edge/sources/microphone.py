"""A microphone, read by a child process that is replaced for ever when it fails."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features.base import F32
from ser_toolkit.runtime.process import ProcessError, describe_end, output_lines

from .base import Chunk, Gap, Source, chunk_of_pcm, done_within

DELAYS_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
WELL_S = 1.0
OPENS_S = 10.0
DIES_S = 2.0
MAX_FRAME = 1 << 20
HEAD = struct.Struct("<cI")
TIME = struct.Struct("<d")
KINDS = (b"I", b"A", b"O", b"E")
GARBAGE = "the capture process does not keep to its protocol"
CHILD = Path(__file__).with_name("capture.py")
Frame = tuple[bytes, bytes]


class SourceLostError(Exception):
    """Why no sound comes, for a person."""


@dataclass(frozen=True)
class InputDevice:
    """A microphone that PortAudio lists."""

    index: int
    name: str
    channels: int
    rate_hz: int
    default: bool


@dataclass(frozen=True)
class Opened:
    """How the child has opened the device."""

    device: str
    rate_hz: int
    channels: int


class Microphone(Source):
    """A microphone by name, part of a name, or index; `None` is the default one.

    0 for rate and channels means the device's own. It never ends by itself: what fails is opened
    anew, soon at first, then every 10 s. `command` stands in for the child process.
    """

    kind: ClassVar[str] = "microphone"

    def __init__(
        self,
        device: str | None = None,
        rate_hz: int = 0,
        channels: int = 0,
        stall_s: float = 3.0,
        command: Sequence[str] | None = None,
    ) -> None:
        super().__init__(device or "default microphone", realtime=True)
        self.stall_s = stall_s
        self._command = command or capture_command(device, rate_hz, channels)
        self._closing = asyncio.Event()
        self._process: Process | None = None
        self._opened: Opened | None = None
        self._opened_at_s = 0.0
        self._last_chunk_at_s: float | None = None
        self._n_failures = 0

    async def chunks(self) -> AsyncGenerator[Chunk | Gap, None]:
        """Yield sound, and a Gap wherever some is missing, until `close`."""
        try:
            while not self._closing.is_set():
                if (item := await self._next()) is not None:
                    yield item
        finally:
            await self._end()
            self.say("ended")

    async def record(self, seconds: float) -> Chunk:
        """Open the device once and return so much sound, for a check. Raises SertkError."""
        pieces: list[F32] = []
        try:
            opened = await self._open()
            while sum(map(len, pieces)) < seconds * opened.rate_hz:
                item = _item(await self._frame(self.stall_s), opened)
                if isinstance(item, Chunk):
                    self._well(opened)
                    pieces.append(item.samples)
        except SourceLostError as lost:
            raise SertkError(str(lost)) from lost
        finally:
            await self._end()
        return Chunk(np.concatenate(pieces), opened.rate_hz, time.time())

    async def close(self) -> None:
        """Let go of the device; the iteration ends."""
        self._closing.set()
        _kill(self._process)

    async def _next(self) -> Chunk | Gap | None:
        """Return the next item; None where there was no sound before it failed, nor now."""
        try:
            opened = self._opened or await self._open()
            item = _item(await self._frame(self.stall_s), opened)
        except SourceLostError as lost:
            return await self._lose(str(lost))
        if isinstance(item, Chunk):
            self._well(opened)
        return item

    async def _open(self) -> Opened:
        """Return a new child with an open device, after a rest that grows with the failures."""
        if self._n_failures:
            delay_s = DELAYS_S[min(self._n_failures, len(DELAYS_S)) - 1]
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._closing.wait(), delay_s)
        if self._closing.is_set():
            raise SourceLostError("closed")
        self._process = await _started(self._command)
        self._opened = _opened(await self._frame(max(OPENS_S, self.stall_s)))
        self._opened_at_s = time.monotonic()
        return self._opened

    async def _frame(self, limit_s: float) -> Frame:
        """Read the next frame.

        Raises SourceLostError where it is no frame, an error, the end, or too late.
        """
        process = self._process
        assert process is not None and process.stdout is not None
        read = asyncio.ensure_future(_read_frame(process.stdout))
        try:
            if not await done_within(read, limit_s):
                raise SourceLostError(f"nothing came from the microphone for {limit_s:g} s")
        finally:
            read.cancel()
        if (frame := read.result()) is None:
            raise SourceLostError(f"the capture process {await _ended(process)}")
        return frame

    async def _lose(self, why: str) -> Gap | None:
        was_open = self._opened is not None
        was_well = was_open and (self._last_chunk_at_s or 0.0) - self._opened_at_s > WELL_S
        await self._end()
        if self._closing.is_set():
            return None
        self._n_failures = 1 if was_well else self._n_failures + 1
        self.say("waiting" if self._last_chunk_at_s is None else "lost", why)
        return Gap(why, None) if was_open else None

    def _well(self, opened: Opened) -> None:
        now_s = time.monotonic()
        if self.status.state != "ok":
            how = f"{opened.rate_hz} Hz, {opened.channels} channel(s)"
            if self._last_chunk_at_s is not None:
                how += f", back after {now_s - self._last_chunk_at_s:.1f} s"
            self.say("ok", how, opened.device)
        self._last_chunk_at_s = now_s

    async def _end(self) -> None:
        """Kill the child; one that the kernel does not let go of is left behind."""
        process, self._process, self._opened = self._process, None, None
        _kill(process)
        if process is not None:
            # What it still sent is read, because asyncio closes no pipe that holds something.
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.communicate(), DIES_S)


def capture_command(
    device: str | None = None, rate_hz: int = 0, channels: int = 0, only_list: bool = False
) -> list[str]:
    """Return how the child process is started.

    Isolated, because the folder of the file holds modules that have names of other packages.
    """
    job = {"device": device, "rate_hz": rate_hz, "channels": channels, "list": only_list}
    return [sys.executable, "-I", str(CHILD), json.dumps({**job, "path": sys.path})]


def list_devices() -> list[InputDevice]:
    """Return the microphones there are. Raises SertkError without PortAudio."""
    content, end = b"", "sent no list"
    try:
        for line in output_lines(capture_command(only_list=True), OPENS_S):
            content += line
    except ProcessError as error:
        end = str(error)
    kind, length = HEAD.unpack(content[: HEAD.size].ljust(HEAD.size, b"\0"))
    payload = content[HEAD.size : HEAD.size + length]
    if kind == b"E":
        raise SertkError(**json.loads(payload))
    if kind != b"L":
        raise SertkError(f"the capture process {end}", "Restart the sound server")
    return [InputDevice(**device) for device in json.loads(payload)]


async def _started(command: Sequence[str]) -> Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise SourceLostError(f"the capture process does not start: {error}") from error


async def _read_frame(stream: asyncio.StreamReader) -> Frame | None:
    """Read a frame; None at the end.

    Raises SourceLostError for what is no frame, or reports an error.
    """
    try:
        kind, length = HEAD.unpack(await stream.readexactly(HEAD.size))
        if kind not in KINDS or length > MAX_FRAME:
            raise SourceLostError(GARBAGE)
        payload = await stream.readexactly(length)
    except asyncio.IncompleteReadError:
        return None
    if kind == b"E":
        raise SourceLostError(str(SertkError(**_fields(payload, "problem", "todo"))))
    return kind, payload


def _opened(frame: Frame) -> Opened:
    kind, payload = frame
    if kind != b"I":
        raise SourceLostError(GARBAGE)
    opened = Opened(**_fields(payload, "device", "rate_hz", "channels"))
    if not all(isinstance(n, int) and n > 0 for n in (opened.rate_hz, opened.channels)):
        raise SourceLostError(GARBAGE)
    return opened


def _item(frame: Frame, opened: Opened) -> Chunk | Gap:
    kind, payload = frame
    if kind == b"O":
        n_lost = _fields(payload, "lost")["lost"]
        lost_s = n_lost / opened.rate_hz if isinstance(n_lost, int) else None
        return Gap("sound came faster than it was taken", lost_s)
    pcm = payload[TIME.size :]
    if kind != b"A" or len(payload) < TIME.size or len(pcm) % (2 * opened.channels):
        raise SourceLostError(GARBAGE)
    (time_s,) = TIME.unpack_from(payload)
    return chunk_of_pcm(pcm, opened.channels, opened.rate_hz, time_s)


def _fields(payload: bytes, *names: str) -> dict[str, Any]:
    """Return a JSON object with just these fields."""
    try:
        value = json.loads(payload)
    except ValueError:
        value = None
    if not isinstance(value, dict) or set(value) != set(names):
        raise SourceLostError(GARBAGE)
    return value


def _kill(process: Process | None) -> None:
    if process is not None and process.returncode is None:
        # Not `process.kill`: it may take the exit status away from the loop, which then complains.
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


async def _ended(process: Process) -> str:
    """Wait for the end, but not for ever, and say what it was."""
    try:
        return describe_end(await asyncio.wait_for(process.wait(), DIES_S))
    except asyncio.TimeoutError:
        return "sends nothing more"
