"""The reader keeps to the contract, on an audio folder with metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

import sertk_datasets
from ser_toolkit.testing import Check, sertk_checks

ROWS = "file_name,emotion,speaker\na/1.wav,anger,ann\na/2.wav,happy,ben\nb/3.wav,sadness,ben\n"


def write(folder: Path) -> None:
    (folder / "metadata.csv").write_text(ROWS, "utf-8")
    tone = 0.1 * np.sin(np.arange(4000) / 10)
    for row in ROWS.splitlines()[1:]:
        path = folder / row.split(",")[0]
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, tone, 16_000)


@sertk_checks(sertk_datasets, corpora={"datasets": write})
def test_it_keeps_to_the_contract(check: Check) -> None:
    check()
