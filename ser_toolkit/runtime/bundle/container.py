"""Pack and unpack the container of a bundle: a zip file of stored members in one canonical form.

Any zip tool can read it. It consists of local headers, the directory and its end: no compression,
no extra fields, no comments, one fixed time stamp, every byte determined by names and contents.
The reader accepts nothing else, which rules out compression bombs, overlapping or hidden members
and bytes before, between or after them, without a list of such tricks.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from ..errors import SertkError
from ..text import escape_control, shorten

MAX_BYTES = 512 << 20
MAX_MEMBERS = 64
LONGEST_LINE = 400
COPY_AGAIN = "Copy the file again, or export it again"

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_VERSION, _FLAGS, _STORED = 20, 0, 0
_MIDNIGHT, _YEAR_1980 = 0, (1 << 5) | 1
_UNIX, _RW_R__R__ = 3, 0o100644 << 16


class BundleError(SertkError):
    """A file that is not a bundle, not whole, or not for this installation.

    What it quotes is of unknown origin: control characters are escaped, and the line is shortened.
    """

    def __init__(self, problem: str, todo: str = "") -> None:
        super().__init__(_shown(problem), _shown(todo))


def _shown(text: str) -> str:
    return shorten(escape_control(" ".join(text.split())), LONGEST_LINE)


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return the archive of `members`, in their order; the same members give the same bytes."""
    parts: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for name, content in members.items():
        entry = (name.encode("ascii"), zlib.crc32(content), len(content))
        directory.append(_central(*entry, offset))
        local = _local(*entry)
        parts += (local, content)
        offset += len(local) + len(content)
    if offset > MAX_BYTES or len(members) > MAX_MEMBERS:
        raise BundleError(
            f"a bundle holds at most {MAX_MEMBERS} members and {MAX_BYTES >> 20} MiB, "
            f"received {len(members)} members and {offset >> 20} MiB",
            "Choose a smaller network",
        )
    return b"".join((*parts, *directory, _end(directory, offset)))


def unpack(content: bytes) -> dict[str, bytes]:
    """Return the members of an archive that `pack` made; BundleError for any other bytes."""
    if not content.startswith(b"PK\x03\x04"):
        what = f"{len(content)} bytes that begin with {content[:4]!r}" if content else "no bytes"
        raise BundleError(f"a bundle (.sertk) expected, received {what}", "Check the path")
    if len(content) > MAX_BYTES:
        raise BundleError(f"at most {MAX_BYTES >> 20} MiB expected, received {len(content)} bytes")
    members: dict[str, bytes] = {}
    directory: list[bytes] = []
    offset = 0
    while content[offset : offset + 4] == b"PK\x03\x04":
        name, member, crc = _member(content, offset)
        if name in members or len(members) == MAX_MEMBERS:
            raise BundleError(f"{name:.80} is there twice or one too many", COPY_AGAIN)
        directory.append(_central(name.encode(), crc, len(member), offset))
        members[name] = member
        offset += _LOCAL.size + len(name) + len(member)
    if content[offset:] != b"".join((*directory, _end(directory, offset))):
        raise BundleError(
            f"its {len(content) - offset} bytes after the last member are not the directory that "
            "belongs there: it is cut off, was altered, or was packed by another tool",
            COPY_AGAIN,
        )
    return members


def _member(content: bytes, offset: int) -> tuple[str, bytes, int]:
    """Return name, content and checksum of the member whose local header is at `offset`."""
    header = content[offset : offset + _LOCAL.size]
    if len(header) < _LOCAL.size:
        raise BundleError("the bundle is cut off within a header", COPY_AGAIN)
    _, _, _, method, _, _, crc, _, size, name_length, _ = _LOCAL.unpack(header)
    if method != _STORED:
        raise BundleError("stored members expected, received a compressed one", COPY_AGAIN)
    start = offset + _LOCAL.size + name_length
    raw = content[offset + _LOCAL.size : start]
    shown = raw.decode("ascii", "backslashreplace")[:80]
    if start > len(content):
        raise BundleError("the bundle is cut off within a name", COPY_AGAIN)
    if start + size > len(content):
        raise BundleError(
            f"the bundle is cut off within {shown}: {size} bytes expected, "
            f"received {len(content) - start}",
            COPY_AGAIN,
        )
    member = content[start : start + size]
    if zlib.crc32(member) != crc:
        raise BundleError(f"{shown} is damaged: its checksum is wrong", COPY_AGAIN)
    if not raw.isascii() or header + raw != _local(raw, crc, size):
        raise BundleError(f"{shown} has a header that no bundle has", COPY_AGAIN)
    return raw.decode("ascii"), member, crc


def _local(name: bytes, crc: int, size: int) -> bytes:
    how = (_VERSION, _FLAGS, _STORED, _MIDNIGHT, _YEAR_1980)
    return _LOCAL.pack(b"PK\x03\x04", *how, crc, size, size, len(name), 0) + name


def _central(name: bytes, crc: int, size: int, offset: int) -> bytes:
    made_by = (_UNIX << 8) | _VERSION
    how = (made_by, _VERSION, _FLAGS, _STORED, _MIDNIGHT, _YEAR_1980)
    rest = (len(name), 0, 0, 0, 0, _RW_R__R__, offset)
    return _CENTRAL.pack(b"PK\x01\x02", *how, crc, size, size, *rest) + name


def _end(directory: list[bytes], offset: int) -> bytes:
    count, size = len(directory), sum(map(len, directory))
    return _END.pack(b"PK\x05\x06", 0, 0, count, count, size, offset, 0)
