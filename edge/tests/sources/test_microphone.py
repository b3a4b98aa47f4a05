"""A microphone that vanishes, stalls, overflows and comes back: a real one, for all ALSA knows."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes.util
import queue
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile

from ser_toolkit.runtime.errors import SertkError
from sertk_edge.check import run_checks
from sertk_edge.settings import (
    BundleSettings,
    HttpSettings,
    Settings,
    SourceSettings,
    StreamSettings,
)
from sertk_edge.sources import Chunk, Gap, Microphone, list_devices
from sertk_edge.sources.capture import CaptureCallback
from sertk_edge.sources.microphone import capture_command

RATE_HZ = 16_000
TONE_HZ = 440
Received = Chunk | Gap
PLENTY_S = 40


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """A minute of 440 Hz, peak 0.5."""
    seconds = np.arange(60 * RATE_HZ) / RATE_HZ
    samples = 0.5 * np.sin(2 * np.pi * TONE_HZ * seconds)
    soundfile.write(tmp_path / "tone.wav", samples, RATE_HZ)
    return tmp_path / "tone.wav"


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, PLENTY_S))


async def until(
    items: AsyncGenerator[Received, None], good: Callable[[Received], bool]
) -> Received:
    """The next item that is as it should be."""
    async for item in items:
        if good(item):
            return item
    raise AssertionError("the source has ended")


def is_gap(item: Received) -> bool:
    return isinstance(item, Gap)


def is_loud(item: Received) -> bool:
    return isinstance(item, Chunk) and float(np.sqrt(np.mean(item.samples**2))) > 0.3


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if captures(child)]


def captures(child: psutil.Process) -> bool:
    # What has ended has no command line any more; it may be anybody's, and captures nothing.
    with contextlib.suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
        return any("capture.py" in part for part in child.cmdline())
    return False


# It is tried


def check(source: str) -> tuple[int, str]:
    """Exit status of --check, 1 for want of a bundle, and its line about the source."""
    lines: list[str] = []
    settings = Settings(
        bundle=BundleSettings(file=Path("none.sertk")),
        source=SourceSettings(source=source),
        stream=StreamSettings(gate="energy"),
        http=HttpSettings(port=0),
    )
    status = run_checks(settings, lines.append)
    return status, next(line for line in lines if " source " in line)


@pytest.mark.slow
def test_check_opens_the_device_and_tells_its_level(pulse: Any, tone: Path) -> None:
    _, line = check("mic")
    assert line.startswith("ok ") and "is it muted?" in line
    pulse.play(tone)
    run(loud())
    status, line = check("mic")
    # A sine of peak 0.5, maybe after what had waited in the sound server.
    assert status == 1 and line.startswith("ok ")
    assert re.search(r"Hz, 2 channel\(s\); level of 1 s -(9|10) dBFS, peak", line)
    for source in ("mic:Nosuch", "mic:99", "mic:-1"):
        status, line = check(source)
        assert status == 2 and line.startswith("problem "), source
        assert source.partition(":")[2] in line and "There are: " in line


async def loud() -> None:
    items = Microphone().chunks()
    await until(items, is_loud)
    await items.aclose()


# It hears


def test_a_tone_arrives_as_it_was_played(pulse: Any, tone: Path) -> None:
    async def listen() -> None:
        microphone = Microphone(rate_hz=RATE_HZ)
        items = microphone.chunks()
        pulse.play(tone)
        await until(items, is_loud)
        chunks = [await until(items, lambda item: isinstance(item, Chunk)) for _ in range(20)]
        assert microphone.status.state == "ok"
        assert "16000 Hz, 2 channel(s)" in microphone.status.detail
        assert 0 <= time.time() - chunks[-1].time_s < 2
        await items.aclose()
        samples = np.concatenate([chunk.samples for chunk in chunks])
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
        peak_hz = np.argmax(spectrum) * RATE_HZ / len(samples)
        assert abs(peak_hz - TONE_HZ) < 2
        assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
        assert {chunk.rate_hz for chunk in chunks} == {RATE_HZ}
        assert not any(chunk.clipped for chunk in chunks)
        assert not children()

    run(listen())


def test_it_takes_the_devices_own_rate_and_channels(pulse: Any, tone: Path) -> None:
    async def listen() -> None:
        items = Microphone().chunks()
        pulse.play(tone)
        chunk = await until(items, is_loud)
        assert isinstance(chunk, Chunk)
        assert chunk.rate_hz == next(d.rate_hz for d in list_devices() if d.default)
        await items.aclose()

    run(listen())


@pytest.mark.parametrize("device", ["pulse", "PUL", "0", "default"])
def test_a_device_has_a_name_and_an_index(pulse: Any, device: str) -> None:
    async def listen() -> None:
        microphone = Microphone(device)
        items = microphone.chunks()
        await anext(items)
        assert microphone.status.name in ("pulse", "default")
        await items.aclose()

    run(listen())


def test_the_devices_are_listed(pulse: Any) -> None:
    devices = list_devices()
    assert {device.name for device in devices} == {"pulse", "default"}
    assert [device.name for device in devices if device.default] == ["default"]


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("studio", "'studio' is no microphone that is there. There are: 0 pulse; 1 default"),
        ("7", "'7' is no microphone that is there. There are: 0 pulse; 1 default"),
        ("u", "'u' fits several microphones. There are: 0 pulse; 1 default"),
    ],
)
def test_a_wrong_name_says_which_there_are(
    pulse: Any, caplog: pytest.LogCaptureFixture, device: str, message: str
) -> None:
    async def listen() -> None:
        microphone = Microphone(device)
        await lost_within(microphone, message)
        assert microphone.status.state == "waiting"

    run(listen())
    assert not caplog.records


async def lost_within(microphone: Microphone, part: str, seconds: float = 20) -> None:
    """Let it run until its status says so, and close it."""

    async def drain() -> None:
        async for _ in microphone:
            pass

    task = asyncio.ensure_future(drain())
    deadline_s = time.monotonic() + seconds
    while part not in microphone.status.detail and time.monotonic() < deadline_s:
        await asyncio.sleep(0.05)
    assert part in microphone.status.detail
    state = microphone.status
    await microphone.close()
    await task
    assert microphone.status.state == "ended"
    microphone.status = state
    assert not children()


# What has gone wrong, and comes right again


def test_a_microphone_that_is_plugged_in_later_is_found(pulse: Any, tone: Path) -> None:
    async def listen() -> None:
        pulse.stop()
        microphone = Microphone(rate_hz=RATE_HZ)
        items = microphone.chunks()
        first = asyncio.ensure_future(until(items, is_loud))
        while "no microphone was found" not in microphone.status.detail:
            await asyncio.sleep(0.05)
        assert microphone.status.state == "waiting"
        pulse.start()
        pulse.play(tone)
        await first
        assert microphone.status.state == "ok"
        await items.aclose()

    run(listen())


def test_a_microphone_that_vanishes_is_opened_again(pulse: Any, tone: Path) -> None:
    async def listen() -> None:
        microphone = Microphone(rate_hz=RATE_HZ)
        items = microphone.chunks()
        pulse.play(tone)
        await until(items, is_loud)
        pulse.stop()
        gap = await until(items, is_gap)
        assert isinstance(gap, Gap)
        assert "'default' is gone" in gap.reason and gap.cause == "lost"
        assert microphone.status.state == "lost"
        pulse.start()
        pulse.play(tone)
        await until(items, is_loud)
        assert microphone.status.state == "ok"
        assert "back after" in microphone.status.detail
        await items.aclose()

    run(listen())


@pytest.mark.slow
def test_a_stalled_microphone_is_opened_anew(pulse: Any, tone: Path) -> None:
    async def listen() -> None:
        microphone = Microphone(rate_hz=RATE_HZ, stall_s=1.0)
        items = microphone.chunks()
        pulse.play(tone)
        await until(items, is_loud)
        (child,) = children()
        pulse.signal(signal.SIGSTOP)
        gap = await until(items, is_gap)
        assert gap == Gap("nothing came from the microphone for 1 s", None)
        assert microphone.status.state == "lost"
        assert not child.is_running()
        pulse.signal(signal.SIGCONT)
        await until(items, is_loud)
        assert microphone.status.state == "ok"
        await items.aclose()

    run(listen())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_capture_process_that_dies_is_replaced(
    pulse: Any, tone: Path, number: signal.Signals
) -> None:
    async def listen() -> None:
        items = Microphone(rate_hz=RATE_HZ).chunks()
        pulse.play(tone)
        await until(items, is_loud)
        (child,) = children()
        child.send_signal(number)
        gap = await until(items, is_gap)
        assert gap == Gap(f"the capture process crashed ({number.name})", None)
        await until(items, is_loud)
        assert children() != [child]
        await items.aclose()

    run(listen())


def test_a_device_that_is_faster_than_its_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Callable[[str, bool, str], None]
) -> None:
    """ALSA's file plugin gives sound as fast as it is asked: most of it does not fit."""
    require("portaudio", ctypes.util.find_library("portaudio") is not None, "libportaudio2")
    (tmp_path / "mic.raw").write_bytes(np.full(RATE_HZ, 8192, "<i2").tobytes())
    (tmp_path / "asound.conf").write_text(
        "</usr/share/alsa/alsa.conf>\n"
        'pcm.fast { type file slave.pcm "null" file "/dev/null" '
        f'infile "{tmp_path}/mic.raw" format "raw" }}\n'
        'pcm.!default { type plug slave.pcm "fast" }\n'
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))

    async def listen() -> None:
        microphone = Microphone("default", RATE_HZ, channels=1)
        items = microphone.chunks()
        gap = await until(items, is_gap)
        assert isinstance(gap, Gap)
        assert gap.reason == "sound came faster than it was taken" and gap.cause == "overflow"
        assert gap.lost_s is not None and gap.lost_s > 0
        chunk = await until(items, lambda item: isinstance(item, Chunk))
        assert isinstance(chunk, Chunk)
        np.testing.assert_array_equal(chunk.samples, np.full(RATE_HZ // 20, 0.25, np.float32))
        assert microphone.status.state == "ok"
        await items.aclose()

    run(listen())


def test_portaudio_says_that_it_lost_sound() -> None:
    """What PortAudio lost itself it does not count."""
    blocks: queue.Queue[Any] = queue.Queue(2)
    tap = CaptureCallback(blocks)
    overflow, fine = (SimpleNamespace(input_overflow=flag) for flag in (True, False))
    for flags in (fine, overflow, fine, overflow):
        tap(b"1234", 2, None, flags)
    assert [blocks.get()[0] for _ in range(2)] == [0, None]
    tap(b"1234", 2, None, fine)
    assert blocks.get()[0] is None


LISTENER = """
import asyncio, sys
from sertk_edge.sources import Gap, Microphone

async def main():
    n = 0
    microphone = Microphone(rate_hz=48000, channels=2)
    async for item in microphone:
        if isinstance(item, Gap):
            print("gap", item.lost_s, item.reason, flush=True)
        else:
            n += len(item.samples)
            print("chunk", n / item.rate_hz, item.time_s, flush=True)

asyncio.run(main())
"""


@pytest.fixture
def listener(pulse: Any, tmp_path: Path) -> Any:
    """A process of its own that hears the microphone and prints what it gets."""
    with (tmp_path / "heard.txt").open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", LISTENER], stdout=out)
    yield process, tmp_path / "heard.txt"
    process.kill()
    process.wait()


def lines(path: Path, kind: str) -> list[list[str]]:
    whole = path.read_text().rpartition("\n")[0].splitlines()
    return [line.split(maxsplit=2)[1:] for line in whole if line.startswith(kind)]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PLENTY_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.slow
def test_sound_that_nobody_takes_is_counted(listener: Any) -> None:
    """The daemon itself is stopped; what the pipe and the queue cannot hold is lost, and told."""
    process, results = listener
    wait_for(lambda: len(lines(results, "chunk")) > 10)
    before, _ = lines(results, "chunk")[-1]
    process.send_signal(signal.SIGSTOP)
    stopped_s = 7.0
    time.sleep(stopped_s)
    process.send_signal(signal.SIGCONT)
    wait_for(lambda: bool(lines(results, "gap")))
    (lost, reason), *more = lines(results, "gap")
    assert not more
    assert reason == "sound came faster than it was taken"
    wait_for(lambda: float(lines(results, "chunk")[-1][0]) > float(before) + 4)
    # Taken and lost add up to the time that the device ran, by the clock of the capture process.
    (first, first_s), (last, last_s) = (lines(results, "chunk")[i] for i in (5, -1))
    ran_s = float(last_s) - float(first_s)
    assert float(last) - float(first) + float(lost) == pytest.approx(ran_s, abs=0.5)
    assert 1 < float(lost) < stopped_s
    assert len(lines(results, "gap")) == 1


def test_the_capture_process_does_not_outlive_the_daemon(listener: Any) -> None:
    process, results = listener
    wait_for(lambda: len(lines(results, "chunk")) > 3)
    (child,) = psutil.Process(process.pid).children()
    process.kill()
    child.wait(timeout=5)


def test_the_capture_process_is_small(listener: Any) -> None:
    process, results = listener
    wait_for(lambda: len(lines(results, "chunk")) > 3)
    (child,) = psutil.Process(process.pid).children()
    mapped = {Path(entry.path).name for entry in child.memory_maps()}
    assert any("portaudio" in name for name in mapped)
    assert not any("multiarray" in name for name in mapped)
    assert child.memory_info().rss < 60e6


# A capture process that does not do what it should

CHILDREN = {
    "print('hello, I am no frame')": "does not keep to its protocol",
    "import sys; sys.stdout.write('A\\xff\\xff\\xff\\x7f')": "does not keep to its protocol",
    "import sys; sys.stdout.write('I\\2\\0\\0\\0{}')": "does not keep to its protocol",
    "import sys; sys.stdout.write('I\\2\\0\\0\\0{]')": "does not keep to its protocol",
    "import sys; sys.stdout.write('A\\2\\0\\0\\0{}')": "does not keep to its protocol",
    "import sys; sys.stdout.write('I\\9\\0')": "the capture process ended with status 0",
    "import os, time; os.close(1); time.sleep(60)": "the capture process sends nothing more",
    "raise SystemExit(3)": "the capture process ended with status 3",
}


@pytest.mark.parametrize("code", CHILDREN)
def test_nonsense_from_the_capture_process(code: str) -> None:
    run(lost_within(Microphone(command=[sys.executable, "-c", code]), CHILDREN[code]))


def test_a_capture_process_that_cannot_be_started() -> None:
    run(lost_within(Microphone(command=["/nowhere/python"]), "does not start"))


def test_a_sound_library_that_crashes_when_it_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sounddevice.py").write_text("import os\nos.abort()")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SertkError, match=r"the capture process crashed \(SIGABRT\)\. Restart"):
        list_devices()


def test_portaudio_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(str(tmp_path))
    message = (
        "PortAudio is missing (PortAudio library not found). Run `sudo apt install libportaudio2`"
    )
    with pytest.raises(SertkError, match="sudo apt install libportaudio2"):
        list_devices()
    run(lost_within(Microphone(), message))


def test_the_child_finds_what_the_daemon_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, "/somewhere"])
    assert "/somewhere" in capture_command()[-1]


# It lets go


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_it_lets_go_at_once(pulse: Any, how: str) -> None:
    async def listen() -> None:
        microphone = Microphone(rate_hz=RATE_HZ)
        results: list[Received] = []

        async def drain() -> None:
            async for item in microphone:
                results.append(item)

        task = asyncio.ensure_future(drain())
        while not results:
            await asyncio.sleep(0.01)
        if how == "close":
            await microphone.close()
        else:
            task.cancel()
        done, _ = await asyncio.wait({task}, timeout=10)
        assert done
        assert task.cancelled() == (how == "cancel")
        assert not children()

    run(listen())
