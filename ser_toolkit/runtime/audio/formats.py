"""Name the formats of audio files by their first bytes, and list their endings."""

from __future__ import annotations

LIBSNDFILE_ENDINGS = "wav wave flac ogg oga opus mp3 mp2 aif aiff aifc au snd w64 caf sph"
FFMPEG_ENDINGS = (
    "m4a m4b mp4 m4v mov 3gp 3g2 aac wma wmv asf webm mkv mka avi flv amr spx ogv mpg mpeg mts "
    "m2ts wv ape tta ac3"
)
LIBSNDFILE_SUFFIXES = frozenset(f".{ending}" for ending in LIBSNDFILE_ENDINGS.split())
AUDIO_SUFFIXES = LIBSNDFILE_SUFFIXES | {f".{ending}" for ending in FFMPEG_ENDINGS.split()}
"""Suffixes of audio files, and of videos with sound, in lower case with the dot."""
HEAD_BYTES = 192
LFS_MAGIC = b"version https://git-lfs"
# Where the bytes are, the bytes, and what people call it. libsndfile reads none of these.
FOREIGN = (
    (4, b"ftyp", "MP4 or M4A"),
    *((4, atom, "QuickTime") for atom in (b"moov", b"mdat", b"wide")),
    (0, b"\x1aE\xdf\xa3", "WebM or Matroska"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "Windows Media"),
    *((0, bytes((0xFF, second)), "AAC") for second in (0xF0, 0xF1, 0xF8, 0xF9)),
    (28, b"Speex   ", "Speex in Ogg"),
    (28, b"\x7fFLAC", "FLAC in Ogg"),
    (28, b"\x80theora", "Ogg video"),
    (8, b"AVI ", "AVI"),
    (0, b"BW64", "BW64"),
    (0, b"#!AMR", "AMR"),
    (0, b"FLV\x01", "Flash video"),
    (0, b"\0\0\x01\xba", "MPEG video"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"TTA1", "True Audio"),
    (0, b"\x0bw", "AC-3"),
)
CONTAINERS = ((b"RIFF", "WAV"), (b"caff", "CAF"), (b"FORM", "AIFF"), (b"OggS", "Ogg"))


def foreign_format(head: bytes) -> str | None:
    """Return the name of a format that libsndfile does not read, from the first bytes of a file."""
    if head[:1] == b"G" and head[188:189] == b"G":
        return "MPEG transport stream"
    return next((name for at, magic, name in FOREIGN if head[at:].startswith(magic)), None)


def container(head: bytes) -> str:
    """Return the name of a container that may hold more codecs than libsndfile has."""
    return next((name for magic, name in CONTAINERS if head.startswith(magic)), "this format")


def is_mp3(head: bytes) -> bool:
    """Say whether a file begins with a frame of MPEG audio."""
    return len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0 and bool(head[1] & 0x06)


def tag_bytes(head: bytes) -> int:
    """Return the length of a leading ID3v2 tag, whose size has 7 bits in each byte."""
    if not head.startswith(b"ID3") or len(head) < 10:
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return size + 10
