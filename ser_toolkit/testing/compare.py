"""Compare results, and explain differences in words."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..plugins.errors import one_line
from ..runtime.component import fields_of
from ..runtime.features.base import F32
from .check import CheckFailed, expect

CLOSE = 1e-4
"""Largest difference, as a share of the largest value of a column."""
C = TypeVar("C")


def array(found: object, what: str, finite: bool = True) -> F32:
    """Return `found` as a float32 array of finite numbers, else raise CheckFailed.

    Args:
        found: What the component returned.
        what: What messages call it.
        finite: False leaves out the check for finite numbers.
    """
    expected = f"{what} to be a float32 array"
    if not isinstance(found, np.ndarray):
        raise CheckFailed(expected, f"{type(found).__name__}", "Return a numpy array")
    expect(
        found.dtype == np.float32,
        expected,
        f"dtype {found.dtype}",
        "End with .astype(np.float32): the network and the device compute in float32",
    )
    if finite:
        _finite(found, what)
    return found


def _finite(found: F32, what: str) -> None:
    bad = np.argwhere(~np.isfinite(found))
    if len(bad):
        place = ", ".join(map(str, bad[0]))
        raise CheckFailed(
            f"{what} to hold finite numbers alone",
            f"{found[tuple(bad[0])]} at [{place}], {len(bad)} of {found.size} in all",
            "Guard logarithms and divisions with a floor: np.log(x + 1e-10), np.maximum(x, 1e-10)",
        )


def same(found: F32, before: F32, expected: str, todo: str) -> None:
    """Require equality to the last bit, else raise CheckFailed.

    Args:
        found: The array to check.
        before: What it must equal.
        expected: The requirement, in words.
        todo: What its author can do.
    """
    expect(found.shape == before.shape, expected, f"shapes {before.shape} and {found.shape}", todo)
    if not np.array_equal(found, before, equal_nan=True):
        raise CheckFailed(expected, _difference(found, before), todo)


def close(
    found: F32,
    wanted: F32,
    expected: str,
    todo: str,
    columns: Sequence[str] = (),
    tolerance: float = CLOSE,
) -> None:
    """Require equality except for rounding, column by column, else raise CheckFailed.

    Args:
        found: The array to check.
        wanted: What it must equal.
        expected: The requirement, in words.
        todo: What its author can do.
        columns: Names of the columns, for the message.
        tolerance: The largest error, as a share of the largest value of a column.
    """
    expect(found.shape == wanted.shape, expected, f"shape {found.shape} for {wanted.shape}", todo)
    if not wanted.size:
        return
    apart = _relative(found, wanted)
    if not apart.max() <= tolerance:
        raise CheckFailed(expected, _difference(found, wanted, apart, columns), todo)


def relative_error(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Return the largest error, as a share of the largest value of its column.

    Elementwise comparisons fail on another processor, where sums are rounded in another order: a
    value near zero in a column of large ones has no exact digits. A column runs along the first
    axis. The error of arrays of two shapes, and of NaN, is infinite.
    """
    if found.shape != wanted.shape:
        return float("inf")
    return float(_relative(found, wanted).max(initial=0))


def _relative(found: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.float64]:
    """Return the error of each value, as a share of the largest value of its column."""
    scale = np.abs(wanted).max(axis=0, initial=0) + 1e-6
    apart: NDArray[np.float64] = np.abs(found.astype(np.float64) - wanted) / scale
    return np.nan_to_num(apart, nan=np.inf)


def unchanged(now: F32, before: F32, what: str) -> None:
    """Require that the input did not change, else raise CheckFailed.

    Args:
        now: The input after the call.
        before: A copy from before.
        what: What messages call it.
    """
    count = int(np.count_nonzero(now != before))
    expect(
        count == 0,
        f"{what} to stay as it was",
        f"{count} of {before.size} values changed",
        "Work on a copy (samples.copy()); `x *= 2` and out=x write into what was given",
    )


def overwritten(found: F32, todo: str) -> None:
    """Write into a result, as its caller may; raise CheckFailed where numpy refuses."""
    try:
        found[...] = -7
    except ValueError as error:
        raise CheckFailed("a result that may be written to", str(error), todo) from error


def twin(component: C) -> C:
    """Return an equal component that was not used yet."""
    copy: Any = dataclasses.replace(cast(Any, component), **fields_of(cast(Any, component)))
    return cast(C, copy)


@contextlib.contextmanager
def generators_alone(todo: str) -> Iterator[None]:
    """Require that the global generators are neither drawn from nor seeded; restore them."""
    kept: tuple[Any, Any] = np.random.get_state(), random.getstate()
    # A component that seeds with a constant leaves one state each time, but not the one after it.
    np.random.random(), random.random()
    before = _global_states()
    try:
        yield
        expect(
            _global_states() == before,
            "the global generators of numpy and Python to be left alone",
            "one of them was drawn from or seeded",
            todo,
        )
    finally:
        np.random.set_state(kept[0])
        random.setstate(kept[1])


def _global_states() -> tuple[Any, ...]:
    numpy_state: Any = np.random.get_state(legacy=True)
    return (*(str(part) for part in numpy_state), numpy_state[1].tobytes(), random.getstate())


def refuses_writing(error: Exception) -> bool:
    """Say whether numpy raised this because an array must not be written to."""
    return isinstance(error, ValueError) and "read-only" in str(error)


def raised(error: BaseException) -> str:
    """Return an exception as `received` shows it."""
    return one_line(error)


def _difference(found: F32, wanted: F32, apart: Any = None, columns: Sequence[str] = ()) -> str:
    if apart is None:
        apart = np.abs(np.nan_to_num(found.astype(np.float64) - wanted, nan=np.inf))
    worst = np.unravel_index(int(np.argmax(apart)), found.shape)
    place = "[" + ", ".join(map(str, worst)) + "]"
    if len(worst) == 2 and len(columns) == found.shape[1]:
        place = f"frame {worst[0]}, column '{columns[int(worst[1])]}'"
    return f"{found[worst]:.6g} for {wanted[worst]:.6g} at {place}"
