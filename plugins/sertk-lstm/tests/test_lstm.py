"""The notebook's means against librosa, and the network in both of its forms."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest

import ser_toolkit as sertk
from ser_toolkit import Signal, configure
from sertk_lstm import Lstm, MfccMean

# What librosa.load imports to try old containers.
pytestmark = pytest.mark.filterwarnings("ignore:'(aifc|audioop|sunau)':DeprecationWarning")

RATE_HZ = 22050
CORPORA = {"emodb": ("emodb/wav", 40), "tess": ("tess", 25), "ravdess": ("ravdess", 2)}


@pytest.mark.parametrize("corpus", CORPORA)
def test_extract_equals_the_notebook_on_real_clips(
    corpus: str, data_dir: Path, tmp_path: Path
) -> None:
    """Most clips end before 3.5 s: the mean is over the frames that exist."""
    folder, step = CORPORA[corpus]
    files = sorted((data_dir / folder).rglob("*.wav"))[::step]
    out = tmp_path / "means.npy"
    sertk.extract("lstm-notebook", files=files, out=out)
    for vector, path in zip(np.load(out), files, strict=True):
        y, rate_hz = librosa.load(path, duration=3, offset=0.5)
        wanted = np.mean(librosa.feature.mfcc(y=y, sr=rate_hz, n_mfcc=40).T, axis=0)
        assert vector.shape == (40,) and vector.dtype == np.float32
        assert np.abs(vector - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_corpus_tables_hold_the_vectors_themselves(data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    sertk.extract("lstm-notebook", data=data_dir / "ravdess", out=out)
    header = out.read_text("utf-8").splitlines()[0].split(",")
    assert header == ["file", "emotion", "speaker", *MfccMean().columns]


def test_impossible_parameters_and_rates_are_refused() -> None:
    with pytest.raises(sertk.SertkError, match="n_mfcc from 1 to 128"):
        configure(MfccMean(), {"n_mfcc": 200})
    with pytest.raises(sertk.SertkError, match="22050 Hz, received 8000"):
        MfccMean().arrays(Signal(np.zeros(9000, np.float32), 8000))


def test_the_notebooks_network_has_its_parameters() -> None:
    network = Lstm().build({"mfcc_mean": (40,)}, 7)
    assert network.count_params() == 71_747
    assert [type(layer).__name__ for layer in network.layers] == [
        "InputLayer", "Reshape", "LSTM", "Dense", "Dropout", "Dense", "Dropout", "Dense",
    ]  # fmt: skip
    assert [layer.units for layer in network.layers if hasattr(layer, "units")] == [123, 64, 32, 7]


def test_the_network_takes_frames_in_their_order() -> None:
    network = Lstm().build({"frames": (94, 40)}, 4)
    frames = np.random.default_rng(0).standard_normal((1, 94, 40)).astype(np.float32)
    forward = np.asarray(network(frames))
    assert forward.shape == (1, 4)
    assert forward.sum() == pytest.approx(1, abs=1e-5)
    assert not np.allclose(forward, np.asarray(network(frames[:, ::-1])))


def test_the_network_refuses_pictures_and_several_inputs() -> None:
    for inputs in ({"a": (3, 4, 5)}, {"a": (3,), "b": (3,)}):
        with pytest.raises(sertk.SertkError, match="model 'lstm' expects one input"):
            Lstm().build(inputs, 4)
