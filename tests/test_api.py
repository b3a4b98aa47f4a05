"""The Python API, used as a program would use it."""

from __future__ import annotations

import csv
import importlib
import inspect
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import ser_toolkit as sertk
from ser_toolkit.testing import relative_error

HEAVY = {
    *("numpy", "soxr", "soundfile", "pluggy", "click", "rich", "tensorflow", "keras", "librosa"),
    *("scipy", "sklearn", "matplotlib", "joblib", "ser_toolkit.pipeline", "ser_toolkit.plugins"),
}


def in_a_process_of_its_own(source: str) -> Any:
    result = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    return json.loads(result.stdout)


def test_importing_the_package_imports_next_to_nothing() -> None:
    loaded = in_a_process_of_its_own(
        "import ser_toolkit as sertk, json, sys\n"
        "sertk.__version__, dir(sertk)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    assert HEAVY.isdisjoint(loaded)
    assert [name for name in loaded if name.startswith("ser_toolkit")] == ["ser_toolkit"]


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    assert set(sertk.__all__) <= set(dir(sertk))
    for name in sertk.__all__:
        item = getattr(sertk, name)
        assert item is not None, name
        if inspect.isclass(item) or inspect.isfunction(item):
            assert item.__doc__, name


def test_functions_stay_functions_whatever_was_imported() -> None:
    """A module `ser_toolkit.train` would take the place of the function when it is imported."""
    kinds = in_a_process_of_its_own(
        "import importlib, json, pkgutil, ser_toolkit as sertk\n"
        "for module in pkgutil.walk_packages(sertk.__path__, 'ser_toolkit.'):\n"
        "    importlib.import_module(module.name)\n"
        "kinds = {name: type(getattr(sertk, name)).__name__ for name in sertk.__all__}\n"
        "print(json.dumps(kinds))"
    )
    assert [name for name, kind in kinds.items() if kind == "module"] == []
    for name in ("train", "crossval", "evaluate", "predict", "extract", "load", "quantize"):
        assert kinds[name] == "function"


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'ser_toolkit' has no attribute 'trian'"):
        sertk.trian  # noqa: B018


def test_star_gives_the_public_names() -> None:
    names: dict[str, Any] = {}
    exec("from ser_toolkit import *", names)
    assert set(sertk.__all__) <= set(names)


def test_type_checkers_see_what_runs() -> None:
    """The names imported for type checking are those that are loaded when used."""
    source = inspect.getsource(importlib.import_module("ser_toolkit"))
    names: dict[str, Any] = {"__name__": "ser_toolkit", "__package__": "ser_toolkit"}
    exec(source.replace("if TYPE_CHECKING:", "if True:"), names)
    for name in sertk.__all__:
        assert names[name] == getattr(sertk, name)
    assert set(sertk.__all__) == {"__version__", *names["_HOME"]}


def test_no_module_takes_the_place_of_a_public_name() -> None:
    for package in ("ser_toolkit", "ser_toolkit.testing"):
        home = importlib.import_module(package)
        assert home.__file__
        modules = {path.stem for path in Path(home.__file__).parent.iterdir()}
        assert modules & set(home.__all__) == set()


# Training and what comes after it


def test_train_gives_a_run_with_its_metrics(small_run: tuple[Any, Path]) -> None:
    run, _ = small_run
    assert isinstance(run, sertk.Run)
    assert 0 <= run.metrics["uar"] <= 1
    assert run.metrics == json.loads((run.path / "metrics.json").read_text("utf-8"))
    assert len(run.json("split.json")["clips"]) == 48


def test_evaluate_leaves_out_what_trained(small_run: tuple[Any, Path]) -> None:
    run, corpus = small_run
    metrics = sertk.evaluate(run, corpus)
    assert metrics["counts"] == {
        "test_side": 12,
        "never_seen": 0,
        "never_seen_of_known_speakers": 0,
        "trained_on": 0,
        "left_out_as_trained_on": 36,
    }
    assert metrics["confusion"] == run.metrics["confusion"]
    assert metrics["protocol"]["hash"] == run.metrics["protocol"]["hash"]
    assert metrics["loss"] == pytest.approx(run.metrics["loss"], abs=1e-5)
    assert metrics["clips"] == 12


def test_evaluate_scores_new_clips(
    small_run: tuple[Any, Path], make_corpus: Callable[..., Path]
) -> None:
    new = make_corpus(speakers=2, sentences=1, seed=77)
    metrics = sertk.evaluate(str(small_run[0].path), str(new))
    assert metrics["protocol"]["hash"] != small_run[0].metrics["protocol"]["hash"]
    assert metrics["counts"]["never_seen"] == 12
    assert metrics["counts"]["test_side"] == 0
    assert metrics["counts"]["left_out_as_trained_on"] == 0
    assert np.sum(metrics["confusion"]) == 12


def test_evaluate_knows_recordings_by_what_they_hold(
    small_run: tuple[Any, Path], make_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    """Copies under other names, in another format, among new ones."""
    run, corpus = small_run
    new = make_corpus(speakers=2, sentences=1, seed=78)
    mixed = tmp_path / "mixed"
    with (corpus / "clips.csv").open(encoding="utf-8", newline="") as file:
        known = list(csv.DictReader(file))
    with (new / "clips.csv").open(encoding="utf-8", newline="") as file:
        fresh = list(csv.DictReader(file))
    for number, (folder, row) in enumerate(
        [(corpus, r) for r in known] + [(new, r) for r in fresh]
    ):
        samples, rate_hz = soundfile.read(folder / row["file"], dtype="int16")
        path = mixed / row["emotion"] / row["speaker"] / f"{number}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate_hz)
    counts = sertk.evaluate(run, mixed, reader="folders")["counts"]
    assert counts["test_side"] == 12
    assert counts["never_seen"] == 12
    assert counts["left_out_as_trained_on"] == 36


def test_evaluate_says_when_nothing_is_left(small_run: tuple[Any, Path], tmp_path: Path) -> None:
    run, corpus = small_run
    for clip in run.json("split.json")["clips"]:
        if clip["side"] == "train":
            path = tmp_path / "heard" / clip["emotion"] / Path(clip["path"]).name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(corpus / clip["path"], path)
    with pytest.raises(
        sertk.SertkError, match="no clip to score: all 24 clips took part"
    ) as caught:
        sertk.evaluate(run, tmp_path / "heard")
    assert caught.value.todo.startswith("Give other data, or add --include-training")
    metrics = sertk.evaluate(run, tmp_path / "heard", include_training=True)
    assert metrics["counts"]["trained_on"] == 24
    assert metrics["protocol"]["caveats"][0].startswith("24 clips took part in training")
    assert metrics["protocol"]["comparable"] is False


def test_predict_gives_the_stored_probabilities(small_run: tuple[Any, Path]) -> None:
    run, corpus = small_run
    with (run.path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        expected = list(csv.DictReader(file))[:3]
    files = [corpus / row["file"].removeprefix(f"{corpus.name}/") for row in expected]
    for row, found in zip(expected, sertk.predict(run, files), strict=True):
        assert found.label == row["predicted"]
        for label, p in found.probabilities.items():
            assert p == pytest.approx(float(row[f"p_{label}"]), abs=1e-4)


def test_predict_goes_on_after_a_bad_file(small_run: tuple[Any, Path], tmp_path: Path) -> None:
    run, corpus = small_run
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF")
    good = next(corpus.rglob("*.wav"))
    first, second = sertk.predict(run, [bad, good], errors="return")
    assert first.to_dict() == {"file": str(bad), "error": first.error}
    assert "'bad.wav' cannot be decoded" in first.error
    assert second.label in run.metrics["labels"]
    assert sum(second.probabilities.values()) == pytest.approx(1, abs=1e-5)
    with pytest.raises(sertk.AudioError, match=r"'bad\.wav' cannot be decoded"):
        sertk.predict(run, [bad, good])


def test_predict_takes_one_file(small_run: tuple[Any, Path]) -> None:
    run, corpus = small_run
    (found,) = sertk.predict(run.path, str(next(corpus.rglob("*.wav"))))
    assert set(found.to_dict(windows=False)) == {"file", "label", "probabilities", "uncertain"}


def test_a_finished_run_is_not_written_over(small_run: tuple[Any, Path]) -> None:
    run, corpus = small_run
    before = (run.path / "metrics.json").read_bytes()
    with pytest.raises(sertk.SertkError, match="is not empty") as caught:
        sertk.train(corpus, epochs=1, out=run.path)
    assert "--resume" in caught.value.todo
    assert (run.path / "metrics.json").read_bytes() == before


# Features


def frames_of(path: Path) -> Any:
    """The frames of the default recipe, from its extractors."""
    from ser_toolkit.plugins.assemble import assemble

    plugins = sertk.load_plugins(env={})
    extractor: Any = assemble(plugins.get("recipe", "compact"), plugins).extractor
    samples, rate_hz = soundfile.read(path, dtype="float32")
    return extractor.frames(sertk.Signal(samples, rate_hz)), extractor.columns


def test_extract_writes_the_frames_of_files_below_each_other(
    small_corpus: Path, tmp_path: Path
) -> None:
    files = sorted(small_corpus.rglob("*.wav"))[:2]
    summary = sertk.extract("compact", files=files, out=tmp_path / "x.npy")
    table, (first, columns) = np.load(tmp_path / "x.npy"), frames_of(files[0])
    second, _ = frames_of(files[1])
    np.testing.assert_array_equal(table, np.concatenate([first, second]))
    assert table.dtype == np.float32
    assert summary["files"] == [path.name for path in files]
    assert [shape["frames"] for shape in summary["shapes"]] == [[*first.shape], [*second.shape]]
    assert tuple(summary["columns"]) == columns
    assert len(columns) == table.shape[1]


def test_extract_goes_on_without_a_bad_file(small_corpus: Path, tmp_path: Path) -> None:
    good = sorted(small_corpus.rglob("*.wav"))[:2]
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    files = [good[0], tmp_path / "bad.wav", good[1]]
    found = sertk.extract("compact", files=files, out=tmp_path / "x.npz")
    assert found.files == [path.name for path in good] and list(found.failed) == ["bad.wav"]
    with np.load(tmp_path / "x.npz") as arrays:
        assert len(arrays.files) == 2
    with pytest.raises(sertk.AudioError):
        sertk.extract("compact", files=[tmp_path / "bad.wav"], out=tmp_path / "y.npz")
    assert not (tmp_path / "y.npz").exists()


def test_extract_writes_one_array_per_file(small_corpus: Path, tmp_path: Path) -> None:
    files = sorted(small_corpus.rglob("*.wav"))[:2]
    sertk.extract("compact", files=files, out=tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays.files == [f"{i:04d}_{path.stem}" for i, path in enumerate(files)]
        for name, path in zip(arrays.files, files, strict=True):
            np.testing.assert_array_equal(arrays[name], frames_of(path)[0])


def test_extract_writes_a_table_of_a_corpus(small_corpus: Path, tmp_path: Path) -> None:
    summary = sertk.extract("compact", data=small_corpus, out=tmp_path / "x.csv", workers=1)
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (summary["clips"], summary["missing"], len(rows)) == (48, 0, 48)
    _, columns = frames_of(next(small_corpus.rglob("*.wav")))
    names = [f"{column}_{kind}" for kind in ("mean", "std") for column in columns]
    assert list(rows[0]) == ["file", "emotion", "speaker", *names]
    assert summary["columns"] == names
    found, wanted = [], []
    for row in rows[::7]:
        relative = row["file"].removeprefix(f"{small_corpus.name}/")
        assert row["speaker"] == f"{small_corpus.name}/{relative.split('/')[0]}"
        assert row["emotion"] == relative.split("_")[1]
        frames, _ = frames_of(small_corpus / relative)
        wanted.append([*frames.mean(axis=0), *frames.std(axis=0)])
        found.append([float(row[name]) for name in names])
    assert relative_error(np.array(found), np.array(wanted)) <= 1e-4


def test_extract_writes_all_frames_of_a_corpus(small_corpus: Path, tmp_path: Path) -> None:
    sertk.extract("compact", data=small_corpus, out=tmp_path / "x.npz", workers=1)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    assert len(found["files"]) == len(found["emotion"]) == len(found["speaker"]) == 48
    assert found["start"][-1] + found["length"][-1] == len(found["frames"])
    assert found["table"].shape == (48, len(found["table_columns"]))
    for index in (0, 13, 47):
        path = small_corpus / str(found["files"][index]).removeprefix(f"{small_corpus.name}/")
        start, length = found["start"][index], found["length"][index]
        expected, _ = frames_of(path)
        frames = found["frames"][start : start + length]
        assert relative_error(frames, expected) <= 1e-5
        mean, std = np.split(found["table"][index], 2)
        assert relative_error(mean, expected.mean(axis=0)) <= 1e-4
        assert relative_error(std, expected.std(axis=0)) <= 1e-4


def test_extract_takes_settings(small_corpus: Path, tmp_path: Path) -> None:
    path = next(small_corpus.rglob("*.wav"))
    settings = ("extractor=log_mel", "extractor.n_mels=17")
    sertk.extract("compact", files=path, out=tmp_path / "x.npy", settings=settings)
    assert np.load(tmp_path / "x.npy").shape[1] == 17


EXPECTED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"out": "x.npy"}, "either files or --data"),
    ({"out": "x.npy", "files": "a.wav", "data": "b"}, "either files or --data"),
    ({"out": "x.csv", "files": "a.wav"}, "expects .npy or .npz here, received 'x.csv'"),
    ({"out": "x.npy", "data": "b"}, "expects .npz or .csv here, received 'x.npy'"),
    ({"out": "x.npy", "files": "nowhere.wav"}, "'nowhere.wav' is not there"),
)


def test_extract_says_what_it_expects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for chosen, problem in EXPECTED:
        with pytest.raises(sertk.SertkError, match=problem.replace(".", r"\.")):
            sertk.extract("compact", **chosen)
    assert list(tmp_path.iterdir()) == []
