"""Sound from Wyoming clients, such as voice satellites: audio-start, audio-chunk, audio-stop.

A satellite takes it for its wake word service: that one gets all sound, and need not answer.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import AbstractServer, IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import urlsplit

from wyoming.error import Error
from wyoming.event import Event, async_read_event, async_write_event

from ser_toolkit.runtime.audio.recording import RATES_HZ
from ser_toolkit.runtime.errors import SertkError

from ..service import ports
from ..service.logs import log
from ..settings import is_loopback
from .base import Chunk, Gap, Source, chunk_of, done_within, frames_of_pcm
from .server_sockets import check_unix, clear, listen_tcp, listen_unix, notice_loss

MAX_CLIENTS = 8
MAX_BYTES = 1 << 19
CHANNELS = range(1, 33)
WIDTHS = range(1, 5)
# A satellite that sends only speech may be silent for long; it comes back when it was cut.
IDLE_S = 300.0
WAITING = 8
OPTIONS = "address for --source"
SHAPE = "Give wyoming:tcp://127.0.0.1:PORT or wyoming:unix:///PATH"
TUNNEL = (
    "Wyoming has neither password nor encryption: listen on 127.0.0.1, and let the satellite "
    "forward its own port: ssh -N -L 10300:127.0.0.1:10300 THIS-MACHINE; or, where you trust "
    "everyone in the network, --source-allow-network"
)
NO_EVENT = "a Wyoming event was expected"


class ClientRefusedError(Exception):
    """What a client did wrong; it gets the reason, and is disconnected."""

    def __init__(self, problem: str, code: str = "bad-event") -> None:
        super().__init__(problem)
        self.code = code


class Client:
    """One connection, and the sample rate of what it sends."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.reader, self.writer = BoundedReader(reader), writer
        peer = writer.get_extra_info("peername")
        self.name = f"{peer[0]} port {peer[1]}" if isinstance(peer, tuple) else "a local client"
        self.rate_hz = 0

    async def next(self) -> Event | None:
        """Read the next event; None when the client is gone.

        Raises ClientRefusedError for what is none.
        """
        try:
            event = await async_read_event(self.reader)
        except (IncompleteReadError, OSError):
            return None
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ClientRefusedError(NO_EVENT) from error
        if event is None and not self.reader.at_eof():
            raise ClientRefusedError(NO_EVENT)
        return event


