"""Wyoming clients that feed the daemon, and those that try to harm it."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wyoming.event import Event, async_read_event, async_write_event

from ser_toolkit.runtime.errors import SertkError
from sertk_edge.sources import Chunk, Gap
from sertk_edge.sources.wyoming import WyomingSource

with warnings.catch_warnings():
    # Before Python 3.13 the library imports audioop, which warns.
    warnings.simplefilter("ignore", DeprecationWarning)
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.client import AsyncClient
    from wyoming.info import Describe, Info
    from wyoming.ping import Ping, Pong

RATE_HZ = 16_000
LOCAL = "tcp://127.0.0.1:0"
Test = Callable[[WyomingSource, "Receiver"], Awaitable[None]]


class Receiver:
    """What has arrived so far, and when there is more of it."""

    def __init__(self) -> None:
        self.items: list[Chunk | Gap] = []

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0.01)

    async def wait(self, n_items: int) -> None:
        await self.until(lambda: len(self.items) >= n_items)

    def samples(self) -> np.ndarray:
        return np.concatenate([item.samples for item in self.items if isinstance(item, Chunk)])

    def gaps(self) -> list[Gap]:
        return [item for item in self.items if isinstance(item, Gap)]


@asynccontextmanager
async def listening(source: WyomingSource) -> AsyncIterator[Receiver]:
    """A source whose sound is collected; it is closed in the end."""
    receiver = Receiver()

    async def collect() -> None:
        async for item in source:
            receiver.items.append(item)

    task = asyncio.ensure_future(collect())
    while source.status.state == "starting" and not task.done():
        await asyncio.sleep(0.01)
    try:
        yield receiver
    finally:
        await source.close()
        await task
    assert source.status.state == "ended"


def run(test: Test, source: WyomingSource) -> None:
    async def whole() -> None:
        async with listening(source) as receiver:
            await test(source, receiver)

    asyncio.run(asyncio.wait_for(whole(), 30))


@asynccontextmanager
async def raw(source: WyomingSource) -> AsyncIterator[tuple[asyncio.StreamReader, Any]]:
    """A connection that may send anything."""
    port = int(source.address.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


def pcm(n_frames: int = 1600, channels: int = 1, value: int = 8192) -> bytes:
    return np.full(n_frames * channels, value, "<i2").tobytes()


def chunk(rate: int = RATE_HZ, width: int = 2, channels: int = 1, audio: bytes = b"") -> Event:
    return AudioChunk(rate, width, channels, audio or pcm(channels=channels)).event()


def header(**fields: Any) -> bytes:
    return json.dumps({"type": "audio-chunk", **fields}).encode() + b"\n"


# What satellites do


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_the_sound_of_a_client_arrives(
    scheme: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("wy") / "s"
    values = np.random.default_rng(0).integers(-9000, 9000, 3200).astype("<i2")

    async def test(source: WyomingSource, receiver: Receiver) -> None:
        async with AsyncClient.from_uri(source.address) as client:
            await client.write_event(AudioStart(RATE_HZ, 2, 1).event())
            for part in (values[:1000], values[1000:]):
                await client.write_event(chunk(audio=part.tobytes()))
            await receiver.wait(2)
            assert source.status.state == "ok"
            assert source.status.detail.startswith("16000 Hz, 1 channel(s) from ")
            await client.write_event(AudioStop().event())
            await receiver.wait(3)
        np.testing.assert_array_equal(receiver.samples(), (values / 32768).astype(np.float32))
        assert [gap.lost_s for gap in receiver.gaps()] == [0.0]
        assert "has ended its sound" in receiver.gaps()[0].reason
        assert source.status.state == "waiting"
        assert abs(time.time() - receiver.items[0].time_s) < 30

    run(test, WyomingSource(LOCAL if scheme == "tcp" else f"unix://{path}"))
    assert not path.exists()


def test_it_says_what_it_is() -> None:
    async def test(source: WyomingSource, receiver: Receiver) -> None:
        async with AsyncClient.from_uri(source.address) as client:
            await client.write_event(Describe().event())
            answer = await client.read_event()
            assert answer is not None
            info = Info.from_event(answer)
            assert [(program.name, program.models) for program in info.wake] == [("sertk", [])]
            assert info.wake[0].installed
            assert not (info.asr or info.tts or info.snd)
        assert not receiver.items

    run(test, WyomingSource(LOCAL))


def test_a_satellite_that_wants_a_wake_word_is_served_all_the_same() -> None:
    async def test(source: WyomingSource, receiver: Receiver) -> None:
        async with AsyncClient.from_uri(source.address) as client:
            for event in (Event("detect", {"names": ["ok_nabu"]}), chunk(), Event("ping"), chunk()):
                await client.write_event(event)
            await receiver.wait(2)
        await receiver.wait(3)
        assert "has gone" in receiver.gaps()[0].reason

    run(test, WyomingSource(LOCAL))


def test_rate_and_channels_may_change() -> None:
    async def test(source: WyomingSource, receiver: Receiver) -> None:
        async with AsyncClient.from_uri(source.address) as client:
            await client.write_event(chunk())
            await client.write_event(chunk(rate=48_000, channels=2))
            await client.write_event(AudioStart(8_000, 2, 1).event())
            await client.write_event(chunk(rate=8_000))
            await receiver.wait(5)
        rates = [
            item.rate_hz if isinstance(item, Chunk) else item.reason for item in receiver.items[:5]
        ]
        assert rates[:3] == [16_000, "the sample rate has changed", 48_000]
        assert rates[4] == 8_000
        assert all(len(item.samples) == 1600 for item in receiver.items if isinstance(item, Chunk))

    run(test, WyomingSource(LOCAL))


def test_one_is_served_at_a_time() -> None:
    async def test(source: WyomingSource, receiver: Receiver) -> None:
        async with AsyncClient.from_uri(source.address) as one:
            await one.write_event(chunk())
            await receiver.wait(1)
            async with AsyncClient.from_uri(source.address) as other:
                await other.write_event(AudioStart(RATE_HZ, 2, 1).event())
                await other.write_event(chunk())
                answer = await other.read_event()
                assert answer is not None
                assert answer.data == {"text": "another client is being served", "code": "busy"}
                assert await other.read_event() is None
            await one.write_event(chunk())
            await one.write_event(AudioStop().event())
            await receiver.wait(3)
            async with AsyncClient.from_uri(source.address) as other:
                await other.write_event(chunk())
                await receiver.wait(4)
        assert [isinstance(item, Gap) for item in receiver.items[:4]] == [False, False, True, False]

    run(test, WyomingSource(LOCAL))


def test_a_silent_client_loses_its_turn() -> None:
    async def test(source: WyomingSource, receiver: Receiver) -> None:
        async with AsyncClient.from_uri(source.address) as one:
            await one.write_event(chunk())
            await receiver.wait(2)
            assert receiver.gaps()[0].lost_s is None
            assert "for 0.5 s" in receiver.gaps()[0].reason
            async with AsyncClient.from_uri(source.address) as other:
                await other.write_event(chunk())
                await receiver.wait(3)
                await other.write_event(AudioStop().event())
                await receiver.wait(4)
            await one.write_event(chunk())
            await receiver.wait(5)

    run(test, WyomingSource(LOCAL, stall_s=0.5))


def test_a_client_that_is_faster_than_the_reader_waits() -> None:
    """Nothing is lost, and not everything is taken in beforehand."""
    n_chunks = 2_000

    async def whole() -> None:
        source = WyomingSource(LOCAL)
        items = source.chunks()
        first = asyncio.ensure_future(anext(items))
        while source.status.state == "starting":
            await asyncio.sleep(0.01)

        async def feed() -> None:
            async with AsyncClient.from_uri(source.address) as client:
                for i in range(n_chunks):
                    await client.write_event(chunk(audio=pcm(8_000, value=i)))
                await client.write_event(AudioStop().event())

        feeding = asyncio.ensure_future(feed())
        results = [await first]
        await asyncio.sleep(1)
        assert not feeding.done()
        while isinstance(results[-1], Chunk):
            results.append(await anext(items))
        await feeding
        firsts = [float(item.samples[0] * 32768) for item in results[:-1]]
        assert firsts == list(range(n_chunks))
        await items.aclose()

    asyncio.run(asyncio.wait_for(whole(), 60))


# What nobody should do

BAD = {
    "no JSON": b"hello\n",
    "no object": b"[1]\n",
    "no type": b"{}\n",
    "a line without end": b"x" * 100_000,
    "brackets": b"[" * 50_000 + b"\n",
    "text for a length": header(payload_length="many"),
    "a length for ever": header(payload_length=1 << 40),
    "data for ever": header(data_length=1 << 40),
    "data that is a list": header(data=[1]),
    "data that is no JSON": header(data_length=3) + b"{{{",
    "no rate": header(data={"width": 2, "channels": 1}),
    "a rate in words": header(data={"rate": "16 kHz", "width": 2, "channels": 1}),
    "a rate that is true": header(data={"rate": True, "width": 2, "channels": 1}),
    "1 Hz": header(data={"rate": 1, "width": 2, "channels": 1}),
    "no channels": header(data={"rate": 16000, "width": 2, "channels": 0}),
    "many channels": header(data={"rate": 16000, "width": 2, "channels": 10**9}),
    "40 bits": header(data={"rate": 16000, "width": 5, "channels": 1}),
    "no bits": header(data={"rate": 16000, "width": 0, "channels": 1}),
    "a third of a sample": header(data={"rate": 16000, "width": 3, "channels": 1}, payload_length=2)
    + b"ab",
    "half a sample": header(data={"rate": 16000, "width": 2, "channels": 1}, payload_length=3)
    + b"abc",
}


def test_bad_clients_alone_are_let_go() -> None:
    async def test(source: WyomingSource, receiver: Receiver) -> None:
        async with AsyncClient.from_uri(source.address) as good:
            await good.write_event(chunk())
            await receiver.wait(1)
            for number, (kind, data) in enumerate(BAD.items(), start=2):
                async with raw(source) as (reader, writer):
                    writer.write(data)
                    event = await async_read_event(reader)
                    assert event is not None and event.type == "error", kind
                    assert await reader.read() == b"", kind
                await good.write_event(chunk())
                await receiver.wait(number)
        assert not any(isinstance(item, Gap) for item in receiver.items[: len(BAD) + 1])

    run(test, WyomingSource(LOCAL))


def test_a_client_that_goes_in_the_middle_of_an_event() -> None:
    async def test(source: WyomingSource, receiver: Receiver) -> None:
        async with raw(source) as (_, writer):
            await async_write_event(chunk(), writer)
            await receiver.wait(1)
            writer.write(header(data={"rate": 16000, "width": 2, "channels": 1}, payload_length=99))
            await writer.drain()
        await receiver.wait(2)
        assert "has gone" in receiver.gaps()[0].reason

    run(test, WyomingSource(LOCAL))


def test_too_many_clients(caplog: pytest.LogCaptureFixture) -> None:
    async def test(source: WyomingSource, receiver: Receiver) -> None:
        clients = [AsyncClient.from_uri(source.address) for _ in range(8)]
        for client in clients:
            await client.connect()
        # Who sends sound stays, and of the others who has said something last.
        await clients[0].write_event(chunk())
        await receiver.wait(1)
        await clients[1].write_event(Ping().event())
        assert await clients[1].read_event() is not None
        async with AsyncClient.from_uri(source.address) as late:
            assert await clients[2].read_event() is None
            for client in (clients[1], late):
                await client.write_event(Ping("there?").event())
                answer = await client.read_event()
                assert answer is not None and Pong.from_event(answer).text == "there?"
            await clients[0].write_event(chunk())
            await receiver.wait(2)
        for client in clients:
            await client.disconnect()

    run(test, WyomingSource(LOCAL))
    assert "a silent client was cut" in caplog.text


def test_a_refused_client_is_logged_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    async def test(source: WyomingSource, receiver: Receiver) -> None:
        async with AsyncClient.from_uri(source.address) as first:
            await first.write_event(chunk())
            await receiver.wait(1)
            async with AsyncClient.from_uri(source.address) as second:
                await second.write_event(chunk())
                answer = await second.read_event()
                assert answer is not None and answer.data["code"] == "busy"

    run(test, WyomingSource(LOCAL))
    fields = [vars(record)["fields"] for record in caplog.records]
    assert [found["reason"] for found in fields] == ["another client is being served"]
    assert fields[0]["client"].startswith("127.0.0.1 port ")


def test_a_silent_client_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    async def test(source: WyomingSource, receiver: Receiver) -> None:
        async with AsyncClient.from_uri(source.address) as silent:
            answer = await silent.read_event()
            assert answer is not None and answer.data["code"] == "idle"
            assert await silent.read_event() is None

    run(test, WyomingSource(LOCAL, idle_s=0.2))
    assert "a client was refused" in caplog.text


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_any_width_arrive(width: int) -> None:
    """Against Python's own whole numbers, sample by sample."""
    full = 1 << (8 * width - 1)
    values = [-full, -full // 3, -1, 0, 1, full // 2, full - 1, 5]
    sent = b"".join(value.to_bytes(width, "little", signed=True) for value in values)

    async def test(source: WyomingSource, receiver: Receiver) -> None:
        async with AsyncClient.from_uri(source.address) as client:
            await client.write_event(chunk(width=width, channels=2, audio=sent))
            await receiver.wait(1)
        pairs = zip(values[::2], values[1::2], strict=True)
        expected = [(left + right) / 2 / full for left, right in pairs]
        assert receiver.samples() == pytest.approx(expected, abs=1e-7)
        assert receiver.items[0].clipped >= 1

    run(test, WyomingSource(LOCAL))


# Addresses


def test_a_path_that_is_taken(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("wy") / "s"

    async def test(source: WyomingSource, receiver: Receiver) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with pytest.raises(SertkError, match="another program listens on"):
            await anext(WyomingSource(f"unix://{path}").chunks())
        async with AsyncClient.from_uri(source.address) as client:
            await client.write_event(chunk())
            await receiver.wait(1)

    run(test, WyomingSource(f"unix://{path}"))


def test_a_socket_that_a_crash_left_is_replaced(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("wy") / "s"
    code = (
        "import asyncio, sys\n"
        "from sertk_edge.sources.wyoming import WyomingSource\n"
        "async def main():\n"
        "    async for _ in WyomingSource(sys.argv[1]): print('heard', flush=True)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, f"unix://{path}"]) as process:
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert path.exists()

    async def test(source: WyomingSource, receiver: Receiver) -> None:
        async with AsyncClient.from_uri(source.address) as client:
            await client.write_event(chunk())
            await receiver.wait(1)

    run(test, WyomingSource(f"unix://{path}"))


def test_it_ends_while_clients_are_connected() -> None:
    async def test(source: WyomingSource, receiver: Receiver) -> None:
        client = AsyncClient.from_uri(source.address)
        await client.connect()
        await client.write_event(chunk())
        await receiver.wait(1)
        await source.close()
        assert await client.read_event() is None
        await client.disconnect()

    run(test, WyomingSource(LOCAL))


def test_a_satellite_that_lost_its_power_does_not_hold_its_place_for_ever() -> None:
    async def whole(source: WyomingSource, receiver: Receiver) -> None:
        async with raw(source) as (_, writer):
            writer.write(header(data_length=0))
            port = int(source.address.rpartition(":")[2])
            # The kernel runs a timer for the connection, after which it asks whether it stands.
            while not _timers(port) & {"02"}:
                await asyncio.sleep(0.01)

    run(whole, WyomingSource(LOCAL))


def _timers(port: int) -> set[str]:
    """Which timers the kernel has for connections at this end: 02 is keepalive (proc_net_tcp)."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[5][:2] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"}
