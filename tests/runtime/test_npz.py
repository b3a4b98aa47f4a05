"""One npz writer and one strict reader: numpy's bytes out, and nothing but plain arrays in."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.runtime.npz import from_npz, to_npz
from ser_toolkit.utils.files import read_npz, write_npz

ARRAYS: dict[str, Any] = {
    "frames": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns": np.arange(6.0).reshape(2, 3).T,
    "pcm": np.arange(-5, 5, dtype=np.int16),
    "meta": np.frombuffer(b"{}", np.uint8),
    "flags": np.array([True, False]),
    "steps": np.array(7, np.int64),
    "names": np.array(["a", "é", ""]),
    "none": np.empty((0, 4), np.float32),
}


def numpys(arrays: dict[str, Any], save: Any = np.savez) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def zipped(member: bytes, how: int = zipfile.ZIP_STORED, names: tuple[str, ...] = ("a",)) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name in names:
            archive.writestr(f"{name}.npy", member)
    return buffer.getvalue()


def npy(array: Any, **more: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), **more)
    return buffer.getvalue()


def test_the_bytes_are_those_of_numpy() -> None:
    assert to_npz(ARRAYS) == numpys(ARRAYS) == to_npz(ARRAYS)


def test_what_is_written_is_read_with_its_type_shape_and_order() -> None:
    found = from_npz(to_npz(ARRAYS))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].flags.f_contiguous == array.flags.f_contiguous
        assert not found[name].flags.writeable
        np.testing.assert_array_equal(found[name], array)


def test_a_file_is_numpys_too_and_what_it_gives_may_be_changed(tmp_path: Path) -> None:
    names = {"file": np.arange(3.0), "a/b é": np.ones((2, 2), np.float32)}
    write_npz(tmp_path / "deep" / "x.npz", names)
    found = read_npz(tmp_path / "deep" / "x.npz")
    with np.load(tmp_path / "deep" / "x.npz", allow_pickle=False) as file:
        assert list(file) == list(found) == list(names)
    found["file"] += 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.npz"]


def test_objects_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npz(tmp_path / "x.npz", {"a": np.array([None, "text"], object)})
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_nothing_else_is_read(tmp_path: Path) -> None:
    plain = npy(np.ones(4, np.float32))
    good = zipped(plain)
    wrong = {
        "empty": b"",
        "no zip": b"PK",
        "cut": good[:-30],
        "objects": numpys({"a": np.array([{"a": 1}], object)}),
        "structured": zipped(npy(np.zeros(2, [("x", "<f4")]))),
        "complex": zipped(npy(np.zeros(2, np.complex64))),
        "big endian": zipped(npy(np.zeros(2, ">f4"))),
        "newer header": zipped(npy(np.zeros(2), version=(2, 0))),
        "no array": zipped(b"text"),
        "bytes missing": zipped(plain[:-1]),
        "bytes left over": zipped(plain + b"\0"),
        "altered": good.replace(plain[-8:], b"\0" * 8),
        "compressed": numpys({"a": np.zeros(4)}, np.savez_compressed),
        "the same name twice": zipped(plain, names=("a", "a")),
        "code": zipped(plain.replace(b"(4,), }", b"(2+2), ")),
    }
    for what, content in wrong.items():
        with pytest.raises(ValueError) as caught:
            from_npz(content)
        assert "\n" not in str(caught.value), what
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"^x\.npz is damaged \("):
            read_npz(tmp_path / "x.npz")
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "none.npz")