class WyomingSource(Source):
    """A server for Wyoming clients; one of them is recognised at a time.

    Who sends sound first is recognised until it stops, goes, or is silent for `stall_s`; whoever
    else sends sound meanwhile is refused. One that sends faster than is classified has to wait,
    one that sends nothing for `idle_s` is cut, and so is the one that has been silent for longest
    where there are too many.
    Raises SertkError for an address that other machines can reach, unless `allow_network`.
    """

    kind: ClassVar[str] = "wyoming"

    def __init__(
        self,
        address: str,
        stall_s: float = 3.0,
        allow_network: bool = False,
        idle_s: float = IDLE_S,
    ) -> None:
        super().__init__(address)
        self.address, self.stall_s, self._idle_s = address, stall_s, idle_s
        self._where = parsed(address, allow_network)
        self._queue: asyncio.Queue[Chunk | Gap | None] = asyncio.Queue(WAITING)
        # Who has been silent for longest comes first.
        self._clients: dict[Client, asyncio.Task[Any]] = {}
        self._speaker: Client | None = None
        self._closed = False

    @property
    def up(self) -> bool:
        """Say whether clients can send sound, those too that may yet come."""
        return self.status.state in ("ok", "waiting")

    async def chunks(self) -> AsyncGenerator[Chunk | Gap, None]:
        """Yield the sound of one client after the other, a Gap after each. Raises SertkError."""
        servers = await self._listen()
        self._wait_for_client()
        try:
            while (item := await self._next()) is not None:
                yield item
        finally:
            await self._stop(servers)

    def check(self) -> None:
        """Raise SertkError where it could not listen now; AddressInUseError is one of them."""
        if isinstance(self._where, str):
            check_unix(self._where)
        else:
            ports.check(*self._where, OPTIONS)

    async def close(self) -> None:
        """Stop listening; the iteration ends."""
        self._closed = True
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def _listen(self) -> list[AbstractServer]:
        if isinstance(self._where, str):
            return [await listen_unix(self._where, self._serve)]
        sockets = ports.bind(*self._where, OPTIONS)
        host, port = self._where[0], sockets[0].getsockname()[1]
        self.address = f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
        return await listen_tcp(sockets, self._serve)

    async def _stop(self, servers: list[AbstractServer]) -> None:
        self._closed = True
        for server in servers:
            server.close()
        tasks = list(self._clients.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(self._where, str):
            with suppress(OSError, SertkError):
                clear(self._where)
        self.say("ended")

    async def _next(self) -> Chunk | Gap | None:
        """Return what comes next; None after `close`. A client that is silent loses its turn."""
        getting = asyncio.ensure_future(self._queue.get())
        try:
            while not await done_within(getting, self.stall_s):
                if self._speaker is not None:
                    self._wait_for_client()
                    # Reasons are counted apart, so they name no client.
                    return Gap(f"nothing came from the client for {self.stall_s:g} s", None)
            return getting.result()
        finally:
            getting.cancel()

    def _wait_for_client(self) -> None:
        self._speaker = None
        self.say("waiting", "no client sends sound", self.address)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one client, from its first event to its last."""
        task = asyncio.current_task()
        assert task is not None
        client = Client(reader, writer)
        self._make_room()
        self._clients[client] = task
        # Who is cancelled here ends anyway; asyncio would report it as an error of ours.
        with suppress(OSError, asyncio.CancelledError):
            try:
                notice_loss(writer)
                await self._converse(client)
            finally:
                self._clients.pop(client, None)
                writer.close()

    def _make_room(self) -> None:
        """Cut the client that has been silent for longest, where there are as many as may be."""
        silent = [client for client in self._clients if client is not self._speaker]
        if len(self._clients) >= MAX_CLIENTS:
            log("source").warning(
                "a silent client was cut, because too many are connected",
                client=silent[0].name,
                most=MAX_CLIENTS,
            )
            self._clients.pop(silent[0]).cancel()

    async def _event(self, client: Client) -> Event | None:
        """Return the next event; None when the client is gone. Raises ClientRefusedError."""
        try:
            event = await asyncio.wait_for(client.next(), self._idle_s)
        except asyncio.TimeoutError:
            why = f"nothing came for {self._idle_s:g} s"
            raise ClientRefusedError(why, "idle") from None
        if (task := self._clients.pop(client, None)) is not None:
            self._clients[client] = task
        return event

    async def _converse(self, client: Client) -> None:
        try:
            while (event := await self._event(client)) is not None:
                await self._heed(event, client)
            await self._leave(client, "has gone")
        except ClientRefusedError as refused:
            log("source").warning("a client was refused", client=client.name, reason=str(refused))
            await self._leave(client, "was refused")
            await async_write_event(Error(str(refused), refused.code).event(), client.writer)

    async def _heed(self, event: Event, client: Client) -> None:
        """Do what an event asks for; for most kinds nothing."""
        if event.type == "describe":
            await async_write_event(info(), client.writer)
        elif event.type == "ping":
            await async_write_event(Event("pong", data_of(event)), client.writer)
        elif event.type == "audio-chunk":
            await self._hear(event, client)
        elif event.type in ("audio-start", "audio-stop"):
            await self._leave(client, "has ended its sound")

    async def _hear(self, event: Event, client: Client) -> None:
        if self._speaker not in (None, client):
            raise ClientRefusedError("another client is being served", "busy")
        rate_hz, width, channels = shape_of(event)
        if self._speaker is client and rate_hz != client.rate_hz:
            await self._queue.put(Gap("the sample rate has changed", 0.0))
        self._speaker, client.rate_hz = client, rate_hz
        self.say("ok", f"{rate_hz} Hz, {channels} channel(s) from {client.name}")
        if event.payload:
            frames = frames_of_pcm(event.payload, width, channels)
            await self._queue.put(chunk_of(frames, rate_hz, time.time()))

    async def _leave(self, client: Client, why: str) -> None:
        """End the utterance: nothing is lost, but what comes next is another one."""
        if self._speaker is client and not self._closed:
            await self._queue.put(Gap(f"{client.name} {why}", 0.0))
            self._wait_for_client()


class BoundedReader:
    """A stream that gives no more at once than is good: the lengths come from the client."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self.at_eof = reader.at_eof
        self.readline = reader.readline

    async def readexactly(self, n: int) -> bytes:
        """Read as a StreamReader does. Raises ClientRefusedError for too much."""
        if n > MAX_BYTES:
            raise ClientRefusedError(f"at most {MAX_BYTES} bytes are taken at once")
        return await self._reader.readexactly(n)


def data_of(event: Event) -> dict[str, Any]:
    """Return the data of an event; none where a client sent something else in its place."""
    return event.data if isinstance(event.data, dict) else {}


def shape_of(event: Event) -> tuple[int, int, int]:
    """Return rate, bytes of a sample and channels of a chunk. Raises ClientRefusedError for what
    cannot be.
    """
    data = data_of(event)
    numbers = [data[key] for key in ("rate", "width", "channels") if type(data.get(key)) is int]
    if len(numbers) != 3:
        raise ClientRefusedError(
            "rate, width and channels of audio-chunk must be whole numbers", "format"
        )
    rate_hz, width, channels = numbers
    if width not in WIDTHS:
        raise ClientRefusedError(
            f"samples of 1 to 4 bytes (width) expected, received width {width}", "format"
        )
    if rate_hz not in RATES_HZ or channels not in CHANNELS:
        raise ClientRefusedError(
            f"received {rate_hz} Hz with {channels} channels: out of range", "format"
        )
    if len(event.payload or b"") % (width * channels):
        raise ClientRefusedError("an audio-chunk must hold whole frames", "format")
    return rate_hz, width, channels


def info() -> Event:
    """Return what describes this program to clients; without wake words, so that nobody waits for
    one.

    By hand, because `wyoming.info` imports `audioop`, which warns and costs a Pi time.
    """
    from .. import __version__

    program = {
        "name": "sertk",
        "attribution": {"name": "SER Toolkit contributors", "url": ""},
        "installed": True,
        "description": "Detects the emotion of a voice; detects no wake words",
        "version": __version__,
        "models": [],
    }
    kinds = ("asr", "tts", "handle", "intent", "mic", "snd")
    return Event("info", {**{kind: [] for kind in kinds}, "wake": [program]})


def parsed(address: str, allow_network: bool = False) -> str | tuple[str, int]:
    """Return the path of a UNIX socket, or host and port. Raises SertkError for any other
    address.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SertkError(f"'{address}' is no address", SHAPE) from None
    if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return parts.path
    if parts.scheme != "tcp" or not host or port is None:
        raise SertkError(f"'{address}' is no address", SHAPE)
    if not (allow_network or is_loopback(host)):
        raise SertkError(f"'{address}' can be reached by other machines", TUNNEL)
    return host, port
