"""Synthesize emotional speech: a source-filter synthesizer in numpy.

It exists so that a demo and the tests need no corpus. A glottal pulse per pitch period
(Rosenberg 1971) with jitter, shimmer, spectral tilt and breath excites digital resonators
(Klatt 1980) whose formants glide from phone to phone (vowels of Peterson & Barney 1952);
fricatives and bursts are shaped noise. Each emotion moves the prosody as the literature says:
Murray & Arnott 1993 (JASA 93), Banse & Scherer 1996 (JPSP 70), Burkhardt & Sendlmeier 2000
(ISCA Workshop on Speech and Emotion), Juslin & Laukka 2003 (Psychological Bulletin 129). How
strongly it does so varies with the speaker and the utterance. It is speech-like, not speech:
metrics on it say nothing about people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..runtime.features.base import F32
from .phones import PAUSE, PHONES, SCHWA_HZ, SENTENCES, Phone

F64 = NDArray[np.float64]
Spectra = NDArray[np.complex128]
Flags = NDArray[np.bool_]

RATE_HZ, TRACK_HZ = 16_000, 1_000
PERIOD_FFT, NOISE_FFT, NOISE_HOP = 768, 128, 64
BANDWIDTHS_HZ = (70.0, 90.0, 130.0)
HIGH_FORMANTS_HZ = (3500.0, 4500.0, 5500.0, 6500.0, 7500.0)
NEUTRAL_LEVEL_DBFS, FLOOR_DBFS = -29.0, -64.0
BREATH_CORNER_HZ = 2000.0
F0_MIN_HZ, F0_MAX_HZ = 55.0, 520.0
DECLINATION_ST, UNSTRESSED, DRIFT_ST, TREMOR_HZ = 2.5, -0.35, 6.0, 6.0
STRESS_STRETCH, FINAL_STRETCH = 1.2, 1.35
PEAK = 0.95


@dataclass(frozen=True)
class Prosody:
    """Differences of an utterance from the speaker's neutral voice; 0 everywhere is neutral.

    `range` is the size of the f0 accents, `slope` the rise of f0 from start to end on top of
    declination, `accent` how much louder stressed syllables are, `tilt` the fall of the source at
    3 kHz (a tense voice falls less), `tremor` the depth of 6 Hz in f0, `articulation` the size of
    the vowel space around schwa, `formant` a factor of all formants (a smile raises them).
    """

    f0_st: float = 0.0
    range_log2: float = 0.0
    slope_st: float = 0.0
    rate_log2: float = 0.0
    pause_log2: float = 0.0
    level_db: float = 0.0
    accent_db: float = 0.0
    tilt_db: float = 0.0
    breath_db: float = 0.0
    jitter_log2: float = 0.0
    tremor_st: float = 0.0
    articulation_log2: float = 0.0
    formant_log2: float = 0.0


NEUTRAL = Prosody()

# fmt: off
EMOTIONS: Mapping[str, Prosody] = {
    #                    f0 range slope  rate pause lev.  acc. tilt  br.  jit. trem. artic. formant
    "anger":     Prosody(2.6, 0.75, -1.5, 0.16, -0.5, 6.5, 3.5, -9.0, -3.0, 0.5, 0.0, 0.20, 0.0),
    "boredom":   Prosody(-1.2, -0.9, -0.8, -0.26, 0.6, -2.0, -1.5, 3.5, 0.0, 0.0, 0.0, -0.35, 0.0),
    "fear":      Prosody(5.4, -0.1, 1.2, 0.26, 0.0, 1.0, 0.0, -2.0, 3.0, 1.2, 0.45, 0.0, 0.0),
    "happiness": Prosody(3.0, 0.85, 2.0, 0.10, -0.3, 4.0, 1.5, -5.5, 0.0, 0.2, 0.0, 0.12, 0.05),
    "neutral":   NEUTRAL,
    "sadness":   Prosody(-0.8, -0.7, -1.2, -0.26, 0.9, -5.0, -2.0, 7.0, 4.0, 0.8, 0.1, -0.3, -0.02),
}
# fmt: on
"""Mean departure of each emotion."""

SPREAD = Prosody(0.7, 0.2, 0.8, 0.055, 0.3, 1.1, 0.7, 1.2, 1.5, 0.3, 0.06, 0.08, 0.01)
"""Standard deviation from utterance to utterance, whatever the emotion."""

STRENGTH_SPREAD = 0.27
"""Log-normal spread of how strongly an emotion is shown, by speaker and by utterance."""


@dataclass(frozen=True)
class Voice:
    """A speaker. `tract` scales all formants, `habits` is the own way of showing each emotion."""

    sex: Literal["female", "male"]
    f0_hz: float
    tract: float
    accent_st: float
    rate: float
    level_db: float
    tilt_db: float
    breath_db: float
    jitter: float
    shimmer_db: float
    habits: Mapping[str, Prosody]


def draw_prosody(habit: Prosody, rng: np.random.Generator) -> Prosody:
    """Draw the prosody of one utterance: the habit, at a random strength, with random changes."""
    strength = np.exp(rng.normal(0, STRENGTH_SPREAD))
    values = strength * np.array(astuple(habit)) + rng.normal(0, astuple(SPREAD))
    return replace(Prosody(*values.tolist()), tremor_st=max(0.0, float(values[10])))


@dataclass(frozen=True)
class Tracks:
    """Controls at TRACK_HZ, each (n,), `formants_hz` (n, 3)."""

    f0_hz: F64
    formants_hz: F64
    voice: F64
    noise: F64
    noise_hz: F64
    noise_octaves: F64


def synthesize(voice: Voice, emotion: str, sentence: int, rng: np.random.Generator) -> F32:
    """Return one utterance, float32 (N,) at 16 kHz, about 1.5 to 3 s, never beyond ±0.95.

    Same generator, same samples (on one machine).

    Args:
        voice: The speaker.
        emotion: A key of EMOTIONS.
        sentence: Index in SENTENCES.
        rng: Source of every random draw.
    """
    prosody = draw_prosody(voice.habits[emotion], rng)
    tracks = plan(voice, prosody, SENTENCES[sentence], rng)
    n_samples = len(tracks.voice) * RATE_HZ // TRACK_HZ
    speech = _voiced(tracks, voice, prosody, n_samples, rng) + _noise(tracks, n_samples, rng)
    level_dbfs = NEUTRAL_LEVEL_DBFS + voice.level_db + prosody.level_db
    speech *= _amplitude(level_dbfs) / np.sqrt(np.mean(speech**2))
    speech += _amplitude(FLOOR_DBFS) * rng.standard_normal(n_samples)
    speech *= min(1.0, PEAK / np.abs(speech).max())
    return speech.astype(np.float32)


def plan(voice: Voice, prosody: Prosody, sentence: str, rng: np.random.Generator) -> Tracks:
    """Turn the syllables of a sentence into smooth control tracks.

    Args:
        voice: The speaker.
        prosody: Differences from the speaker's neutral voice.
        sentence: Syllables as in SENTENCES.
        rng: Source of every random draw.
    """
    edge = [replace(PAUSE, ms=rng.uniform(80, 200)) for _ in range(2)]
    spoken, stressed = _phones(sentence)
    phones = [edge[0], *spoken, edge[1]]
    stress = np.array([False, *stressed, False])
    counts = np.array([edge[0].ms, *_lengths_ms(voice, prosody, spoken, stress, rng), edge[1].ms])
    counts = np.maximum(1, np.round(counts)).astype(int)
    names = ("formants_hz", "voice_db", "noise_db", "noise_hz", "noise_octaves")
    columns = [np.array([getattr(p, name) for p in phones], np.float64) for name in names]
    held = [np.repeat(column, counts, axis=0) for column in columns]
    formants, voice_db, noise_db, noise_hz, octaves = held
    accents = np.repeat(stress, counts)
    return Tracks(
        f0_hz=_f0(voice, prosody, accents, rng),
        formants_hz=_formants(voice, prosody, formants),
        voice=_smooth(_amplitude(voice_db + prosody.accent_db * accents), 16),
        noise=_smooth(_amplitude(noise_db), 8),
        noise_hz=noise_hz,
        noise_octaves=octaves,
    )


def _phones(sentence: str) -> tuple[list[Phone], list[bool]]:
    phones, stressed = [], []
    for syllable in sentence.split():
        parts = [PAUSE] if syllable == "|" else [p for c in syllable.lower() for p in PHONES[c]]
        phones += parts
        stressed += [syllable.isupper()] * len(parts)
    return phones, stressed


def _lengths_ms(
    voice: Voice, prosody: Prosody, phones: list[Phone], stress: Flags, rng: np.random.Generator
) -> F64:
    rate = voice.rate * 2**prosody.rate_log2
    lengths: F64 = np.array([phone.ms for phone in phones]) / rate * np.exp(rng.normal(0, 0.08))
    lengths *= np.exp(rng.normal(0, 0.1, len(phones))) * np.where(stress[1:-1], STRESS_STRETCH, 1.0)
    lengths[-2:] *= FINAL_STRETCH
    pauses = np.array([phone is PAUSE for phone in phones])
    lengths[pauses] *= 2**prosody.pause_log2
    return lengths


def _f0(voice: Voice, prosody: Prosody, accents: Flags, rng: np.random.Generator) -> F64:
    n = len(accents)
    accent = _smooth(np.where(accents, 1.0, UNSTRESSED), 110)
    drift = _smooth(rng.normal(0, DRIFT_ST, n), 250)
    tremor = np.sin(2 * np.pi * (TREMOR_HZ * np.arange(n) / TRACK_HZ + rng.uniform()))
    semitones = (
        prosody.f0_st
        + (prosody.slope_st - DECLINATION_ST) * np.linspace(-0.5, 0.5, n)
        + voice.accent_st * 2**prosody.range_log2 * accent
        + prosody.tremor_st * tremor
        + drift
    )
    f0_hz: F64 = np.clip(voice.f0_hz * 2 ** (semitones / 12), F0_MIN_HZ, F0_MAX_HZ)
    return f0_hz


def _formants(voice: Voice, prosody: Prosody, targets_hz: F64) -> F64:
    moved = SCHWA_HZ + (targets_hz - SCHWA_HZ) * 2**prosody.articulation_log2
    moved = np.clip(moved, 200, None) * voice.tract * 2**prosody.formant_log2
    return np.stack([_smooth(column, 50) for column in moved.T], axis=1)


def _voiced(
    tracks: Tracks, voice: Voice, prosody: Prosody, n_samples: int, rng: np.random.Generator
) -> F64:
    """Filter each pitch period by the formants of its moment, and overlap and add them."""
    starts_s, periods_s = _pulses(tracks, voice.jitter * 2**prosody.jitter_log2, rng)
    moment = np.minimum((starts_s * TRACK_HZ).astype(int), len(tracks.voice) - 1)
    strength = tracks.voice[moment] * _amplitude(rng.normal(0, voice.shimmer_db, len(moment)))
    first = (starts_s * RATE_HZ).astype(int)
    tilt_db = max(1.0, voice.tilt_db + prosody.tilt_db)
    tract = _vocal_tract(tracks.formants_hz[moment], voice.tract)
    tone, air = _source(starts_s * RATE_HZ - first, periods_s * RATE_HZ, tilt_db, rng)
    tone, air = tone * tract, air * tract
    air *= np.linalg.norm(tone) / np.linalg.norm(air)
    air *= _amplitude(voice.breath_db + prosody.breath_db)
    pulses = np.fft.irfft(tone + air, PERIOD_FFT) * strength[:, None]
    speech = _overlap_add(pulses, first, n_samples)
    loud = tracks.voice[(np.arange(n_samples) * TRACK_HZ) // RATE_HZ] > 0.5
    speech /= np.sqrt(np.mean(speech[loud] ** 2))
    return speech


def _pulses(tracks: Tracks, jitter: float, rng: np.random.Generator) -> tuple[F64, F64]:
    phase = np.cumsum(tracks.f0_hz) / TRACK_HZ
    times = np.arange(len(phase)) / TRACK_HZ
    starts = np.interp(np.arange(1, int(phase[-1])), phase, times)
    periods = 1 / np.interp(starts, times, tracks.f0_hz)
    starts = starts + jitter * periods * rng.standard_normal(len(starts))
    audible = np.interp(starts, times, tracks.voice) > 1e-3
    return starts[audible], periods[audible]


def _source(
    offsets: F64, periods: F64, tilt_db: float, rng: np.random.Generator
) -> tuple[Spectra, Spectra]:
    """Return the spectra of Rosenberg pulses, differentiated by radiation, and of their breath."""
    open_share = np.clip(0.48 + 0.012 * tilt_db, 0.4, 0.85)
    place = (np.arange(PERIOD_FFT) - offsets[:, None]) / (periods[:, None] * open_share)
    opening = 0.5 - 0.5 * np.cos(np.pi * place / 0.67)
    closing = np.cos(0.5 * np.pi * (place - 0.67) / 0.33)
    flow = np.where(place < 0.67, opening, closing) * ((place >= 0) & (place < 1))
    air = (0.3 + flow) * ((place >= 0) & (place * open_share < 1))
    hz = np.fft.rfftfreq(PERIOD_FFT, 1 / RATE_HZ)
    corner_hz = 3000 / np.sqrt(_amplitude(2 * tilt_db) - 1)
    voiced = np.fft.rfft(flow) * (2j * np.pi * hz / 1000) / (1 + 1j * hz / corner_hz)
    breath = np.fft.rfft(air * rng.standard_normal(air.shape)) / (1 + 1j * hz / BREATH_CORNER_HZ)
    return voiced / np.sqrt(periods[:, None]), breath


def _vocal_tract(formants_hz: F64, tract: float) -> Spectra:
    """Return frequency responses (pulses, bins) of three moving and some fixed resonators."""
    response = np.ones((1, PERIOD_FFT // 2 + 1), np.complex128)
    for centre in HIGH_FORMANTS_HZ:
        if centre * tract < 0.48 * RATE_HZ:
            response = response * _resonator(np.array([centre * tract]), 0.06 * centre)
    for column, bandwidth in zip(formants_hz.T, BANDWIDTHS_HZ, strict=True):
        response = response * _resonator(column, bandwidth)
    return response


def _resonator(centre_hz: F64, bandwidth_hz: float) -> Spectra:
    radius = np.exp(-np.pi * bandwidth_hz / RATE_HZ)
    first = (2 * radius * np.cos(2 * np.pi * centre_hz / RATE_HZ))[:, None]
    delay = np.exp(-2j * np.pi * np.arange(PERIOD_FFT // 2 + 1) / PERIOD_FFT)
    poles: Spectra = 1 - first * delay + radius**2 * delay**2
    response: Spectra = (1 - first + radius**2) / poles
    return response


def _noise(tracks: Tracks, n_samples: int, rng: np.random.Generator) -> F64:
    """Return fricatives and bursts: white noise shaped by a bell over log frequency, by frame."""
    first = np.arange(0, n_samples - NOISE_FFT, NOISE_HOP)
    moment = (first + NOISE_HOP) * TRACK_HZ // RATE_HZ
    hz = np.maximum(np.fft.rfftfreq(NOISE_FFT, 1 / RATE_HZ), 50)
    octaves = np.log2(hz / tracks.noise_hz[moment, None]) / tracks.noise_octaves[moment, None]
    shape = np.exp(-0.5 * octaves**2)
    shape *= (tracks.noise[moment] / np.sqrt(np.mean(shape**2, axis=1)))[:, None]
    white = rng.standard_normal((len(first), NOISE_FFT)) * np.sqrt(np.hanning(NOISE_FFT))
    frames = np.fft.irfft(np.fft.rfft(white) * shape) * np.sqrt(np.hanning(NOISE_FFT))
    return _overlap_add(frames, first, n_samples)


def _overlap_add(pieces: F64, first: NDArray[np.int_], n_samples: int) -> F64:
    where = (first[:, None] + np.arange(pieces.shape[1])).ravel()
    total = np.bincount(where, pieces.ravel(), n_samples + pieces.shape[1])
    return np.asarray(total[:n_samples], np.float64)


def _smooth(track: F64, width_ms: int) -> F64:
    kernel = np.hanning(width_ms + 2)
    padded = np.pad(track, (width_ms // 2, width_ms), mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")[: len(track)]


def _amplitude(level_db: float | F64) -> F64:
    amplitude: F64 = 10 ** (np.asarray(level_db, np.float64) / 20)
    return amplitude
