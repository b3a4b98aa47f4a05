"""Where Wyoming clients find the daemon: addresses, what is taken, what a check sees of it."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ser_toolkit.runtime.errors import SertkError
from sertk_edge.service.ports import AddressInUseError
from sertk_edge.sources.wyoming import WyomingSource


def test_no_address() -> None:
    told = r"is no address\. Give wyoming:tcp://127\.0\.0\.1:PORT"
    for address in (
        *("", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:x", "tcp://127.0.0.1:99999"),
        *("tcp://[::1:1", "udp://127.0.0.1:1", "127.0.0.1:10300", "unix:", "unix://x"),
    ):
        with pytest.raises(SertkError, match=told):
            WyomingSource(address)


def test_other_machines_cannot_connect() -> None:
    for host in ("0.0.0.0", "192.168.1.7", "[::]", "pi.local"):
        with pytest.raises(SertkError, match=r"can be reached by other machines\. .* ssh -N -L"):
            WyomingSource(f"tcp://{host}:10300")
        assert WyomingSource(f"tcp://{host}:10300", allow_network=True).address


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        source = WyomingSource(f"tcp://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(SertkError, match=r"another program listens on 127\.0\.0\.1:\d+"):
            asyncio.run(anext(source.chunks()))


def test_a_name_of_several_addresses_has_one_port() -> None:
    async def ports() -> list[int]:
        source = WyomingSource("tcp://localhost:0")
        servers = await source._listen()
        found = [sock.getsockname()[1] for server in servers for sock in server.sockets]
        assert source.address == f"tcp://localhost:{found[0]}"
        for server in servers:
            server.close()
        return found

    assert len(set(asyncio.run(ports()))) == 1


def test_a_check_says_whether_it_could_listen_and_leaves_everything_as_it_is(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("wy")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(folder / "left"))
        server.bind(str(folder / "held"))
        server.listen()
        with pytest.raises(AddressInUseError, match=r"another program listens on '.*held'"):
            WyomingSource(f"unix://{folder}/held").check()
    WyomingSource(f"unix://{folder}/left").check()
    WyomingSource(f"unix://{folder}/new").check()
    assert {path.name for path in folder.iterdir()} == {"left", "held"}
    (folder / "diary").write_text("dear diary")
    reasons = {"diary": "no socket", "long" * 40: "cannot listen", "x/s": "cannot listen"}
    for name, reason in reasons.items():
        with pytest.raises(SertkError, match=reason):
            WyomingSource(f"unix://{folder}/{name}").check()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        source = WyomingSource(f"tcp://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(AddressInUseError):
            source.check()
    source.check()
    source.check()


def test_a_socket_of_another_user_is_taken(require: Callable[[str, bool, str], None]) -> None:
    require("root", os.geteuid() == 0, "it becomes another user for a moment")
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        Path(folder).chmod(0o755)
        server.bind(f"{folder}/s")
        Path(f"{folder}/s").chmod(0o600)
        server.listen()
        os.seteuid(65534)
        try:
            with pytest.raises(AddressInUseError, match="another user has the socket"):
                WyomingSource(f"unix://{folder}/s").check()
            with pytest.raises(SertkError, match="its folder cannot be written"):
                WyomingSource(f"unix://{folder}/other").check()
        finally:
            os.seteuid(0)


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("dear diary")
    with pytest.raises(SertkError, match="is there and is no socket"):
        asyncio.run(anext(WyomingSource(f"unix://{tmp_path}/diary").chunks()))
    assert (tmp_path / "diary").read_text() == "dear diary"


def test_a_path_that_no_socket_can_have(tmp_path: Path) -> None:
    for path in (tmp_path / ("long" * 40), tmp_path / "nowhere" / "s"):
        with pytest.raises(SertkError, match="cannot listen on"):
            asyncio.run(anext(WyomingSource(f"unix://{path}").chunks()))
