"""Transforms of level, noise and time, with the parameters and defaults of the library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from .transform import Transform

SLOWEST = 0.5
WHY = "(slower, the stretcher draws phases from a generator that nobody can seed)"


@dataclass(frozen=True)
class AddColorNoise(Transform):
    """Noise of a drawn colour at a drawn signal-to-noise ratio."""

    name: ClassVar[str] = "audiomentations.AddColorNoise"
    min_snr_db: float = 5.0
    max_snr_db: float = 40.0
    min_f_decay: float = -6.0
    max_f_decay: float = 6.0
    p_apply_a_weighting: float = 0.0
    n_fft: int = 128


@dataclass(frozen=True)
class AddGaussianNoise(Transform):
    """White noise of a drawn amplitude."""

    name: ClassVar[str] = "audiomentations.AddGaussianNoise"
    min_amplitude: float = 0.001
    max_amplitude: float = 0.015


@dataclass(frozen=True)
class AddGaussianSNR(Transform):
    """White noise at a drawn signal-to-noise ratio."""

    name: ClassVar[str] = "audiomentations.AddGaussianSNR"
    min_snr_db: float = 5.0
    max_snr_db: float = 40.0


@dataclass(frozen=True)
class AdjustDuration(Transform):
    """Cuts or pads a clip to one length."""

    name: ClassVar[str] = "audiomentations.AdjustDuration"
    duration_samples: int | None = None
    duration_seconds: float = 3.0
    padding_mode: Literal["silence", "wrap", "reflect"] = "silence"
    padding_position: Literal["start", "end"] = "end"


@dataclass(frozen=True)
class Clip(Transform):
    """Limits samples to a range."""

    name: ClassVar[str] = "audiomentations.Clip"
    a_min: float = -1.0
    a_max: float = 1.0


@dataclass(frozen=True)
class ClippingDistortion(Transform):
    """Clips the loudest samples."""

    name: ClassVar[str] = "audiomentations.ClippingDistortion"
    min_percentile_threshold: int = 0
    max_percentile_threshold: int = 40


@dataclass(frozen=True)
class Gain(Transform):
    """Louder or softer."""

    name: ClassVar[str] = "audiomentations.Gain"
    min_gain_db: float = -12.0
    max_gain_db: float = 12.0


@dataclass(frozen=True)
class GainTransition(Transform):
    """Louder or softer gradually."""

    name: ClassVar[str] = "audiomentations.GainTransition"
    min_gain_db: float = -24.0
    max_gain_db: float = 6.0
    min_duration: float | int = 0.2
    max_duration: float | int = 6.0
    duration_unit: Literal["fraction", "samples", "seconds"] = "seconds"


@dataclass(frozen=True)
class Limiter(Transform):
    """A lookahead limiter."""

    name: ClassVar[str] = "audiomentations.Limiter"
    needs: ClassVar[str] = "numpy_audio_limiter"
    min_threshold_db: float = -24.0
    max_threshold_db: float = -2.0
    min_attack: float = 0.0005
    max_attack: float = 0.025
    min_release: float = 0.05
    max_release: float = 0.7
    threshold_mode: Literal["relative_to_signal_peak", "absolute"] = "relative_to_signal_peak"


@dataclass(frozen=True)
class LoudnessNormalization(Transform):
    """Brings a clip to a drawn loudness."""

    name: ClassVar[str] = "audiomentations.LoudnessNormalization"
    needs: ClassVar[str] = "loudness"
    min_lufs: float = -31.0
    max_lufs: float = -13.0


@dataclass(frozen=True)
class Normalize(Transform):
    """Peak to full scale."""

    name: ClassVar[str] = "audiomentations.Normalize"
    apply_to: Literal["all", "only_too_loud_sounds"] = "all"


@dataclass(frozen=True)
class Padding(Transform):
    """Replaces a drawn part at one end."""

    name: ClassVar[str] = "audiomentations.Padding"
    mode: Literal["silence", "wrap", "reflect"] = "silence"
    min_fraction: float = 0.01
    max_fraction: float = 0.7
    pad_section: Literal["start", "end"] = "end"


@dataclass(frozen=True)
class PitchShift(Transform):
    """Pitch at the same tempo."""

    name: ClassVar[str] = "audiomentations.PitchShift"
    min_semitones: float = -4.0
    max_semitones: float = 4.0
    method: Literal["librosa_phase_vocoder", "signalsmith_stretch"] = "signalsmith_stretch"


@dataclass(frozen=True)
class PolarityInversion(Transform):
    """The sign of every sample."""

    name: ClassVar[str] = "audiomentations.PolarityInversion"


@dataclass(frozen=True)
class RepeatPart(Transform):
    """Repeats a part of the clip."""

    name: ClassVar[str] = "audiomentations.RepeatPart"
    min_repeats: int = 1
    max_repeats: int = 3
    min_part_duration: float = 0.25
    max_part_duration: float = 1.2
    mode: Literal["insert", "replace"] = "insert"
    crossfade_duration: float = 0.005


@dataclass(frozen=True)
class Resample(Transform):
    """Plays faster or slower: tempo and pitch together, as resampling without telling does."""

    name: ClassVar[str] = "audiomentations.Resample"
    min_sample_rate: int = 8000
    max_sample_rate: int = 44100


@dataclass(frozen=True)
class Reverse(Transform):
    """Backwards."""

    name: ClassVar[str] = "audiomentations.Reverse"


@dataclass(frozen=True)
class Shift(Transform):
    """Shifts in time."""

    name: ClassVar[str] = "audiomentations.Shift"
    min_shift: float | int = -0.5
    max_shift: float | int = 0.5
    shift_unit: Literal["fraction", "samples", "seconds"] = "fraction"
    rollover: bool = True
    fade_duration: float = 0.005


@dataclass(frozen=True)
class TanhDistortion(Transform):
    """Distortion by tanh."""

    name: ClassVar[str] = "audiomentations.TanhDistortion"
    min_distortion: float = 0.01
    max_distortion: float = 0.7


@dataclass(frozen=True)
class TimeMask(Transform):
    """Silences a span."""

    name: ClassVar[str] = "audiomentations.TimeMask"
    min_band_part: float = 0.01
    max_band_part: float = 0.2
    fade_duration: float = 0.005
    mask_location: Literal["start", "end", "random"] = "random"


@dataclass(frozen=True)
class TimeStretch(Transform):
    """Tempo at the same pitch."""

    name: ClassVar[str] = "audiomentations.TimeStretch"
    min_rate: float = 0.8
    max_rate: float = 1.25
    leave_length_unchanged: bool = True
    method: Literal["librosa_phase_vocoder", "signalsmith_stretch"] = "signalsmith_stretch"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method == "signalsmith_stretch" and self.min_rate < SLOWEST:
            raise ValueError(
                f"min_rate of {SLOWEST} or more expected {WHY}, received {self.min_rate}"
            )


@dataclass(frozen=True)
class Trim(Transform):
    """Removes quiet ends."""

    name: ClassVar[str] = "audiomentations.Trim"
    top_db: float = 30.0
