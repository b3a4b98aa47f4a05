"""Transforms that mix in recordings: what they make of them, and where these travel."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit import SertkError
from ser_toolkit.testing import asset
from sertk_audiomentations import Audiomentations
from sertk_audiomentations.library import RECORDED
from sertk_audiomentations.recordings import folder_of

RATE_HZ = 16_000
SAMPLES = (0.1 * np.sin(np.arange(2 * RATE_HZ) ** 1.2 / 60)).astype(np.float32)


def wav(samples: np.ndarray, rate_hz: int = 8000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype="FLOAT")
    return file.getvalue()


def hiss(seed: int, n_samples: int = 12_000) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(n_samples)
    return (0.1 * noise * np.exp(-np.arange(n_samples) / 2000)).astype(np.float32)


def with_recordings(name: str, content: bytes, shown: str = "noise.wav", **params: float):
    one = Audiomentations(name, params, asset(content, shown))
    return one.prepare(lambda wanted: content)


def no_assets(wanted: object) -> bytes:
    raise AssertionError(f"{wanted} was asked for")


def run(one: Audiomentations, seed: int = 0) -> np.ndarray:
    return one.augment(SAMPLES, RATE_HZ, np.random.default_rng(seed))


def test_a_recording_is_mixed_in_at_the_ratio_that_was_asked_for() -> None:
    steady = np.random.default_rng(2).standard_normal(3 * RATE_HZ).astype(np.float32)
    noise = wav(0.1 * steady, RATE_HZ)
    one = with_recordings("AddBackgroundNoise", noise, min_snr_db=12.0, max_snr_db=12.0)
    samples = SAMPLES
    added = run(one).astype(np.float64) - samples
    ratio_db = 10 * np.log10(np.square(samples, dtype=np.float64).mean() / np.square(added).mean())
    assert ratio_db == pytest.approx(12.0, abs=0.2)
    # What is added is a stretch of the recording itself.
    found = np.correlate(steady, added.astype(np.float32)[:8000], "valid").max()
    assert found > 0.99 * np.linalg.norm(added[:8000]) * np.sqrt(8000) * 0.95


def test_an_impulse_response_is_convolved() -> None:
    room = np.zeros(400, np.float32)
    room[[0, 300]] = 1.0, -0.5
    samples = SAMPLES
    expected = np.convolve(samples, room)[: len(samples)]
    found = run(with_recordings("ApplyImpulseResponse", wav(room, RATE_HZ)))
    np.testing.assert_allclose(found, 0.5 * expected / np.abs(expected).max(), atol=0.02)


def test_a_zip_of_recordings_in_any_order_of_packing() -> None:
    def packed(names: list[str]) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name in names:
                archive.writestr(name, b"text" if "txt" in name else wav(hiss(len(name))))
        return file.getvalue()

    names = ["../../a.wav", "b/long.wav", "b/longer.flac", "readme.txt"]
    one = with_recordings("AddBackgroundNoise", packed(names), "noises.zip")
    folder = folder_of(one.recordings)
    assert [path.name for path in sorted(folder.iterdir())] == [f"{n:06d}.wav" for n in range(3)]
    other = with_recordings("AddBackgroundNoise", packed(names[::-1]), "noises.zip")
    assert {run(one, n).tobytes() for n in range(8)} == {run(other, n).tobytes() for n in range(8)}
    # They are unpacked once.
    assert one.prepare(no_assets) == one
    assert not list(folder.parent.glob(".*"))


def test_recordings_that_are_missing_or_none_are_a_line_for_the_user() -> None:
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    wrong = {b"text": "cannot be decoded", empty.getvalue(): "no audio file"}
    for name in RECORDED:
        with pytest.raises(SertkError, match=r"--set augmenter\.recordings=@FILE"):
            Audiomentations(name).prepare(no_assets)
        with pytest.raises(SertkError, match="no recordings yet"):
            run(Audiomentations(name))
        for content, expected_text in wrong.items():
            with pytest.raises(SertkError, match=expected_text):
                with_recordings(name, content, "x.wav")
    with pytest.raises(ValueError, match="Reverse takes no recordings"):
        Audiomentations("Reverse", recordings=asset(b"", "x.wav"))


# Keras 3 reads its variables in a way that numpy 2 deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.slow
def test_the_recordings_travel_with_the_run(
    tmp_path: Path, synthetic_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ser_toolkit

    file = tmp_path / "noise.wav"
    file.write_bytes(wav(hiss(3)))
    settings = (
        "extractor=rms",
        "augmenter=audiomentations",
        "augmenter.transform=AddBackgroundNoise",
        f"augmenter.recordings=@{file}",
        "model=tcn",
        "training.copies=1",
        "training.ema_momentum=0",
    )
    first, second = tmp_path / "first", tmp_path / "second"
    ser_toolkit.train(synthetic_corpus, settings=settings, epochs=1, out=first)
    (kept,) = (first / "assets").iterdir()
    assert kept.read_bytes() == file.read_bytes()
    assert str(tmp_path) not in (first / "recipe.toml").read_text("utf-8")
    # From the run alone, where nothing is cached.
    file.unlink()
    monkeypatch.setenv("SERTK_CACHE", str(tmp_path / "cache"))
    ser_toolkit.train(synthetic_corpus, recipe=str(first / "recipe.toml"), out=second)
    assert (second / "recipe.toml").read_bytes() == (first / "recipe.toml").read_bytes()
    predictions = [(run / "predictions.csv").read_bytes() for run in (first, second)]
    assert predictions[0] == predictions[1]
