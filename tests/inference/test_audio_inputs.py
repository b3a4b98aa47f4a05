"""What people predict from: one channel of several, phone formats, files that were cut off."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

import ser_toolkit as sertk
from ser_toolkit.cli.extract import extract as extract_command
from ser_toolkit.cli.predict import predict as predict_command

Small = tuple[Any, Path]


def with_channels(source: Path, target: Path, *gains: float) -> Path:
    """Return a copy of a mono file with a channel for each gain."""
    samples, rate_hz = soundfile.read(source, dtype="int16")
    target.parent.mkdir(parents=True, exist_ok=True)
    frames = np.stack([gain * samples for gain in gains], axis=1).astype(np.int16)
    soundfile.write(target, frames, rate_hz, subtype="PCM_16")
    return target


@pytest.fixture(scope="module")
def left(small_corpus: Path, tiny: str, cache: Path, once: Callable[..., Path]) -> Path:
    """A run on the left channels of a corpus whose channels cancel, its bundle and its data."""

    def make(root: Path) -> None:
        for path in small_corpus.rglob("*.wav"):
            with_channels(path, root / "data" / path.relative_to(small_corpus), 1, -1, 0)
        shutil.copy(small_corpus / "clips.csv", root / "data" / "clips.csv")
        (root / "tiny.toml").write_text(tiny)
        run = sertk.train(
            root / "data", recipe=root / "tiny.toml", channel="left", out=root / "run", workers=1
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SERTK_CACHE", str(root / "cache"))  # so that the data is read again
            out = root / "left.sertk"
            sertk.quantize(run, mode="float32", out=out, force=True, data=root / "data")

    return once("left", make)


@pytest.mark.slow
def test_a_run_and_its_bundle_use_the_channel_of_the_training(
    left: Path, small_corpus: Path
) -> None:
    run = sertk.Run(left / "run")
    mono = sorted(small_corpus.rglob("*.wav"))[:2]
    stereo = [left / "data" / path.relative_to(small_corpus) for path in mono]
    assert run.metrics["channel"] == run.channel == "left"
    for model in (run.load(), sertk.load(left / "left.sertk")):
        assert model.channel == "left"
        wanted = [one.probabilities for one in model.predict(mono)]
        assert [one.probabilities for one in model.predict(stereo)] == wanted
        frames, rate_hz = soundfile.read(stereo[0], dtype="float32")
        assert model.predict(frames, rate_hz=rate_hz).probabilities == wanted[0]
        np.testing.assert_array_equal(model.embed(stereo), model.embed(mono))
        with pytest.raises(sertk.AudioError, match="channels cancel each other"):
            model.predict(stereo[0], channel="mix")
        with pytest.raises(sertk.AudioError, match="'the audio' has no channel 4: it has 3"):
            model.predict(frames, rate_hz=rate_hz, channel=4)
        found = model.evaluate(left / "data", include_training=True)
        assert found["uar"] == model.evaluate(small_corpus, include_training=True)["uar"]


@pytest.mark.slow
def test_processes_and_commands_take_a_channel(
    left: Path, small_corpus: Path, tmp_path: Path
) -> None:
    stereo = sorted((left / "data").rglob("*.wav"))[:4]
    bundle = sertk.load(left / "left.sertk")
    assert bundle.predict(stereo, workers=2) == bundle.predict(stereo)
    right = bundle.predict(stereo, workers=2, channel="right")
    assert right == bundle.predict(stereo, channel=2) != bundle.predict(stereo)
    arguments = [str(left / "left.sertk"), str(stereo[0]), "--json", "--channel", "right"]
    done = CliRunner().invoke(predict_command, arguments)
    probabilities = json.loads(done.output)["probabilities"]
    assert probabilities == pytest.approx(right[0].probabilities)
    mono = small_corpus / stereo[0].relative_to(left / "data")
    for file, channel, name in ((stereo[0], "left", "l.npy"), (mono, "right", "m.npy")):
        arguments = [file, "--recipe", left / "tiny.toml", "--out", tmp_path / name]
        more = ["--channel", channel]
        done = CliRunner().invoke(extract_command, [*map(str, arguments), *more])
        assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(np.load(tmp_path / "l.npy"), np.load(tmp_path / "m.npy"))
    with pytest.raises(sertk.SertkError, match="channel expects mix, left, right or a number"):
        sertk.train(left / "data", channel="middle")


@pytest.mark.slow
def test_a_file_that_was_cut_off_is_predicted_with_a_warning(left: Path, tmp_path: Path) -> None:
    class Warned(sertk.Callback):
        lines: tuple[str, ...] = ()

        def warn(self, text: str, details: Any = ()) -> None:
            self.lines = (*self.lines, text, *details)

    whole = sorted((left / "data").rglob("*.wav"))[0]
    half = tmp_path / "half.wav"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for model in (sertk.Run(left / "run").load(), sertk.load(left / "left.sertk")):
        for workers in (0, 2) if model.bundle else (0,):
            callback = Warned()
            found = model.predict([whole, half], workers=workers, callback=callback)
            assert [bool(one.warning) for one in found] == [False, True]
            assert "warning" not in found[0].to_dict()
            assert callback.lines == ("1 of 2 files are damaged", found[1].to_dict()["warning"])
            assert "'half.wav' is cut off: " in found[1].warning
    sertk.extract(left / "tiny.toml", files=[half], out=tmp_path / "x.npy", channel=1)


@pytest.mark.slow
def test_a_bundle_predicts_what_ffmpeg_decodes(
    left: Path, tmp_path: Path, require: Callable[[str, bool, str], None]
) -> None:
    program = shutil.which("ffmpeg")
    require("ffmpeg", program is not None, "install it")
    whole = sorted((left / "data").rglob("*.wav"))[0]
    video = tmp_path / "x.mkv"
    command = [str(program), "-nostdin", "-loglevel", "error", "-i", whole, "-c:a", "flac", video]
    subprocess.run(command, check=True)
    model = sertk.load(left / "left.sertk")
    assert model.predict(video).probabilities == model.predict(whole).probabilities
    assert [one.file for one in sertk.predict(left / "left.sertk", tmp_path)] == [str(video)]
