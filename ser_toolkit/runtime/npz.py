"""Write arrays as an `.npz` and read them: nothing is unpickled, evaluated or decompressed."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

MAX_ARRAYS = 10_000
# What numpy writes for numbers and text, exactly; its own reader evaluates the header.
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<|][biuf][1248]|<U[1-9][0-9]{0,5})', "
    rb"'fortran_order': (False|True), "
    rb"'shape': \(((?:[0-9]{1,12}, ?)*(?:[0-9]{1,12})?)\), \} *\n",
    re.DOTALL,
)


def write_npz(file: IO[bytes], arrays: Mapping[str, Any]) -> None:
    """Write the bytes that `numpy.savez` writes, under any names; no array may hold objects."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def to_npz(arrays: Mapping[str, Any]) -> bytes:
    """Return the content of an `.npz`; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    write_npz(buffer, arrays)
    return buffer.getvalue()


def from_npz(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of `to_npz`, read-only. Raise ValueError for any other bytes.

    Every member is read whole, so that its checksum is compared: `numpy.load` stops where an
    altered header ends, and gives fewer rows without complaint.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _check(entries, len(content))
            return {
                entry.filename.removesuffix(".npy"): _array(archive.read(entry))
                for entry in entries
            }
    except Exception as error:  # zipfile raises many kinds on damaged bytes
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def _check(entries: list[zipfile.ZipInfo], size: int) -> None:
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names) or len(names) > MAX_ARRAYS:
        raise ValueError(f"at most {MAX_ARRAYS} arrays of different names expected")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("stored arrays expected, received a compressed one")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("its arrays claim more bytes than it has")


def _array(content: bytes) -> NDArray[Any]:
    header = HEADER.match(content)
    if header is None:
        raise ValueError("an array of numbers or text expected")
    shape = tuple(int(length) for length in header[3].replace(b" ", b"").split(b",") if length)
    dtype = np.dtype(header[1].decode())
    size = len(content) - header.end()
    if math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"an array of shape {shape} has {size} bytes")
    flat = np.frombuffer(content, dtype, offset=header.end())
    return flat.reshape(shape, order="F" if header[2] == b"True" else "C")
