"""The arrays of an `.npz` from a stranger: nothing is unpickled, evaluated or decompressed."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .archive import COPY_AGAIN, BundleError

MAX_ARRAYS = 200
# What numpy writes for a C-ordered array, exactly; its own reader evaluates the header.
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(<f4|<i2)', 'fortran_order': False, "
    rb"'shape': \(((?:[0-9]{1,12}, ?)*(?:[0-9]{1,12})?)\), \} *\n",
    re.DOTALL,
)


def arrays_to_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An `.npz` of float32 and int16 arrays; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    ordered: Any = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    np.savez(buffer, **ordered)
    return buffer.getvalue()


def arrays_from_bytes(content: bytes, where: str) -> dict[str, NDArray[Any]]:
    """Read what `arrays_to_bytes` wrote; the arrays are read-only. Raises BundleError."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _check(entries, len(content))
            return {
                entry.filename.removesuffix(".npy"): _array(archive.read(entry))
                for entry in entries
            }
    except Exception as error:  # zipfile raises many kinds on damaged bytes
        why = " ".join(str(error).split()) or type(error).__name__
        raise BundleError(f"{where} is damaged: {why}", COPY_AGAIN) from error


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
        raise ValueError("an array of float32 or int16 expected")
    shape = tuple(int(length) for length in header[2].replace(b" ", b"").split(b",") if length)
    dtype = np.dtype(header[1].decode())
    size = len(content) - header.end()
    if math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"an array of shape {shape} has {size} bytes")
    return np.frombuffer(content, dtype, offset=header.end()).reshape(shape)
