"""Normalize features before the network: one fixed affine per feature column.

Before the network, not inside it: one int8 input scale for columns of very different ranges would
flatten the small ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SertkError
from ..npz import from_npz, to_npz
from .base import F32

SMALLEST_STD = 1e-6


@dataclass(frozen=True)
class Normalizer:
    """Standardise each column: (x - mean) / std, float32; `mean` and `std` are (F,).

    `apply` takes and returns a state, None here: a normalizer that adapts to a voice keeps its
    running statistics there.
    """

    mean: F32
    std: F32

    def apply(self, frames: F32, state: Any = None) -> tuple[F32, Any]:
        """Return standardised frames (T, F) float32, and the state for the next call."""
        if frames.shape[-1] != len(self.mean):
            raise SertkError(
                f"{len(self.mean)} feature columns expected, {frames.shape[-1]} received",
                "Use the extractor that the normalizer was fitted with",
            )
        return (frames - self.mean) * (np.float32(1) / self.std), state


def normalizers_to_bytes(normalizers: Mapping[str, Normalizer]) -> bytes:
    """Return the content of `adapter.npz`: one normalizer per network input."""
    arrays = {f"{name}.mean": normalizer.mean for name, normalizer in normalizers.items()}
    return to_npz(
        arrays | {f"{name}.std": normalizer.std for name, normalizer in normalizers.items()}
    )


def normalizers_from_bytes(content: bytes) -> dict[str, Normalizer]:
    """Read what `normalizers_to_bytes` wrote; nothing is unpickled."""
    arrays = from_npz(content)
    names = [key[: -len(".mean")] for key in arrays if key.endswith(".mean")]
    return {name: Normalizer(arrays[f"{name}.mean"], arrays[f"{name}.std"]) for name in names}


def unaltered(n_columns: int) -> Normalizer:
    """Return the normalizer that leaves `n_columns` columns as they are."""
    return Normalizer(np.zeros(n_columns, np.float32), np.ones(n_columns, np.float32))


def fit(batches: Iterable[NDArray[Any]]) -> Normalizer:
    """Fit mean and standard deviation of every column over all frames of training clips.

    One pass in float64 with shifted sums (the shift is the first clip's mean), so that a large
    mean beside a small spread costs no accuracy. A constant column gets std 1.
    """
    count, shift, total, squares = 0, None, 0.0, 0.0
    for batch in batches:
        wide = np.asarray(batch, np.float64).reshape(-1, batch.shape[-1])
        shift = wide.mean(0) if shift is None else shift
        centred = wide - shift
        count += len(wide)
        total = total + centred.sum(0)
        squares = squares + (centred**2).sum(0)
    if shift is None:
        raise SertkError("no frames to fit the normalizer on", "Check the training clips")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    std = np.where(std < SMALLEST_STD * np.maximum(1, np.abs(shift)), 1.0, std)
    return Normalizer((shift + mean).astype(np.float32), std.astype(np.float32))
