"""The standard descriptors: where one is closed, no other file may come to have its number."""

from __future__ import annotations

import os
import sys
from typing import Any


def hold_standard() -> None:
    """Put what takes everything and gives nothing where standard input, output or error is closed.

    Otherwise the next file that is opened gets the number, and events are written into it: the
    database of the spool, for instance.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Gets the lowest number that is free, which is this one.
            os.open(os.devnull, os.O_WRONLY)
    # Python has none where the descriptor was closed.
    sys.stdout = sys.stdout or _text(1)
    sys.stderr = sys.stderr or _text(2)


def _text(number: int) -> Any:
    return open(number, "w", encoding="utf-8", closefd=False)
