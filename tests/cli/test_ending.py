"""What a training ends with in the terminal, against the files of the run."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ser_toolkit import Run
from ser_toolkit.cli import ending, show
from ser_toolkit.runtime.errors import SertkError


@pytest.fixture
def run(small_run: tuple[Any, Path]) -> Run:
    return small_run[0]  # type: ignore[no-any-return]


@pytest.fixture
def lines(run: Run, capsys: pytest.CaptureFixture[str]) -> list[str]:
    show.show_metrics(run.metrics)
    ending.ending(run)
    return capsys.readouterr().out.splitlines()


def shown(renderable: Any) -> list[str]:
    console = Console(width=100, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(renderable)
    return [line.rstrip() for line in capture.get().splitlines()]


def part(lines: list[str], start: str, length: int) -> list[list[str]]:
    at = next(i for i, line in enumerate(lines) if line.startswith(start))
    return [line.split() for line in lines[at + 1 : at + 1 + length]]


def rows(run: Run, name: str) -> list[dict[str, str]]:
    with (run.path / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def model(kinds: list[tuple[str, int]]) -> list[dict[str, Any]]:
    return [
        {
            "name": f"layer_{i}",
            "kind": kind,
            "output": "(None, 8)",
            "units": 4 if count else None,
            "parameters": count,
        }
        for i, (kind, count) in enumerate(kinds)
    ]


def row(name: str, truth: str, predicted: str, share: float) -> dict[str, str]:
    rest = {f"p_{label}": "0.1" for label in ("anger", "fear")}
    return {"file": name, "emotion": truth, "predicted": predicted, **rest} | {
        f"p_{predicted}": str(share)
    }


def test_caveats_then_headline_then_the_rest(lines: list[str]) -> None:
    starts = ("UAR ", "Classes", "Confusion", "Subsets", "Layers", "Predictions")
    places = [next(i for i, line in enumerate(lines) if line.startswith(s)) for s in starts]
    assert places == sorted(places)
    assert all(line.startswith("!") for line in lines[: places[0]] if line)


def test_accuracy_and_loss_of_each_subset(lines: list[str], run: Run) -> None:
    metrics = run.metrics
    history = rows(run, "history.csv")
    kept = next(r for r in history if int(r["epoch"]) == metrics["best_epoch"])
    sides = json.loads((run.path / "split.json").read_text("utf-8"))["clips"]
    counts = {s: sum(c["side"] == s for c in sides) for s in ("train", "validation", "test")}
    _, training, validation, test = part(lines, "Subsets", 4)
    assert training[:3] == [
        "training",
        str(counts["train"]),
        f"{100 * float(kept['accuracy']):.1f}",
    ]
    assert training[3:] == [f"{float(kept['loss']):.3f}"]
    shares = [f"{100 * float(kept[k]):.1f}" for k in ("val_accuracy", "val_uar")]
    assert validation[1:] == [str(counts["validation"]), *shares, f"{float(kept['val_loss']):.3f}"]
    shares = [f"{100 * metrics[k]:.1f}" for k in ("wa", "uar")]
    assert test[1:] == [str(counts["test"]), *shares, f"{metrics['loss']:.3f}"]


def test_the_kept_epoch_is_shown_and_not_the_last(run: Run) -> None:
    metrics = {**run.metrics, "best_epoch": 1, "epochs": 2}
    kept = {"accuracy": "0.25", "val_accuracy": "0.5", "val_uar": "1", "loss": "2", "val_loss": "3"}
    lines = shown(ending.subsets(metrics, kept))
    assert lines[0] == "Subsets (epoch 1 of 2 kept)"
    assert lines[2].split()[-2:] == ["25.0", "2.000"]
    assert lines[3].split()[-3:] == ["50.0", "100.0", "3.000"]


def test_the_layers_with_units_and_parameters(lines: list[str], run: Run) -> None:
    text = (run.path / "model.txt").read_text("utf-8").splitlines()
    with_parameters = [line for line in text[1:-2] if not line.endswith(" 0")]
    start = next(line for line in lines if line.startswith("Layers"))
    count = int(re.findall(r"\d+", start)[1]) if "with" in start else len(text) - 3
    table = part(lines, "Layers", count + 2)
    if "with" in start:
        assert start.startswith(f"Layers ({len(text) - 3}), {len(with_parameters)} with parameters")
        assert [row[0] for row in table[1:-1]] == [line.split()[0] for line in with_parameters]
    assert table[-2] == text[-3].split()
    totals = run.metrics["parameters"]
    assert f"total parameters: {totals['total']:,}" in " ".join(table[-1])
    assert f"trainable parameters: {totals['trainable']:,}" in " ".join(table[-1])


def test_a_small_network_is_shown_whole() -> None:
    lines = shown(ending.layers(model([("Dense", 1234), ("ReLU", 0)])))
    assert lines[0] == "Layers (2)"
    assert lines[2].split() == ["layer_0", "Dense", "(None,", "8)", "4", "1,234"]
    assert lines[3].split() == ["layer_1", "ReLU", "(None,", "8)", "0"]


def test_of_a_deep_network_the_layers_with_parameters_are_shown() -> None:
    lines = shown(ending.layers(model([("Dense", 9), ("ReLU", 0)] * 30)))
    assert lines[0] == "Layers (60), 30 with parameters; model.txt has all"
    assert len(lines) == 32
    assert not any("ReLU" in line for line in lines)


def test_a_very_deep_network_is_summed_up_by_kind() -> None:
    lines = shown(ending.layers(model([("Dense", 1000), ("ReLU", 0), ("Dense", 1)] * 100)))
    assert lines[0] == "Layers (300) by kind; model.txt has each"
    assert [line.split() for line in lines[2:]] == [
        ["Dense", "200", "100,100"],
        ["ReLU", "100", "0"],
    ]


def test_of_a_run_without_layers_in_its_metrics_their_text_is_shown(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old"
    shutil.copytree(run.path, old)
    metrics = {key: value for key, value in run.metrics.items() if key != "layers"}
    (old / "metrics.json").write_text(json.dumps(metrics), "utf-8")
    ending.ending(Run(old))
    assert (run.path / "model.txt").read_text("utf-8") in capsys.readouterr().out


def test_the_first_and_last_predictions_stand_beside_the_truth(lines: list[str], run: Run) -> None:
    stored = rows(run, "predictions.csv")
    assert len(stored) == 12
    table = part(lines, f"Predictions ({len(stored)})", 12)[1:]
    assert table[5] == ["…", "2", "more"]
    for cells, kept in zip(table[:5] + table[6:], stored[:5] + stored[-5:], strict=True):
        share = f"{100 * float(kept['p_' + kept['predicted']]):.1f}"
        wrong = [] if kept["emotion"] == kept["predicted"] else ["wrong"]
        assert cells == [kept["file"], kept["emotion"], kept["predicted"], share, *wrong]


def test_few_predictions_are_all_shown_and_wrong_ones_marked() -> None:
    two = [row("a.wav", "anger", "anger", 0.9), row("x" * 60 + ".wav", "anger", "fear", 0.512)]
    lines = shown(ending.prediction_table(two))
    assert lines[2].split() == ["a.wav", "anger", "anger", "90.0"]
    assert lines[3].split()[1:] == ["anger", "fear", "51.2", "wrong"]
    assert lines[3].split()[0] == "…" + "x" * 39 + ".wav"
    assert len(lines) == 4


def test_a_run_without_a_file_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_bytes((run.path / "metrics.json").read_bytes())
    with pytest.raises(SertkError, match=r"has no history\.csv"):
        ending.ending(Run(tmp_path))
    (tmp_path / "history.csv").write_text("epoch,loss\n99,1\n")
    with pytest.raises(SertkError, match=r"history\.csv in .* is damaged"):
        ending.ending(Run(tmp_path))
