"""Decode with ffmpeg, where it is installed, what libsndfile does not read."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import AudioError


@dataclass(frozen=True, eq=False)
class Decoder:
    """A running ffmpeg: its samples are read from a pipe, as an AU file of 32-bit floats."""

    process: subprocess.Popen[bytes]
    path: Path
    messages: IO[bytes]

    @property
    def output(self) -> int:
        """Return the descriptor of the pipe."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def error(self) -> str:
        """Wait for the end; return the first thing that went wrong, '' for nothing."""
        self.process.wait()
        self.messages.seek(0)
        lines = self.messages.read().decode("utf-8", "replace").strip().splitlines()
        if any("matches no streams" in line for line in lines):
            return "it has no sound"
        words = lines[0] if lines else ""
        return re.sub(r"^(\[[^]]*\] )+", "", words).replace(f"file:{self.path}: ", "")


@contextmanager
def started(path: Path, shown: str, kind: str) -> Iterator[Decoder]:
    """Start ffmpeg on a file, and end it with the block.

    Args:
        path: The file.
        shown: What errors call it.
        kind: Its format, as errors name it.

    Raises:
        AudioError: Where there is no ffmpeg.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise AudioError(f"'{shown}' is {kind}, which is read with ffmpeg", advice(path))
    # A file may name others, and addresses: only this one is opened.
    source = ["-protocol_whitelist", "file", "-i", f"file:{path}", "-map", "0:a:0"]
    target = ["-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    command = [program, "-nostdin", "-hide_banner", "-loglevel", "error", *source, *target]
    with (
        tempfile.TemporaryFile() as messages,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages
        ) as process,
    ):
        try:
            yield Decoder(process, path, messages)
        finally:
            process.kill()


def advice(path: Path) -> str:
    """Return what to do about a file that needs ffmpeg."""
    return f"Install ffmpeg, or convert the file: `{conversion(path)}`"


def conversion(path: Path) -> str:
    """Return the line that makes a WAV file of another."""
    target = path.with_suffix(".wav")
    if target == path:
        target = path.with_name(f"{path.stem}-fixed.wav")
    return shlex.join(["ffmpeg", "-i", path.name, target.name])
