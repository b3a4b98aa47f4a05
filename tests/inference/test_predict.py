"""What runs and bundles predict: the same labels, with times, in parallel, without TensorFlow."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import ser_toolkit as sertk
from ser_toolkit import Run
from ser_toolkit.cli.evaluate import evaluate as evaluate_command
from ser_toolkit.cli.predict import predict as predict_command
from ser_toolkit.inference import predict as prediction
from ser_toolkit.utils.progress import receiver

Small = tuple[Any, Path]


def test_a_bundle_predicts_as_the_run(bundle: Path, small_run: Small, files: list[Path]) -> None:
    of_run = sertk.load(small_run[0]).predict(files[:6])
    of_bundle = sertk.load(bundle).predict(files[:6])
    for left, right in zip(of_run, of_bundle, strict=True):
        assert left.label == right.label
        for label, p in left.probabilities.items():
            assert right.probabilities[label] == pytest.approx(p, abs=1e-4)


def test_a_run_predicts_where_an_augmenter_of_its_training_is_gone(
    small_run: Small, files: list[Path], tmp_path: Path
) -> None:
    run = Run(Path(shutil.copytree(small_run[0].path, tmp_path / "run")))
    recipe = run.path / "recipe.toml"
    before = sertk.Recipe.from_toml(recipe.read_text("utf-8"))
    gone = sertk.Use("audiomentations.Reverse", version=1, p=0.5)
    recipe.write_text(replace(before, augmenter=(gone,)).to_toml(), "utf-8")
    assert sertk.load(run).predict(files[0]).label
    with pytest.raises(sertk.SertkError, match=r"'audiomentations\.Reverse'"):
        sertk.train(small_run[1], recipe=str(recipe), out=tmp_path / "again")


def test_one_file_gives_one_prediction(bundle: Path, files: list[Path]) -> None:
    found = sertk.load(bundle).predict(str(files[0]))
    assert found.file == str(files[0]) and isinstance(found.uncertain, bool)


def test_the_timeline_averages_to_the_prediction(
    bundle: Path, small_run: Small, tmp_path: Path
) -> None:
    import soundfile

    parts = [soundfile.read(path)[0] for path in sorted(small_run[1].rglob("*.wav"))[:5]]
    rate_hz = soundfile.info(sorted(small_run[1].rglob("*.wav"))[0]).samplerate
    long = tmp_path / "long.wav"
    soundfile.write(long, np.concatenate(parts), rate_hz)
    model = sertk.load(bundle)
    found = model.predict(long)
    rows = found.windows
    assert len(rows) > 3 and rows[0].start_s == 0
    assert rows[-1].end_s == pytest.approx(sum(map(len, parts)) / rate_hz, abs=0.05)
    samples = model.classifier.extractor.sample_count(model.window.length_frames)
    length_s = samples / model.rate_hz
    assert all(row.end_s - row.start_s == pytest.approx(length_s, abs=2e-3) for row in rows)
    for label, p in found.probabilities.items():
        mean = np.mean([row.probabilities[label] for row in rows])
        assert p == pytest.approx(mean, abs=1e-6)


def test_predictions_below_the_threshold_are_uncertain(bundle: Path, files: list[Path]) -> None:
    model = sertk.load(bundle)
    for found in model.predict(files):
        highest = max(found.probabilities.values())
        assert found.uncertain == (np.float32(highest) < model.uncertain_below)


def test_many_files_in_processes_give_the_same_in_order(
    bundle: Path, files: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF")
    many = [*files, bad, *files[:30]]
    assert len(many) >= prediction.MANY_FILES
    model = sertk.load(bundle)
    alone = model.predict(many, errors="return", workers=1)
    assert alone == model.predict(many, errors="return", workers=2)
    assert isinstance(alone[len(files)], sertk.FailedPrediction)
    assert isinstance(alone[-1], sertk.Prediction)


def test_workers_share_few_files_too_and_raise_as_one_process_does(
    bundle: Path, files: list[Path], tmp_path: Path
) -> None:
    model = sertk.load(bundle)
    assert model.predict(files[:3], workers=3) == model.predict(files[:3], workers=1)
    with pytest.raises(sertk.AudioError, match=r"'nowhere\.wav' is not there"):
        model.predict([files[0], tmp_path / "nowhere.wav"], workers=2)


def test_a_run_refuses_workers_and_threads(small_run: Small, files: list[Path]) -> None:
    with pytest.raises(sertk.SertkError, match="workers expects 0 or 1 for a run, received 2"):
        small_run[0].load().predict(files[:3], workers=2)
    with pytest.raises(sertk.SertkError, match="threads expects a bundle"):
        sertk.load(small_run[0], threads=2)


def test_folders_stand_for_their_files(bundle: Path, small_run: Small, files: list[Path]) -> None:
    found = sertk.predict(bundle, small_run[1])
    assert sorted(str(one.file) for one in found) == sorted(map(str, files))


def test_an_empty_folder_is_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(sertk.SertkError, match="no audio file below"):
        sertk.predict(bundle, tmp_path)


def test_only_the_base_and_a_runtime_are_imported(bundle: Path, files: list[Path]) -> None:
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'librosa', 'sklearn', 'matplotlib', 'joblib'):\n"
        "    sys.modules[name] = None\n"
        "import ser_toolkit as sertk\n"
        f"print(sertk.load({str(bundle)!r}).predict({str(files[0])!r}).label)\n"
        "assert 'scipy.signal' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in sertk.load(bundle).labels


def test_as_json_csv_and_text(bundle: Path, files: list[Path]) -> None:
    runner = CliRunner()
    ask = [str(bundle), str(files[0]), str(files[1])]
    rows = [
        json.loads(line)
        for line in runner.invoke(predict_command, [*ask, "--json"]).output.splitlines()
    ]
    assert [row["file"] for row in rows] == ask[1:]
    table = list(
        csv.DictReader(io.StringIO(runner.invoke(predict_command, [*ask, "--csv"]).stdout))
    )
    assert [row["label"] for row in table] == [row["label"] for row in rows]
    assert float(table[0]["anger"]) == pytest.approx(rows[0]["probabilities"]["anger"], abs=1e-6)
    text = runner.invoke(predict_command, [*ask, "--top", "2", "--windows"]).stdout.splitlines()
    assert text[0].startswith(f"{ask[1]}: ") and text[0].count(" %") == 2
    assert " s  " in text[1]


def test_csv_quotes_what_needs_it(bundle: Path, tmp_path: Path) -> None:
    strange = tmp_path / 'a,"b".wav'
    strange.write_bytes(b"RIFF")
    result = CliRunner().invoke(predict_command, [str(bundle), str(strange), "--csv"])
    assert result.exit_code == 1
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert row["file"] == str(strange) and "cannot be decoded" in row["error"]


def test_evaluate_gives_the_reports_figure_on_the_reports_clips(
    bundle: Path, small_run: Small
) -> None:
    stored = json.loads((bundle.parent / "run" / "quantization.json").read_text("utf-8"))
    metrics = sertk.evaluate(bundle, small_run[1])
    assert metrics["uar"] == pytest.approx(stored["modes"][0]["test"]["uar"])
    assert metrics["counts"]["test_side"] == 12
    assert metrics["counts"]["left_out_as_trained_on"] == 36
    assert metrics["protocol"]["hash"] == small_run[0].metrics["protocol"]["hash"]


def test_evaluate_refuses_and_labels_training_clips(
    bundle: Path, small_run: Small, tmp_path: Path
) -> None:
    plan = small_run[0].json("split.json")
    for clip in plan["clips"]:
        if clip["side"] == "train":
            path = tmp_path / clip["emotion"] / Path(clip["path"]).name
            path.parent.mkdir(exist_ok=True)
            shutil.copy(small_run[1] / clip["path"], path)
    with pytest.raises(sertk.SertkError, match="no clip to score: all 24 clips took"):
        sertk.evaluate(bundle, tmp_path)
    ask = [str(bundle), "--data", str(tmp_path), "--include-training"]
    result = CliRunner().invoke(evaluate_command, ask)
    assert "24 clips took part in training: these metrics are too high" in result.output


def test_evaluate_knows_speakers_by_their_hash(
    bundle: Path, small_run: Small, tmp_path: Path
) -> None:
    """New clips by a speaker of the training set are counted, though no name is in the bundle."""
    import soundfile

    plan = small_run[0].json("split.json")
    row = next(clip for clip in plan["clips"] if clip["side"] == "train")
    samples, rate_hz = soundfile.read(small_run[1] / row["path"])
    corpus = tmp_path / small_run[1].name
    corpus.mkdir()
    lines = ["file,emotion,speaker"]
    for index, label in enumerate(plan["labels"]):
        soundfile.write(corpus / f"{index}.wav", 0.9 * samples[index * 100 :], rate_hz)
        lines.append(f"{index}.wav,{label},{row['speaker'].partition('/')[2]}")
    (corpus / "clips.csv").write_text("\n".join(lines), "utf-8")
    counts = sertk.evaluate(bundle, corpus)["counts"]
    assert counts["never_seen"] == counts["never_seen_of_known_speakers"] == len(plan["labels"])


def test_a_signature_can_be_required(bundle: Path, files: list[Path], tmp_path: Path) -> None:
    from ser_toolkit.runtime.bundle.file import sign
    from ser_toolkit.runtime.bundle.signing import generate_keys

    generate_keys(tmp_path)
    key = tmp_path / "key.pub"
    with pytest.raises(sertk.SertkError, match="sign"):
        sertk.load(bundle, require_signature=key)
    signed = Path(shutil.copy(bundle, tmp_path / "signed.sertk"))
    sign(signed, (tmp_path / "key.pem").read_bytes())
    assert sertk.load(signed, require_signature=key).predict(files[0]).label
    with pytest.raises(sertk.SertkError, match="cannot read the key"):
        sertk.load(signed, require_signature=tmp_path / "nothing.pub")


def test_a_run_has_no_signature(small_run: Small, files: list[Path], tmp_path: Path) -> None:
    key = tmp_path / "key.pub"
    key.write_text("x", "utf-8")
    with pytest.raises(sertk.SertkError, match="a run directory has no signature"):
        sertk.load(small_run[0], require_signature=key)


def test_workers_in_a_script_without_a_main_guard(
    bundle: Path, files: list[Path], tmp_path: Path
) -> None:
    """A process that starts the script again would never end."""
    script = tmp_path / "many.py"
    script.write_text(
        "import sys, ser_toolkit as sertk\n"
        "found = sertk.predict(sys.argv[1], [sys.argv[2]] * 64, workers=2)\n"
        "print(len(found), len({one.label for one in found}))\n"
    )
    arguments = (str(bundle), str(files[0]))
    for start, given in ((str(script), None), ("-", script.read_text())):
        command = [sys.executable, start, *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120)
        assert (done.stdout, done.stderr) == ("64 1\n", "")


def test_arrays_of_another_scale_or_layout_are_refused(bundle: Path) -> None:
    rng = np.random.default_rng(0)
    stereo = (0.1 * rng.standard_normal((16_000, 2))).astype(np.float32)
    model = sertk.load(bundle)
    same = model.predict((stereo * 32768).astype(np.int16), rate_hz=16_000)
    assert same.label == model.predict(stereo, rate_hz=16_000).label
    for array, part in (
        (stereo.T, r"\(N,\) or \(N, channels\) expected, received \(2, 16000\)\. Transpose"),
        (stereo * 32768, r"samples up to \d+.*full scale is 1\. Divide"),
        ((stereo * 100).astype(np.uint8), "float or signed integer samples expected"),
    ):
        with pytest.raises(sertk.SertkError, match=part):
            model.predict(array, rate_hz=16_000)


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of POSIX")
def test_progress_is_shown_in_a_terminal_and_nowhere_else(bundle: Path, files: list[Path]) -> None:
    import pty

    code = (
        "import sys, ser_toolkit as sertk\n"
        "from ser_toolkit.utils.progress import receiver\n"
        "model = sertk.load(sys.argv[1])\n"
        "for callback in ('auto', None):\n"
        "    receiver(callback).note(f'note {callback}')\n"
        "    model.predict([sys.argv[2]] * 2, callback=callback)\n"
    )
    command = [sys.executable, "-c", code, str(bundle), str(files[0])]
    assert type(receiver("auto")) is type(receiver(None)) is sertk.Callback
    ours, theirs = pty.openpty()
    shown = subprocess.run(
        command, stdout=theirs, stderr=subprocess.PIPE, check=True, timeout=120, text=True
    )
    os.close(theirs)
    assert os.read(ours, 10_000).split() == [b"note", b"auto"]
    os.close(ours)
    assert shown.stderr.count("Predicting") == 1
