"""Are the events of two files the same, but for what the arithmetic of two processors may do?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PROBABILITY = 0.05
OFFSET_S = 0.1


def events(path: str) -> list[dict[str, Any]]:
    """One event per line."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What differs too much in one event."""
    apart = [key for key in ("kind", "label") if ours[key] != theirs[key]]
    if abs(ours["offset_s"] - theirs["offset_s"]) > OFFSET_S:
        apart.append("offset_s")
    here, there = ours["probabilities"], theirs["probabilities"]
    if here.keys() != there.keys() or any(abs(here[k] - there[k]) > PROBABILITY for k in here):
        apart.append("probabilities")
    return apart


def main(ours: str, theirs: str) -> None:
    """Exit with the first difference."""
    here, there = events(ours), events(theirs)
    if not here or len(here) != len(there):
        sys.exit(f"{len(here)} events, {len(there)} expected")
    for one, other in zip(here, there, strict=True):
        if apart := differences(one, other):
            sys.exit(f"{', '.join(apart)} differ: {one}, expected {other}")
    print(f"{len(here)} events, as on the machine that runs this")


if __name__ == "__main__":
    main(*sys.argv[1:])
