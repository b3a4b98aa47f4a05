"""Write the outputs of finished work: one that cannot be written takes none of the others along."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..plugins.errors import one_line
from ..runtime.errors import SertkError
from ..utils.files import file_error

Step = tuple[str, Callable[[], object]]
"""The name of an output, and what writes it."""


class OutputError(SertkError):
    """Raised where results were computed and some of them were not written.

    Attributes:
        metrics: The metrics, which are lost otherwise where their own file is missing.
    """

    def __init__(
        self, problem: str, todo: str = "", metrics: Mapping[str, Any] | None = None
    ) -> None:
        self.metrics = metrics or {}
        super().__init__(problem, todo)


def write_all(steps: Iterable[Step]) -> list[SertkError]:
    """Run every step, and return why some of them failed."""
    return [error for name, write in steps if (error := _attempt(name, write))]


def _attempt(name: str, write: Callable[[], object]) -> SertkError | None:
    try:
        write()
    except SertkError as error:
        return error
    except OSError as error:
        return file_error(error)
    except Exception as error:  # a drawing library and a plugin's layers raise anything
        return SertkError(f"{name} cannot be written: {one_line(error)}")
    return None


def refuse_incomplete(
    failures: Sequence[SertkError], metrics: Mapping[str, Any], folder: Path
) -> None:
    """Raise OutputError if anything failed.

    Args:
        failures: As `write_all` returns them.
        metrics: What was computed.
        folder: Where the rest is.
    """
    if not failures:
        return
    first = failures[0]
    others = f", and {len(failures) - 1} more outputs" if len(failures) > 1 else ""
    todo = f"{first.todo}; the rest is in {folder}" if first.todo else f"The rest is in {folder}"
    raise OutputError(f"{first.problem}{others}", todo, metrics)
