"""The reader keeps to the contract, on a database that audformat writes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import audformat
import pytest

import sertk_audformat
from ser_toolkit.testing import Check, sertk_checks
from sertk_audformat import AudformatReader

# audformat writes with arguments that pandas 3 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")


def write(folder: Path, storage: str = "csv") -> None:
    files = ["wav/1.wav", "wav/2.wav", "wav/3.wav"]
    made = audformat.Database("mini")
    made.schemes["emotion"] = audformat.Scheme(labels=["anger", "happy", "sadness"])
    made.schemes["speaker"] = audformat.Scheme(labels=["a", "b"])
    made["files"] = audformat.Table(audformat.filewise_index(files))
    for name, values in {"emotion": ["anger", "happy", "sadness"], "speaker": list("abb")}.items():
        made["files"][name] = audformat.Column(scheme_id=name)
        made["files"][name].set(values)
    made.save(str(folder), storage_format=storage)
    (folder / "wav").mkdir()
    for file in files:
        (folder / file).write_bytes(b"RIFF")


@sertk_checks(sertk_audformat, corpora={"audformat": write})
def test_it_keeps_to_the_contract(check: Check) -> None:
    check()


def test_a_database_of_parquet(conforms: Callable[..., None]) -> None:
    conforms(AudformatReader(), corpora={"audformat": partial(write, storage="parquet")})
