"""The reader keeps to the contract, on an audio folder with metadata."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

import sertk_datasets
from ser_toolkit.testing import Check, sertk_checks
from sertk_datasets import DatasetsReader

ROWS = {
    "file_name": ["a/1.wav", "a/2.wav", "b/3.wav"],
    "emotion": ["anger", "happy", "sadness"],
    "speaker": ["ann", "ben", "ben"],
}


def write(folder: Path, kind: str = "csv") -> None:
    rows, path = pd.DataFrame(ROWS), folder / f"metadata.{kind}"
    if kind == "csv":
        rows.to_csv(path, index=False)
    elif kind == "jsonl":
        rows.to_json(path, orient="records", lines=True)
    else:
        rows.to_parquet(path)
    tone = 0.1 * np.sin(np.arange(4000) / 10)
    for name in ROWS["file_name"]:
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, tone, 16_000)


@sertk_checks(sertk_datasets, corpora={"datasets": write})
def test_it_keeps_to_the_contract(check: Check) -> None:
    check()


def test_metadata_of_other_kinds(conforms: Callable[..., None]) -> None:
    for kind in ("jsonl", "parquet"):
        conforms(DatasetsReader(), corpora={"datasets": partial(write, kind=kind)})
