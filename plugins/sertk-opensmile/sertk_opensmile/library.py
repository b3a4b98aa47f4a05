"""Load the library `opensmile` so that it is safe beside TensorFlow."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from pathlib import Path
from typing import Any


def load_library() -> Any:
    """Import the package `opensmile`, its binary bound to its own functions.

    openSMILE and TensorFlow both export T. Ooura's FFT (`rdft`, `cdft` and others), the one for
    float, the other for double. Loaded after TensorFlow, openSMILE would call TensorFlow's, which
    writes beyond its arrays. A binary that is bound to itself before `opensmile` opens it stays so.
    """
    mode = getattr(os, "RTLD_DEEPBIND", None)  # glibc's alone: others look in the binary first
    spec = importlib.util.find_spec("opensmile")
    if mode is not None and spec is not None and spec.origin is not None:
        for path in Path(spec.origin).parent.glob("core/bin/*/libSMILEapi.so"):
            ctypes.CDLL(str(path), mode=mode | os.RTLD_NOW)
    import opensmile

    return opensmile
