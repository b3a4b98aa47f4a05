"""Walk over the frames of MPEG audio (ISO/IEC 11172-3, 13818-3): where does the last one end?"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from types import MappingProxyType

VERSION_1, RESERVED_VERSION = 3, 1
LAYER_1, LAYER_3 = 3, 1
LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
# Kilobits per second by version (whether it is 1) and layer, as a header's bits have them.
KBITS: Mapping[tuple[bool, int], tuple[int, ...]] = MappingProxyType(
    {
        (True, 3): tuple(range(32, 449, 32)),
        (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
        (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
        (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
        (False, 2): LOW,
        (False, 1): LOW,
    }
)
RATES_HZ = (44_100, 48_000, 32_000)
HALVINGS = {3: 0, 2: 1, 0: 2}


def frames_end(data: bytes | mmap.mmap, start: int) -> int:
    """Return where the last whole frame ends: a decoder stumbles over half a frame, and over tags.

    Args:
        data: The content of a file.
        start: Where its first frame begins.
    """
    at = end = start
    while at >= 0 and at + 4 <= len(data):
        length = frame_length(data[at : at + 4])
        if not length:
            at = data.find(b"\xff", at + 1)
        elif at + length > len(data):
            break
        else:
            at = end = at + length
    return end


def frame_length(header: bytes) -> int:
    """Return the bytes of a frame with this header of four bytes, 0 where it is none."""
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    rate, kbits = header[2] >> 2 & 3, header[2] >> 4
    if header[0] != 0xFF or header[1] < 0xE0 or version == RESERVED_VERSION:
        return 0
    if not layer or rate == len(RATES_HZ) or not 0 < kbits < 15:
        return 0
    bits_per_s = 1000 * KBITS[version == VERSION_1, layer][kbits - 1]
    rate_hz, padding = RATES_HZ[rate] >> HALVINGS[version], header[2] >> 1 & 1
    if layer == LAYER_1:
        return 4 * (12 * bits_per_s // rate_hz + padding)
    halved = layer == LAYER_3 and version != VERSION_1
    return (72 if halved else 144) * bits_per_s // rate_hz + padding
