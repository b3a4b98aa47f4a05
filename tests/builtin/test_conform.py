"""What comes with the core keeps to the contract of plugins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ser_toolkit import builtin
from ser_toolkit.builtin.augmenters import Noise
from ser_toolkit.builtin.dense import Mlp
from ser_toolkit.builtin.readers import FolderReader, TableReader
from ser_toolkit.builtin.synthetic import SyntheticReader
from ser_toolkit.runtime.component import Component
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


def table_apart(root: Path) -> None:
    table(root)
    (root / "samples").mkdir()
    for file in root.glob("*.wav"):
        file.rename(root / "samples" / file.name)


CORPORA = {"folders": folders, "table": table}
ODD = {"frame_length": 401, "hop_length": 160}
SPARSE = {"frame_length": 300, "hop_length": 512}
OTHERS = (
    Zcr(**SPARSE),
    Rms(hop_length=600),
    LogMel(log="db", norm="unit_sum", mel_scale="slaney", precision="single"),
    Mfcc(8000, 200, 80, n_mels=20, fmax_hz=4000.0),
    Pitch(scale="gated"),
    Deltas(Rms(**SPARSE)),
    Deltas(Deltas(Rms(), width=3), width=5, order=2),
    Deltas(Stack((Rms(), Pitch()))),
    Deltas(Stack((Mfcc(), Rms())), order=2),
    Stack((Zcr(), Rms(), LogMel(), Mfcc(), Pitch(), Deltas())),
    Stack((LogMel(), Pitch(scale="gated"), Zcr(), Rms())),
    Stack((Rms(**ODD), Zcr(**ODD), Mfcc(**ODD, n_mels=40))),
    Stack((Rms(**SPARSE), Zcr(frame_length=700, hop_length=512))),
    Functionals(22050, n_mfcc=13, n_mels=64),
    Joined((Functionals(),)),
    Noise(p=0.5, snr_db_min=0.0),
)
Conforms = Callable[..., None]


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


@pytest.mark.parametrize("component", OTHERS, ids=lambda one: one.name)
def test_with_other_parameters(component: Component, conforms: Conforms) -> None:
    conforms(component)


@sertk_checks(
    Mlp(hidden=(64,), dropout=0.0, input_dropout=0.1),
    inputs={"mlp": {"functionals": (30,), "msf_stats": (4, 5)}},
)
def test_a_network_of_two_inputs(check: Check) -> None:
    check()


def test_a_table_with_its_audio_elsewhere(conforms: Conforms) -> None:
    """Its clips are named as in the table, which says nothing of that folder."""
    conforms(TableReader("samples"), "files", corpora={"table": table_apart})


def test_two_of_a_kind(conforms: Conforms) -> None:
    """A stack does not rename what two of its parts call alike."""
    stack = Stack((Mfcc(n_mfcc=13), Mfcc(n_mfcc=13, norm="none"), Deltas(width=5)))
    conforms(stack, "columns")
