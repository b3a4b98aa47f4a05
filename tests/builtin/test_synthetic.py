"""The synthetic corpus: the audio says what the tables say, and is made once and whole."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from scipy.signal import freqz
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ser_toolkit.builtin import phones, synthesis
from ser_toolkit.builtin.synthetic import SpokenSentence, SyntheticReader, make_voice
from ser_toolkit.runtime.component import configure
from ser_toolkit.runtime.errors import SertkError

RATE_HZ = synthesis.RATE_HZ
READER = SyntheticReader(speakers=6, sentences=3)


@pytest.fixture(scope="module")
def audio() -> dict[SpokenSentence, np.ndarray]:
    return {utterance: READER.samples(utterance) for utterance in READER.utterances()}


def median_f0_hz(samples: np.ndarray) -> float:
    f0_hz = librosa.yin(samples, fmin=60, fmax=550, sr=RATE_HZ, frame_length=1024, hop_length=256)
    rms = librosa.feature.rms(y=samples, frame_length=1024, hop_length=256)[0]
    return float(np.median(f0_hz[rms[: len(f0_hz)] > 0.3 * rms.max()]))


def level_dbfs(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(samples**2)))


def mean_by_emotion(audio: dict, measure, speaker: int | None = None) -> dict[str, float]:
    return {
        emotion: float(
            np.mean(
                [
                    measure(samples)
                    for u, samples in audio.items()
                    if u.emotion == emotion and speaker in (None, u.speaker)
                ]
            )
        )
        for emotion in synthesis.EMOTIONS
    }


def test_every_clip_has_its_labels(tmp_path: Path) -> None:
    reader = SyntheticReader(speakers=2, sentences=2, repetitions=2)
    reading = reader.read(tmp_path)
    assert len(reading.clips) == 2 * 6 * 2 * 2
    assert {clip.speaker for clip in reading.clips} == {"spk01", "spk02"}
    assert {clip.emotion for clip in reading.clips} == {
        "anger", "boredom", "fear", "happiness", "neutral", "sadness",
    }  # fmt: skip
    assert len({clip.text for clip in reading.clips}) == 2
    assert len({clip.relative for clip in reading.clips}) == len(reading.clips)
    assert reading.skipped == {} and "synthetic" in reading.notes[0]
    first = reading.clips[0]
    assert first.path == reader.folder(tmp_path) / "spk01/spk01_anger_s01_r1.wav"
    assert (first.corpus, first.relative) == ("synthetic", "spk01/spk01_anger_s01_r1.wav")


def test_files_are_16_bit_at_16_khz_and_hold_the_samples(tmp_path: Path) -> None:
    reader = SyntheticReader(speakers=1, sentences=1)
    for clip, utterance in zip(reader.read(tmp_path).clips, reader.utterances(), strict=True):
        info = soundfile.info(clip.path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        stored, _ = soundfile.read(clip.path, dtype="float32")
        assert np.abs(stored - reader.samples(utterance)).max() < 1e-4


def test_bytes_do_not_depend_on_the_order(tmp_path: Path) -> None:
    reader = SyntheticReader(speakers=2, sentences=2)
    whole = {u: reader.samples(u).tobytes() for u in reader.utterances()}
    for utterance in reversed(list(reader.utterances())):
        assert SyntheticReader(speakers=2).samples(utterance).tobytes() == whole[utterance]
    assert len(set(whole.values())) == len(whole)


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    reader = SyntheticReader(speakers=1, sentences=2)
    runs = [reader.read(tmp_path / name).clips for name in ("one", "two")]
    for one, two in zip(*runs, strict=True):
        assert one.path.read_bytes() == two.path.read_bytes()


def test_another_seed_repetition_or_speaker_gives_other_audio() -> None:
    utterance = SpokenSentence(1, "fear", 1, 1)
    first = READER.samples(utterance)
    others = [
        SyntheticReader(seed=1).samples(utterance),
        READER.samples(replace(utterance, repetition=2)),
        READER.samples(replace(utterance, speaker=3)),
    ]
    assert all(not np.array_equal(first, other) for other in others)


def test_other_fields_have_another_folder(tmp_path: Path) -> None:
    folders = {SyntheticReader(seed=seed).folder(tmp_path) for seed in range(3)}
    assert len(folders) == 3
    assert all(folder.name.startswith("synthetic-v1-") for folder in folders)


def test_audio_is_sane(audio: dict) -> None:
    for samples in audio.values():
        assert samples.dtype == np.float32 and samples.ndim == 1
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 0.951
        assert 1.0 < len(samples) / RATE_HZ < 4.0


def test_no_clip_has_a_flattened_peak(audio: dict) -> None:
    for samples in audio.values():
        top = np.abs(samples).max()
        assert np.sum(np.abs(samples) > 0.999 * top) <= 2


# librosa compiles its pitch tracker: half a minute where that is not kept.
@pytest.mark.slow
@pytest.mark.parametrize("speaker", [1, 2, 3, 4])
def test_f0_follows_the_emotion_in_every_speaker(audio: dict, speaker: int) -> None:
    f0_hz = mean_by_emotion(audio, median_f0_hz, speaker)
    for high in ("anger", "fear", "happiness"):
        assert f0_hz[high] > 1.1 * f0_hz["neutral"]
        assert f0_hz[high] > 1.2 * max(f0_hz["boredom"], f0_hz["sadness"])


@pytest.mark.slow
def test_women_speak_higher_than_men(audio: dict) -> None:
    f0_hz = [mean_by_emotion(audio, median_f0_hz, speaker)["neutral"] for speaker in range(1, 7)]
    assert min(f0_hz[0::2]) > max(f0_hz[1::2])


def test_level_follows_the_emotion(audio: dict) -> None:
    level = mean_by_emotion(audio, level_dbfs)
    assert level["anger"] > level["happiness"] > level["neutral"] > level["sadness"]
    wanted = synthesis.EMOTIONS["anger"].level_db - synthesis.EMOTIONS["sadness"].level_db
    assert level["anger"] - level["sadness"] == pytest.approx(wanted, abs=3.0)


def test_rate_follows_the_emotion(audio: dict) -> None:
    seconds = mean_by_emotion(audio, len)
    assert seconds["fear"] < seconds["neutral"] < seconds["boredom"]
    assert seconds["anger"] < seconds["neutral"] < seconds["sadness"]


def test_tense_voices_have_more_energy_at_high_frequencies(audio: dict) -> None:
    def high_db(samples: np.ndarray) -> float:
        power = np.abs(librosa.stft(samples, n_fft=512)) ** 2
        loud = power[:, power.sum(0) > np.quantile(power.sum(0), 0.6)].sum(1)
        return float(10 * np.log10(loud[48:128].sum() / loud[2:32].sum()))

    tilt = mean_by_emotion(audio, high_db)
    assert tilt["anger"] > tilt["neutral"] > tilt["sadness"]


def constant_tracks(f0_hz: float, formants_hz: tuple[float, ...]) -> synthesis.Tracks:
    one = np.ones(1000)
    return synthesis.Tracks(f0_hz * one, np.outer(one, formants_hz), one, 0 * one, one, one)


@pytest.mark.parametrize("f0_hz", [90.0, 200.0, 330.0])
def test_a_held_vowel_has_the_f0_that_was_asked_for(f0_hz: float) -> None:
    voice = replace(make_voice(0, 1), jitter=0.0)
    tracks = constant_tracks(f0_hz, (700, 1200, 2500))
    rng = np.random.default_rng(0)
    held = synthesis._voiced(tracks, voice, synthesis.NEUTRAL, RATE_HZ, rng)
    assert median_f0_hz(held.astype(np.float32)) == pytest.approx(f0_hz, rel=0.01)


def test_jitter_is_what_was_asked_for() -> None:
    tracks = constant_tracks(125.0, (700, 1200, 2500))
    starts_s, periods_s = synthesis._pulses(tracks, 0.02, np.random.default_rng(0))
    grid = np.interp(np.arange(1, 125), np.cumsum(tracks.f0_hz) / 1000, np.arange(1000) / 1000)
    assert np.std(starts_s - grid) == pytest.approx(0.02 / 125, rel=0.2)
    assert np.allclose(periods_s, 1 / 125)


def test_resonators_are_those_of_klatt() -> None:
    centre_hz, bandwidth_hz = 730.0, 70.0
    radius = np.exp(-np.pi * bandwidth_hz / RATE_HZ)
    c = -(radius**2)
    b = 2 * radius * np.cos(2 * np.pi * centre_hz / RATE_HZ)
    bins = 2 * np.pi * np.arange(synthesis.PERIOD_FFT // 2 + 1) / synthesis.PERIOD_FFT
    _, wanted = freqz([1 - b - c], [1, -b, -c], worN=bins)
    found = synthesis._resonator(np.array([centre_hz]), bandwidth_hz)[0]
    assert np.allclose(found, wanted, rtol=1e-9)


def test_overlap_add_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    pieces, first = rng.normal(size=(20, 30)), np.sort(rng.integers(0, 100, 20))
    wanted = np.zeros(200)
    for piece, start in zip(pieces, first, strict=True):
        wanted[start : start + 30] += piece
    assert np.allclose(synthesis._overlap_add(pieces, first, 100), wanted[:100])


def test_smoothing_keeps_length_and_constants() -> None:
    for width_ms in (8, 16, 50, 110):
        assert np.allclose(synthesis._smooth(np.full(300, 2.5), width_ms), 2.5)


def test_sentences_use_known_phones_and_differ() -> None:
    letters = {c for sentence in phones.SENTENCES for c in sentence.lower()} - {" ", "|"}
    assert letters <= set(phones.PHONES)
    assert len(set(phones.SENTENCES)) == len(phones.SENTENCES) == 10


def test_what_exists_is_left_alone_and_what_is_broken_is_made_again(tmp_path: Path) -> None:
    reader = SyntheticReader(speakers=1, sentences=2)
    paths = [clip.path for clip in reader.read(tmp_path).clips]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
    paths[3].unlink()
    paths[5].write_bytes(b"")
    reader.read(tmp_path)
    for path in paths:
        content, mtime_ns = before[path]
        assert path.read_bytes() == content
        assert (path.stat().st_mtime_ns == mtime_ns) == (path not in (paths[3], paths[5]))


@pytest.mark.slow
def test_a_killed_run_leaves_whole_files_and_is_taken_up(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from ser_toolkit.builtin.synthetic import SyntheticReader;"
        "SyntheticReader(speakers=2, sentences=8).read(Path(sys.argv[1]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    while not (found := list(tmp_path.rglob("*/spk*.wav"))) and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert found
    reader = SyntheticReader(speakers=2, sentences=8)
    clips = reader.read(tmp_path).clips
    for clip, utterance in zip(clips, reader.utterances(), strict=True):
        frames = len(reader.samples(utterance))
        assert soundfile.info(clip.path).frames == frames


def test_quiet_where_nobody_watches(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    SyntheticReader(speakers=1, sentences=1).read(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SertkError, match="SERTK_CACHE"):
        SyntheticReader(speakers=1, sentences=1).read(tmp_path / "file")


def test_fields_out_of_range_are_user_errors() -> None:
    for field, value in {"speakers": 0, "sentences": 11, "repetitions": 0, "seed": -1}.items():
        with pytest.raises(SertkError, match=field):
            configure(SyntheticReader(), {field: value})


def test_it_is_chosen_by_name_and_says_that_it_is_no_speech(tmp_path: Path) -> None:
    reader = SyntheticReader()
    assert reader.recognises(tmp_path) is None
    assert reader.name == "synthetic" and reader.synthetic and not reader.needs_folder
    assert len(list(reader.utterances())) == 384


@pytest.mark.slow
def test_it_can_be_learnt_by_other_speakers_but_not_from_one_number(audio: dict) -> None:
    """Leave one speaker out, logistic regression: far above chance (1/6), below perfection."""
    rows = []
    for samples in audio.values():
        mfcc = librosa.feature.mfcc(y=samples, sr=RATE_HZ, n_mfcc=13, n_fft=512, hop_length=256)
        rows.append(np.r_[mfcc.mean(1), mfcc.std(1), len(samples), level_dbfs(samples)])
    features = np.array(rows)
    emotions = [utterance.emotion for utterance in audio]
    speakers = [utterance.speaker for utterance in audio]

    def uar(columns: np.ndarray) -> float:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
        folds = LeaveOneGroupOut()
        predictions = cross_val_predict(model, columns, emotions, groups=speakers, cv=folds)
        return float(recall_score(emotions, predictions, average="macro"))

    assert 0.55 < uar(features) < 0.97
    assert max(uar(features[:, [column]]) for column in (0, 26, 27)) < 0.65
