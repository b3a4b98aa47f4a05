"""The child process that reads a microphone: a PortAudio that hangs or crashes dies alone.

It is run as a file and needs nothing but `sounddevice`: neither numpy nor this package, which keeps
it small. To its standard output it writes frames: a byte that names the kind, the length in 4
bytes, the payload. Numbers are little-endian.

    I  JSON {"device", "rate_hz", "channels"}: the device is open
    A  Unix time of the last sample (float64), then interleaved 16-bit samples
    O  JSON {"lost"}: so many frames are missing here; null: nobody knows how many
    L  JSON: a list of input devices
    E  JSON {"problem", "todo"}: why it ends

While it captures it ends with its standard input, so that it never outlives the daemon.
"""

from __future__ import annotations

import json
import os
import queue
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

BLOCK_S = 0.05
QUEUE_S = 3.0
POLL_S = 0.2
PLUG = "Plug one in; `arecord -l` lists them, and the user must be in the group `audio`"
PORTAUDIO = "Run `sudo apt install libportaudio2`"
HELD = "Another program may hold it: `fuser -v /dev/snd/*` tells; or give --rate-hz or --channels"
Send = Callable[[str, bytes], None]


class CaptureError(Exception):
    """Why there is no sound, and what to do."""

    def __init__(self, problem: str, todo: str = "") -> None:
        super().__init__(problem, todo)
        self.problem, self.todo = problem, todo


class CaptureCallback:
    """What PortAudio calls with each block; a full queue loses it, and it is counted."""

    def __init__(self, blocks: queue.Queue[tuple[int | None, float, bytes]]) -> None:
        self.blocks = blocks
        self.lost: int | None = 0

    def __call__(self, data: Any, n_frames: int, _times: Any, flags: Any) -> None:
        if flags.input_overflow:
            self.lost = None
        try:
            self.blocks.put_nowait((self.lost, time.time(), bytes(data)))
            self.lost = 0
        except queue.Full:
            self.lost = None if self.lost is None else self.lost + n_frames


def main(job: dict[str, Any]) -> NoReturn:
    """Do a job, report how it ended, and exit without closing PortAudio, which might hang."""
    send = _sender()
    code = 0
    try:
        # Where the daemon finds its modules, this process does too.
        sys.path[:] = job["path"]
        sd = _sounddevice()
        if job["list"]:
            send("L", _packed(inputs(sd)))
        else:
            threading.Thread(target=_end_with_input, daemon=True).start()
            capture(sd, job, send)
    except CaptureError as trouble:
        code = 1
        send("E", _packed({"problem": trouble.problem, "todo": trouble.todo}))
    except OSError:
        code = 1
    os._exit(code)


def capture(sd: Any, job: dict[str, Any], send: Send) -> NoReturn:
    """Send what the microphone gives until it is gone. Raises CaptureError."""
    device = chosen(inputs(sd), job["device"])
    rate_hz = job["rate_hz"] or device["rate_hz"]
    channels = job["channels"] or min(device["channels"], 2)
    tap = CaptureCallback(queue.Queue(round(QUEUE_S / BLOCK_S)))
    try:
        stream = sd.RawInputStream(
            samplerate=rate_hz,
            blocksize=max(1, round(rate_hz * BLOCK_S)),
            device=device["index"],
            channels=channels,
            dtype="int16",
            latency="high",
            callback=tap,
        )
        stream.start()
    except (sd.PortAudioError, ValueError) as error:
        raise CaptureError(
            f"the microphone '{device['name']}' does not open: {error}", HELD
        ) from error
    send("I", _packed({"device": device["name"], "rate_hz": rate_hz, "channels": channels}))
    pass_on(stream, tap, send)
    raise CaptureError(f"the microphone '{device['name']}' is gone", PLUG)


def pass_on(stream: Any, tap: CaptureCallback, send: Send) -> None:
    """Send blocks until the stream has ended and none is left."""
    while True:
        try:
            lost, time_s, pcm = tap.blocks.get(timeout=POLL_S)
        except queue.Empty:
            if not stream.active:
                return
            continue
        if lost != 0:
            send("O", _packed({"lost": lost}))
        send("A", struct.pack("<d", time_s) + pcm)


def inputs(sd: Any) -> list[dict[str, Any]]:
    """Return the input devices."""
    default = _default(sd)
    return [
        {
            "index": index,
            "name": device["name"],
            "channels": device["max_input_channels"],
            "rate_hz": round(device["default_samplerate"]),
            "default": index == default,
        }
        for index, device in enumerate(sd.query_devices())
        if device["max_input_channels"] > 0
    ]


def chosen(devices: list[dict[str, Any]], wanted: str | None) -> dict[str, Any]:
    """Return the device of an index, or of a name or a part that only one has. Raises
    CaptureError.
    """
    if not devices:
        raise CaptureError("no microphone was found", PLUG)
    if wanted is None:
        return next((device for device in devices if device["default"]), devices[0])
    found = _matches(devices, wanted)
    if len(found) == 1:
        return found[0]
    there = "; ".join(f"{device['index']} {device['name']}" for device in found or devices)
    what = "fits several microphones" if found else "is no microphone that is there"
    raise CaptureError(f"'{wanted}' {what}", f"There are: {there}")


def _default(sd: Any) -> int | None:
    try:
        index: int = sd.query_devices(kind="input")["index"]
    except sd.PortAudioError:
        return None
    return index


def _matches(devices: list[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    if wanted.isdecimal():
        return [device for device in devices if device["index"] == int(wanted)]
    exact = [device for device in devices if device["name"] == wanted]
    part = wanted.casefold()
    return exact[:1] or [device for device in devices if part in device["name"].casefold()]


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise CaptureError(
            f"sounddevice is missing ({error})", "Run `pip install sounddevice`"
        ) from error
    except OSError as error:
        raise CaptureError(f"PortAudio is missing ({error})", PORTAUDIO) from error
    except Exception as error:
        # PortAudio itself does not start, for want of a sound system.
        raise CaptureError(f"PortAudio does not start: {error}", PLUG) from error
    return sounddevice


def _sender() -> Send:
    # Libraries that print do so to standard error; nothing but frames goes to the daemon.
    out = os.dup(1)
    os.dup2(2, 1)

    def send(kind: str, payload: bytes) -> None:
        data = memoryview(kind.encode() + struct.pack("<I", len(payload)) + payload)
        while data:
            data = data[os.write(out, data) :]

    return send


def _end_with_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


def _packed(value: Any) -> bytes:
    return json.dumps(value).encode()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
