"""The notebook's vector and network, against its own calls of librosa and scipy."""

from __future__ import annotations

import warnings
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.signal

import ser_toolkit as sertk
from ser_toolkit import Signal, Window, configure, features, read_audio, signal_of
from sertk_msf import NotebookCnn, NotebookMsf

# What librosa.load imports to try old containers.
pytestmark = pytest.mark.filterwarnings("ignore:'(aifc|audioop|sunau)':DeprecationWarning")

RATE_HZ = 22050
SAMPLES = 55125
WINDOW = Window(1, 1)
PARTS = {"zcr": (0, 108), "rms": (108, 216), "mfcc": (216, 2376), "bands": (2376, 2916)}
CORPORA = {
    "emodb": ("emodb/wav", 25),
    "tess": ("tess", 25),
    "ravdess": ("ravdess", 2),
}


def notebook_parts(y: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the notebook's extract_features calls, one after another."""
    bands = librosa.feature.melspectrogram(y=y, sr=RATE_HZ, n_fft=1024, hop_length=512, n_mels=19)
    envelope = np.abs(scipy.signal.hilbert(bands))
    return {
        "zcr": librosa.feature.zero_crossing_rate(y).ravel(),
        "rms": librosa.feature.rms(y=y).ravel(),
        "mfcc": librosa.feature.mfcc(y=y, sr=RATE_HZ, n_mfcc=20).T.ravel(),
        "bands": librosa.feature.melspectrogram(S=envelope, sr=RATE_HZ, n_mels=5).ravel(),
    }


def assert_equal_parts(vector: np.ndarray, y: np.ndarray) -> None:
    assert vector.shape == (2916,) and vector.dtype == np.float32
    for name, wanted in notebook_parts(y).items():
        found = vector[slice(*PARTS[name])]
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max(), name


def voice(n_samples: int = SAMPLES) -> np.ndarray:
    rng = np.random.default_rng(3)
    t = np.arange(n_samples) / RATE_HZ
    tone = sum(np.sin(2 * np.pi * k * (140 + 20 * np.sin(3 * t)) * t) / k for k in range(1, 12))
    return (0.1 * tone + 0.01 * rng.standard_normal(n_samples)).astype(np.float32)


def test_synthetic_sound_part_by_part() -> None:
    assert_equal_parts(NotebookMsf().arrays(Signal(voice(), RATE_HZ))["vector"], voice())


@pytest.mark.parametrize("corpus", CORPORA)
def test_extract_equals_the_notebooks_functions_on_real_clips(
    corpus: str, data_dir: Path, tmp_path: Path
) -> None:
    """From the file on: offset, duration and resampling are librosa's as well.

    A clip of less than 3.1 s is the one thing that differs: silence follows it here.
    """
    folder, step = CORPORA[corpus]
    files = sorted((data_dir / folder).rglob("*.wav"))[::step]
    out = tmp_path / "vectors.npy"
    sertk.extract("msf-notebook", files=files, out=out)
    vectors = np.load(out)
    assert vectors.shape == (len(files), 2916)
    for vector, path in zip(vectors, files, strict=True):
        y, _ = librosa.load(path, duration=2.5, offset=0.6)
        assert_equal_parts(vector, np.pad(y, (0, SAMPLES - len(y))))


def test_a_short_clip_is_the_clip_followed_by_silence(data_dir: Path) -> None:
    """The columns stay where they are in every other clip."""
    for path in sorted((data_dir / "emodb/wav").glob("*.wav"))[:40:10]:
        y, _ = librosa.load(path, duration=2.5, offset=0.6)
        if len(y) == SAMPLES:
            continue
        signal = signal_of(read_audio(path), NotebookMsf())
        found = features(NotebookMsf(), signal, WINDOW)["vector"]
        assert found.shape == (1, 2916)
        assert_equal_parts(found[0], np.pad(y, (0, SAMPLES - len(y))))
        assert len(np.concatenate(list(notebook_parts(y).values()))) < 2916


def test_a_clip_that_ends_before_the_offset_is_refused() -> None:
    audio = sertk_audio(0.5)
    with pytest.raises(sertk.AudioError, match=r"lasts 0\.50 s.*after 0\.6 s"):
        signal_of(audio, NotebookMsf())


def sertk_audio(seconds: float):
    from ser_toolkit import Audio

    return Audio(voice(round(seconds * RATE_HZ)), RATE_HZ)


def test_the_bands_come_from_filters_made_for_36_points() -> None:
    """librosa takes the FFT length from the shape of what it is given, and says nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bands = np.abs(np.random.default_rng(0).standard_normal((19, 108)))
        silently = librosa.feature.melspectrogram(S=bands, sr=RATE_HZ, n_fft=1024, n_mels=5)
    across = librosa.filters.mel(sr=RATE_HZ, n_fft=36, n_mels=5) @ bands
    np.testing.assert_allclose(silently, across, rtol=1e-6)


def test_columns_name_every_number() -> None:
    columns = NotebookMsf().columns
    assert len(columns) == len(set(columns)) == 2916
    assert (columns[0], columns[108], columns[216], columns[236]) == (
        "zcr_t0",
        "rms_t0",
        "mfcc_t0_0",
        "mfcc_t1_0",
    )
    assert columns[2376:2378] == ("cross_band_0_t0", "cross_band_0_t1")


def test_impossible_parameters_and_rates_are_refused() -> None:
    with pytest.raises(sertk.SertkError, match="duration_s"):
        configure(NotebookMsf(), {"duration_s": 0.01})
    with pytest.raises(sertk.SertkError, match="22050 Hz, received 16000"):
        NotebookMsf().arrays(Signal(voice(), 16000))


def test_the_networks_parameters_are_the_notebooks() -> None:
    network = NotebookCnn().build({"vector": (2916,)}, 7)
    trainable = sum(int(np.prod(v.shape)) for v in network.trainable_weights)
    assert (network.count_params(), trainable) == (17_725_959, 17_719_879)


def test_the_network_refuses_frames() -> None:
    with pytest.raises(sertk.SertkError, match="one vector"):
        NotebookCnn().build({"frames": (188, 20)}, 7)
