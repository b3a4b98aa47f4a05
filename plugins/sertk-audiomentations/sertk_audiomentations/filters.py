"""Transforms that filter and encode, with the parameters and defaults of the library."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from .transform import Transform


@dataclass(frozen=True)
class AirAbsorption(Transform):
    """What air takes from high frequencies over a distance."""

    name: ClassVar[str] = "audiomentations.AirAbsorption"
    min_temperature: float = 10.0
    max_temperature: float = 20.0
    min_humidity: float = 30.0
    max_humidity: float = 90.0
    min_distance: float = 10.0
    max_distance: float = 100.0


@dataclass(frozen=True)
class Aliasing(Transform):
    """Resampling without a filter against aliases."""

    name: ClassVar[str] = "audiomentations.Aliasing"
    min_sample_rate: int = 8000
    max_sample_rate: int = 30000


@dataclass(frozen=True)
class BandPassFilter(Transform):
    """A band-pass filter."""

    name: ClassVar[str] = "audiomentations.BandPassFilter"
    min_center_freq: float = 200.0
    max_center_freq: float = 4000.0
    min_bandwidth_fraction: float = 0.5
    max_bandwidth_fraction: float = 1.99
    min_rolloff: int = 12
    max_rolloff: int = 24
    zero_phase: bool = False


@dataclass(frozen=True)
class BandStopFilter(Transform):
    """A band-stop filter."""

    name: ClassVar[str] = "audiomentations.BandStopFilter"
    min_center_freq: float = 200.0
    max_center_freq: float = 4000.0
    min_bandwidth_fraction: float = 0.5
    max_bandwidth_fraction: float = 1.99
    min_rolloff: int = 12
    max_rolloff: int = 24
    zero_phase: bool = False


@dataclass(frozen=True)
class BitCrush(Transform):
    """Fewer bits per sample."""

    name: ClassVar[str] = "audiomentations.BitCrush"
    min_bit_depth: int = 5
    max_bit_depth: int = 10


@dataclass(frozen=True)
class HighPassFilter(Transform):
    """A high-pass filter."""

    name: ClassVar[str] = "audiomentations.HighPassFilter"
    min_cutoff_freq: float = 20.0
    max_cutoff_freq: float = 2400.0
    min_rolloff: int = 12
    max_rolloff: int = 24
    zero_phase: bool = False


@dataclass(frozen=True)
class HighShelfFilter(Transform):
    """A high shelf."""

    name: ClassVar[str] = "audiomentations.HighShelfFilter"
    min_center_freq: float = 300.0
    max_center_freq: float = 7500.0
    min_gain_db: float = -18.0
    max_gain_db: float = 18.0
    min_q: float = 0.1
    max_q: float = 0.999


@dataclass(frozen=True)
class LowPassFilter(Transform):
    """A low-pass filter."""

    name: ClassVar[str] = "audiomentations.LowPassFilter"
    min_cutoff_freq: float = 150.0
    max_cutoff_freq: float = 7500.0
    min_rolloff: int = 12
    max_rolloff: int = 24
    zero_phase: bool = False


@dataclass(frozen=True)
class LowShelfFilter(Transform):
    """A low shelf."""

    name: ClassVar[str] = "audiomentations.LowShelfFilter"
    min_center_freq: float = 50.0
    max_center_freq: float = 4000.0
    min_gain_db: float = -18.0
    max_gain_db: float = 18.0
    min_q: float = 0.1
    max_q: float = 0.999


@dataclass(frozen=True)
class Mp3Compression(Transform):
    """MP3 at a drawn bit rate and back."""

    name: ClassVar[str] = "audiomentations.Mp3Compression"
    min_bitrate: int = 8
    max_bitrate: int = 64
    backend: Literal["pydub", "lameenc", "fast-mp3-augment"] = "fast-mp3-augment"
    preserve_delay: bool = False
    quality: int = 7

    @property
    def needs(self) -> str:  # type: ignore[override]
        """The package of the backend."""
        return self.backend.replace("-", "_")


@dataclass(frozen=True)
class PeakingFilter(Transform):
    """A peaking filter."""

    name: ClassVar[str] = "audiomentations.PeakingFilter"
    min_center_freq: float = 50.0
    max_center_freq: float = 7500.0
    min_gain_db: float = -24.0
    max_gain_db: float = 24.0
    min_q: float = 0.5
    max_q: float = 5.0


@dataclass(frozen=True)
class RoomSimulator(Transform):
    """A simulated room by the image source method."""

    name: ClassVar[str] = "audiomentations.RoomSimulator"
    needs: ClassVar[str] = "pyroomacoustics"
    min_size_x: float = 3.6
    max_size_x: float = 5.6
    min_size_y: float = 3.6
    max_size_y: float = 3.9
    min_size_z: float = 2.4
    max_size_z: float = 3.0
    min_absorption_value: float = 0.075
    max_absorption_value: float = 0.4
    min_target_rt60: float = 0.15
    max_target_rt60: float = 0.8
    min_source_x: float = 0.1
    max_source_x: float = 3.5
    min_source_y: float = 0.1
    max_source_y: float = 2.7
    min_source_z: float = 1.0
    max_source_z: float = 2.1
    min_mic_distance: float = 0.15
    max_mic_distance: float = 0.35
    min_mic_azimuth: float = -math.pi
    max_mic_azimuth: float = math.pi
    min_mic_elevation: float = -math.pi
    max_mic_elevation: float = math.pi
    calculation_mode: Literal["rt60", "absorption"] = "absorption"
    use_ray_tracing: bool = False
    max_order: int = 1
    leave_length_unchanged: bool = False
    padding: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.use_ray_tracing:
            raise ValueError("use_ray_tracing draws from a generator that nobody can seed")


@dataclass(frozen=True)
class SevenBandParametricEQ(Transform):
    """Seven filters at once."""

    name: ClassVar[str] = "audiomentations.SevenBandParametricEQ"
    min_gain_db: float = -12.0
    max_gain_db: float = 12.0
