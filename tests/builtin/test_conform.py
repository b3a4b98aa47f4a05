"""What comes with the core keeps to the contract of plugins."""

from __future__ import annotations

from pathlib import Path

from ser_toolkit import builtin
from ser_toolkit.builtin.augmenters import Noise
from ser_toolkit.builtin.readers import FolderReader, TableReader
from ser_toolkit.builtin.synthetic import SyntheticReader
from ser_toolkit.runtime.features.base import Joined, Stack
from ser_toolkit.runtime.features.functionals import Functionals
from ser_toolkit.runtime.features.spectral import Deltas, LogMel, Mfcc, Pitch, Rms, Zcr
from ser_toolkit.testing import Check, sertk_checks

SPEAKERS = ("ann", "ben")
WORDS = {"Angry": "anger", "happy": "happiness", "neutral": "neutral"}


def folders(root: Path) -> None:
    for word in WORDS:
        for speaker in SPEAKERS:
            (place := root / word / speaker).mkdir(parents=True)
            (place / f"{speaker}.wav").write_bytes(b"RIFF")


def table(root: Path) -> None:
    rows = ["file,emotion,speaker"]
    for speaker in SPEAKERS:
        for word in WORDS:
            (root / f"{speaker}-{word}.wav").write_bytes(b"RIFF")
            rows.append(f"{speaker}-{word}.wav,{word},{speaker}")
    (root / "clips.csv").write_text("\n".join(rows), "utf-8")


CORPORA = {"folders": folders, "table": table}
OTHERS = (
    Stack((LogMel(), Pitch(scale="gated"), Zcr(), Rms())),
    Joined((Functionals(),)),
    Deltas(Stack((Mfcc(), Rms())), order=2),
    Mfcc(8000, 200, 80, n_mels=20, fmax_hz=4000.0),
    Rms(hop_length=600),
    Noise(p=0.5, snr_db_min=0.0),
)


# The corpus of the synthetic reader is large by default.
@sertk_checks(
    *builtin.sertk_extractors(),
    *builtin.sertk_augmenters(),
    *builtin.sertk_models(),
    *builtin.sertk_recipes(),
    FolderReader(),
    TableReader(),
    SyntheticReader(speakers=2, sentences=1),
    corpora=CORPORA,
)
def test_what_is_built_in(check: Check) -> None:
    check()


@sertk_checks(*OTHERS)
def test_with_other_parameters(check: Check) -> None:
    check()


@sertk_checks(
    Stack((Mfcc(n_mfcc=13), Mfcc(n_mfcc=13, norm="none"), Deltas(width=5))),
    expected_failures={"columns": "a stack does not rename what two of its parts call alike"},
)
def test_two_of_a_kind(check: Check) -> None:
    check()
