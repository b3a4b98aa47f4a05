"""What a run reads back of its own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_toolkit.contracts.components import Clip, Utterance
from ser_toolkit.metrics.scores import Scores
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.training.report import prediction_rows, write_csv
from ser_toolkit.training.run_dir import read_scores

LABELS = ("anger", "neutral")


def clip(name: str, number: int, emotion: str = "anger") -> Utterance:
    return Utterance(Clip(Path("x"), name, "c", emotion, "s"), f"{number:064x}", 1.0)


def test_clips_of_one_name_keep_their_own_probabilities(tmp_path: Path) -> None:
    items = (clip("a.wav", 1), clip("a.wav", 2), clip("b\x85\r.wav", 3, "neutral"))
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], np.float32)
    scores = Scores(items, LABELS, np.array([0, 0, 1]), probabilities)
    path = tmp_path / "predictions.csv"
    write_csv(path, prediction_rows(scores))
    found = read_scores(path, items, LABELS)
    assert np.allclose(found.probabilities, probabilities, atol=1e-6)
    assert found.truth.tolist() == [0, 0, 1]


def test_rows_of_other_clips_are_refused(tmp_path: Path) -> None:
    items = (clip("a.wav", 1), clip("b.wav", 2))
    scores = Scores(items, LABELS, np.array([0, 0]), np.full((2, 2), 0.5, np.float32))
    path = tmp_path / "predictions.csv"
    write_csv(path, prediction_rows(scores))
    for others in (items[::-1], items[:1], (*items, items[0])):
        with pytest.raises(SertkError, match=r"predictions\.csv does not fit the data"):
            read_scores(path, others, LABELS)
    with pytest.raises(SertkError, match="does not fit the data"):
        read_scores(path, items, ("anger", "fear"))
