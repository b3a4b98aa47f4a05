"""Results in the forms that Python users have tools for: tables and records."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Result(Mapping[str, Any]):
    """What a command has found, by the keys of its JSON: `found["uar"]` is `found.uar`."""

    _values: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        # Copying and unpickling ask for names before there are values.
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"there is no '{name}'; choose from {', '.join(self)}")
        return self._values[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._values]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return dict(self._values)


def as_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return rows as a pandas frame where pandas is installed, as a list of dicts otherwise."""
    if importlib.util.find_spec("pandas") is None:
        return [dict(row) for row in rows]
    import pandas

    return pandas.DataFrame(list(rows))


def parse_number(text: str) -> int | float | None:
    """Return the number of a cell; None for an empty one."""
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)
