"""Run tasks in worker processes."""

from __future__ import annotations

import warnings
from typing import Any

from .numba_cache import use_own_numba_cache


def worker_processes(count: int, return_as: str = "list") -> Any:
    """Return joblib's `Parallel` with `count` workers, each with a numba cache of its own.

    Args:
        count: Number of processes.
        return_as: How results come back: `list`, or `generator_unordered` as they are ready.
    """
    from joblib import Parallel

    # loky replaces a worker whose memory has grown, as that of TensorFlow and librosa does.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    return Parallel(n_jobs=count, return_as=return_as, initializer=use_own_numba_cache)
