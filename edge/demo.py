"""Joins utterances of a run's test speakers into one recording, for the daemon to listen to.

    python edge/demo.py RUN CORPUS OUT.wav [--clips 12]

RUN is a run directory, CORPUS the folder that its clips lie in. The recording has two seconds of a
quiet room before, between and after the clips; what is spoken when goes to standard error.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
import soundfile

PAUSE_S = 2.5
ROOM = 1e-4


def main() -> None:
    """Write the recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=12)
    args = parser.parse_args()
    with (args.run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = rows[:: max(1, len(rows) // args.clips)][: args.clips]
    parts, at_s, rate_hz, rng = [], 0.0, 0, np.random.default_rng(0)
    for row in chosen:
        name = row["file"].partition("/")[2]
        samples, rate_hz = soundfile.read(args.corpus / name, dtype="float32")
        room = rng.normal(0, ROOM, int(PAUSE_S * rate_hz)).astype(np.float32)
        at_s += PAUSE_S
        print(f"{at_s:7.2f} s  {row['emotion']:10}  {row['file']}", file=sys.stderr)
        at_s += len(samples) / rate_hz
        parts += [room, samples]
    soundfile.write(args.out, np.concatenate([*parts, parts[0]]), rate_hz)


if __name__ == "__main__":
    main()
