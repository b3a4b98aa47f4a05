"""Files and standard input: what they give, how they end, and what they refuse."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit.runtime.audio.decode import read_audio
from ser_toolkit.runtime.errors import AudioError, SertkError
from sertk_edge.settings import SourceSettings
from sertk_edge.sources import Chunk, FileSource, Gap, Microphone, PcmSource, Source, open_source

RATE_HZ = 22_050
NOISE = (np.random.default_rng(3).standard_normal((2 * RATE_HZ, 2)) * 0.1).astype(np.float32)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """Two seconds of stereo noise."""
    soundfile.write(tmp_path / "a.wav", NOISE, RATE_HZ)
    return tmp_path / "a.wav"


def everything(source: Source) -> list[Chunk | Gap]:
    async def collect() -> list[Chunk | Gap]:
        return [item async for item in source]

    return asyncio.run(asyncio.wait_for(collect(), 30))


def joined(items: list[Chunk | Gap]) -> np.ndarray:
    return np.concatenate([item.samples for item in items if isinstance(item, Chunk)])


# Which one it is


def test_the_settings_name_the_source(wav: Path) -> None:
    sources = {
        "mic": ("microphone", "default microphone"),
        "mic:USB": ("microphone", "USB"),
        str(wav): ("file", "a.wav"),
        "wyoming:tcp://127.0.0.1:0": ("wyoming", "tcp://127.0.0.1:0"),
    }
    for text, (kind, name) in sources.items():
        source = open_source(SourceSettings(source=text))
        assert (source.kind, source.status.name, source.status.state) == (kind, name, "starting")
        assert source.realtime == isinstance(source, Microphone)


def test_standard_input_is_a_source() -> None:
    code = (
        "import asyncio\n"
        "from sertk_edge.settings import SourceSettings\n"
        "from sertk_edge.sources import open_source\n"
        "async def main():\n"
        "    source = open_source(SourceSettings(source='-', rate_hz=8000, channels=2))\n"
        "    items = [item async for item in source]\n"
        "    print(sum(len(i.samples) for i in items), {i.rate_hz for i in items})\n"
        "asyncio.run(main())\n"
    )
    pcm = bytes(4 * 8000)
    done = subprocess.run([sys.executable, "-c", code], input=pcm, capture_output=True, timeout=30)
    assert done.stdout.split() == [b"8000", b"{8000}"], done.stderr


# Files


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_file_arrives_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, NOISE, RATE_HZ)
    source = FileSource(path)
    items = everything(source)
    audio = read_audio(path)
    np.testing.assert_array_equal(joined(items), audio.samples)
    assert {item.rate_hz for item in items if isinstance(item, Chunk)} == {audio.rate_hz}
    assert max(len(item.samples) for item in items if isinstance(item, Chunk)) == RATE_HZ // 10
    assert source.status.state == "ended"


def test_the_time_is_now(wav: Path) -> None:
    before_s = time.time()
    times = [item.time_s for item in everything(FileSource(wav)) if isinstance(item, Chunk)]
    assert before_s <= times[0] <= times[-1] <= time.time()


def test_clipped_samples_are_counted_before_channels_are_mixed(tmp_path: Path) -> None:
    frames = np.zeros((2000, 2), np.float32)
    frames[10:15, 0] = 1.0
    frames[20:22, 1] = -1.0
    soundfile.write(tmp_path / "a.wav", frames, RATE_HZ)
    chunks = [
        item for item in everything(FileSource(tmp_path / "a.wav")) if isinstance(item, Chunk)
    ]
    assert sum(chunk.clipped for chunk in chunks) == 7
    assert max(np.abs(chunk.samples).max() for chunk in chunks) < 0.51


def test_at_its_own_pace_it_takes_its_own_time(wav: Path) -> None:
    source = FileSource(wav, realtime=True)
    assert source.realtime
    begin_s = time.monotonic()
    np.testing.assert_array_equal(joined(everything(source)), joined(everything(FileSource(wav))))
    assert time.monotonic() - begin_s >= 2.0


def test_who_was_slow_gets_the_rest_at_once(wav: Path) -> None:
    """The pace is kept by the clock, not by adding up sleeps."""

    async def dawdle() -> tuple[float, float]:
        begin_s, slept_s = time.monotonic(), 0.0
        async for _ in FileSource(wav, realtime=True):
            nap_s = time.monotonic()
            await asyncio.sleep(0.08)
            slept_s += time.monotonic() - nap_s
        return time.monotonic() - begin_s, slept_s

    took_s, slept_s = asyncio.run(dawdle())
    # The naps fit into the two seconds of sound; a sleep after each chunk would come on top.
    assert 2.0 <= took_s < 2.0 + slept_s - 0.5


def test_nothing_is_lost_while_the_reader_is_slow(wav: Path) -> None:
    async def dawdle() -> list[Chunk | Gap]:
        items = []
        async for item in FileSource(wav):
            await asyncio.sleep(0.02)
            items.append(item)
        return items

    np.testing.assert_array_equal(joined(asyncio.run(dawdle())), read_audio(wav).samples)


def test_a_file_that_is_repeated(wav: Path) -> None:
    async def some() -> list[Chunk | Gap]:
        source = FileSource(wav, repeat=True)
        items = []
        async for item in source:
            items.append(item)
            if len(items) == 65:
                await source.close()
        return items

    items = asyncio.run(asyncio.wait_for(some(), 30))
    assert [i for i, item in enumerate(items) if isinstance(item, Gap)] == [20, 41, 62]
    assert items[20] == Gap("the file begins anew", 0.0)
    np.testing.assert_array_equal(joined(items[:20]), joined(items[21:41]))


def test_a_long_file_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 48_000, 2) as file:
        for _ in range(600):
            file.write(np.zeros((48_000, 2), np.int16))
    code = (
        "import asyncio, resource, sys\n"
        "from pathlib import Path\n"
        "from sertk_edge.sources import FileSource\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "async def main():\n"
        "    n, before = 0, 0\n"
        "    async for chunk in FileSource(Path(sys.argv[1])):\n"
        "        n += len(chunk.samples)\n"
        "        before = before or peak()\n"
        "    print(n, peak() - before)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, timeout=60)
    n_samples, grown_kib = map(int, done.stdout.split())
    assert n_samples == 600 * 48_000
    assert grown_kib < 8_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "'a.wav' is not there"),
        (b"", r"'a.wav' is empty \(0 bytes\)"),
        (b"not sound at all " * 99, "'a.wav' cannot be decoded: Format not recognised."),
    ],
)
def test_what_is_no_sound_is_refused_at_once(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError, match=message):
        open_source(SourceSettings(source=str(tmp_path / "a.wav")))


def test_a_file_without_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0, np.float32), RATE_HZ)
    with pytest.raises(AudioError, match="has no samples"):
        everything(FileSource(tmp_path / "a.wav"))


def test_samples_that_are_not_numbers(tmp_path: Path) -> None:
    samples = np.zeros(RATE_HZ, np.float32)
    samples[-1] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    with pytest.raises(AudioError, match="not numbers"):
        everything(FileSource(tmp_path / "a.wav"))


# Standard input


def from_pipe(parts: list[bytes], channels: int = 1) -> list[Chunk | Gap]:
    """What a source makes of these pieces, each written on its own."""
    out, into = os.pipe()

    async def collect() -> list[Chunk | Gap]:
        source = PcmSource(channels=channels, fd=out)
        items: list[Chunk | Gap] = []
        for part in parts:
            os.write(into, part)
        os.close(into)
        async for item in source:
            items.append(item)
        assert source.status.state == "ended"
        return items

    try:
        return asyncio.run(asyncio.wait_for(collect(), 30))
    finally:
        os.close(out)


def test_a_pipe_arrives_whole() -> None:
    values = np.random.default_rng(5).integers(-32768, 32768, 20_000).astype("<i2")
    items = from_pipe([values.tobytes()])
    np.testing.assert_array_equal(joined(items), (values / 32768).astype(np.float32))
    assert {item.rate_hz for item in items if isinstance(item, Chunk)} == {16_000}
    clipped = np.count_nonzero((values == 32767) | (values == -32768))
    assert sum(item.clipped for item in items if isinstance(item, Chunk)) == clipped


@pytest.mark.parametrize("size", [1, 3, 7])
def test_frames_that_come_in_pieces_are_put_together(size: int) -> None:
    out, into = os.pipe()
    values = np.arange(-300, 300, dtype="<i2").reshape(-1, 2)
    data = values.tobytes() + b"\7"

    async def collect() -> list[Chunk | Gap]:
        reading = asyncio.ensure_future(gather(PcmSource(channels=2, fd=out)))
        for start in range(0, len(data), size):
            os.write(into, data[start : start + size])
            await asyncio.sleep(0)
        os.close(into)
        return await reading

    samples = joined(asyncio.run(collect()))
    os.close(out)
    np.testing.assert_allclose(samples, values.mean(axis=1) / 32768, atol=1e-9)


async def gather(source: Source) -> list[Chunk | Gap]:
    return [item async for item in source]


@pytest.mark.parametrize("parts", [[], [b"\0"], [b"\0", b"\0\0"]])
def test_an_input_without_sound_is_an_error_as_a_file_without_is(parts: list[bytes]) -> None:
    """As when `arecord` found no microphone."""
    with pytest.raises(SertkError, match="standard input has no sample: raw sound expected"):
        from_pipe(parts, channels=2)


def test_a_regular_file_as_input(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(np.arange(9999, dtype="<i2").tobytes())
    with (tmp_path / "a.raw").open("rb") as file:
        samples = joined(everything(PcmSource(fd=file.fileno())))
    np.testing.assert_array_equal(samples * 32768, np.arange(9999))


def test_an_input_that_does_not_block_is_waited_for() -> None:
    out, into = os.pipe()
    os.set_blocking(out, False)

    async def collect() -> list[Chunk | Gap]:
        reading = asyncio.ensure_future(gather(PcmSource(fd=out)))
        await asyncio.sleep(0.2)
        os.write(into, bytes(200))
        os.close(into)
        return await reading

    assert len(joined(asyncio.run(collect()))) == 100
    os.close(out)


@pytest.mark.parametrize("head", [b"RIFF", b"fLaC", b"OggS"])
def test_a_file_with_a_head_is_not_raw(head: bytes) -> None:
    with pytest.raises(SertkError, match=r"raw sound expected\. Pipe raw sound in: arecord"):
        from_pipe([head[:1], head[1:] + bytes(2000)])


def test_a_terminal_is_refused() -> None:
    master, terminal = pty.openpty()
    with pytest.raises(SertkError, match="is a terminal; raw sound expected"):
        PcmSource(fd=terminal)
    os.close(terminal)
    os.close(master)


def test_a_closed_input_is_refused() -> None:
    out, into = os.pipe()
    os.close(out)
    os.close(into)
    with pytest.raises(SertkError, match="is closed; raw sound expected"):
        PcmSource(fd=out)


def test_a_rate_that_no_sound_has_is_refused() -> None:
    with pytest.raises(SertkError, match="received 1"):
        PcmSource(rate_hz=1)


# Letting go


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_waiting_for_input_can_be_given_up(how: str) -> None:
    out, into = os.pipe()

    async def give_up() -> bool:
        source = PcmSource(fd=out)
        task = asyncio.ensure_future(gather(source))
        await asyncio.sleep(0.1)
        assert source.status.state == "waiting"
        if how == "close":
            await source.close()
        else:
            task.cancel()
        done, _ = await asyncio.wait({task}, timeout=5)
        assert done
        return task.cancelled()

    assert asyncio.run(give_up()) == (how == "cancel")
    os.close(into)
    os.close(out)


def test_a_process_that_waits_for_input_ends_on_request() -> None:
    """With its standard input open and silent, the interpreter itself exits."""
    code = (
        "import asyncio, signal\n"
        "from sertk_edge.sources import PcmSource\n"
        "async def main():\n"
        "    source = PcmSource()\n"
        "    loop = asyncio.get_running_loop()\n"
        "    close = lambda: loop.create_task(source.close())\n"
        "    loop.add_signal_handler(signal.SIGTERM, close)\n"
        "    print('ready', flush=True)\n"
        "    print(len([item async for item in source]))\n"
        "asyncio.run(main())\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        assert process.stdout.read() == b"0\n"
