"""Find the recordings in a file that several were joined to: libsndfile stops after the first."""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass, replace
from pathlib import Path

from .formats import is_mp3, tag_bytes
from .mpeg_frames import frames_end

# A frame of MPEG audio that says how long its stream is: most encoders begin with one.
MP3_HEADER = re.compile(
    rb"\xff[\xe2-\xff]..(?:.{9}|.{17}|.{32})(?:Xing|Info|VBRI)(....)(....)(....)", re.DOTALL
)
HAS_FRAMES, HAS_BYTES = 1, 2
OGG_BEGIN = re.compile(rb"OggS\0[\x02\x03\x06]")
OGG_HEADER_BYTES = 27


@dataclass(frozen=True)
class Link:
    """A stream in a file.

    Attributes:
        start: Its first byte.
        length: Number of its bytes.
        says_length: Whether its own header has its length.
    """

    start: int
    length: int
    says_length: bool = True


def mp3_links(path: Path) -> list[Link]:
    """Return the streams in an MP3 file, without a leading tag."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tag = tag_bytes(data[:10])
        headers = list(MP3_HEADER.finditer(data, tag))
        starts = {match.start(): True for match in headers}
        if not headers or data[tag : headers[0].start()].strip(b"\0"):
            starts[tag] = False
        ends = [match.start() + _claimed_bytes(match) for match in headers]
        ends = [end + tag_bytes(data[end : end + 10]) for end in ends]
        starts |= {end: False for end in ends if end not in starts and is_mp3(data[end : end + 2])}
        links = [_without_next_tag(data, link) for link in _between(starts, len(data))]
        if links[-1].says_length:
            return links
        start = links[-1].start
        return [*links[:-1], Link(start, frames_end(data, start) - start, False)]


def ogg_links(path: Path) -> list[Link]:
    """Return the streams in an Ogg file that follow one another."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        begins = [match.start() for match in OGG_BEGIN.finditer(data)]
        # Streams that lie side by side, such as sound and pictures, begin page after page.
        beside = {begin + _page_bytes(data, begin) for begin in begins}
        return _between({begin: True for begin in begins if begin not in beside}, len(data))


def _without_next_tag(data: mmap.mmap, link: Link) -> Link:
    """Return a stream without the tag of the one that follows it."""
    end = link.start + link.length
    tag = data.rfind(b"ID3", link.start, end)
    if tag < 0 or tag + tag_bytes(data[tag : tag + 10]) != end:
        return link
    return replace(link, length=tag - link.start)


def _claimed_bytes(header: re.Match[bytes]) -> int:
    """Return the length of a stream as its header has it, 0 where it does not say."""
    flags, first, second = (int.from_bytes(field, "big") for field in header.groups())
    if not flags & HAS_BYTES or flags > 0xF:
        return 0
    return second if flags & HAS_FRAMES else first


def _page_bytes(data: mmap.mmap, start: int) -> int:
    n_segments = data[start + 26] if start + 26 < len(data) else 0
    first = start + OGG_HEADER_BYTES
    return OGG_HEADER_BYTES + n_segments + sum(data[first : first + n_segments])


def _between(starts: dict[int, bool], end: int) -> list[Link]:
    places = sorted(starts)
    after = [*places[1:], end] if places else []
    return [Link(one, to - one, starts[one]) for one, to in zip(places, after, strict=True)]
