"""Compute modulation spectral features after Wu, Falk and Chan (2011), in a stream."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ser_toolkit import F32, Heatmap, SertkError, Signal, StatefulExtractor

from .filters import (
    F64,
    BlockFilter,
    centre_frequencies_hz,
    decay_s,
    erb_hz,
    gammatone,
    modulation,
    modulation_frequencies_hz,
)

ENVELOPE_RATE_HZ = 1000
WARMUP_DECAY_DB = 60.0
# The bound of memory, and what keeps the work in the processor's cache for any clip.
PIECE_MS = 512
PIECE_PARTS = 16384
LARGEST_BLOCK_MS = 64


class State(NamedTuple):
    """Hold the state of a stream; no array in it is ever written to."""

    gammatone: F64
    modulation: F64
    parts: F64


class Filters(NamedTuple):
    """Hold the two banks, and the squared analysis window in blocks of K ms: (K, blocks)."""

    gammatone: BlockFilter
    modulation: BlockFilter
    window: F64


@dataclass(frozen=True)
class Msf(StatefulExtractor):
    """Compute modulation spectral features: log energy per acoustic and modulation band.

    A gammatone bank gives the envelope of each acoustic band, averaged over 1 ms; second-order
    band-pass filters split each envelope into modulation bands; a frame holds
    log(sum_n (w(n) m_ij(n))^2 + floor) with a periodic Hamming window w over `frame_length`
    samples. Filters run through the whole signal before it is framed: the slowest rings longer
    than a frame lasts. `frames` gives (T, n_acoustic * n_modulation) float32, acoustic-major.

    The defaults are those of the paper: 8 kHz, frames of 256 ms every 64 ms, 19 acoustic bands
    from 125 Hz to 3.5 kHz, modulation bands at 4, 8, 16, 32 and 64 Hz. The acoustic bands depend
    on `high_hz`, not on `rate_hz`: with 16 kHz and `high_hz` 4000 they stay, with 8000 they reach
    6.7 kHz. `floor` is an energy for full scale 1: the rounding noise of 16-bit audio gives about
    1e-11 per band, white noise at -70 dBFS about 6e-9, speech at usual levels 1e-8 and more.

    Raises ValueError where a frequency does not fit the rate, or where the rate is not a multiple
    of 1000 or a length not whole milliseconds; SertkError for audio at another rate.

    Source: S. Wu, T. H. Falk, W.-Y. Chan, "Automatic speech emotion recognition using modulation
    spectral features", Speech Communication 53(5), 2011; with causal one-sided
    gammatone filters in place of the Hilbert transform.
    """

    name: ClassVar[str] = "msf"

    rate_hz: int = 8000
    frame_length: int = 2048
    hop_length: int = 512
    low_hz: float = 125.0
    high_hz: float = 4000.0
    n_acoustic: int = 19
    n_modulation: int = 5
    modulation_low_hz: float = 4.0
    modulation_high_hz: float = 64.0
    q: float = 2.0
    floor: float = 1e-10

    def __post_init__(self) -> None:
        _check_grid(self)
        _check_bands(self)

    @property
    def columns(self) -> tuple[str, ...]:
        """Return msf_a01_m1, msf_a01_m2, …: acoustic band, then modulation band."""
        return tuple(
            f"msf_a{acoustic:02d}_m{band}"
            for acoustic in range(1, self.n_acoustic + 1)
            for band in range(1, self.n_modulation + 1)
        )

    @property
    def heatmap(self) -> Heatmap:
        """Return a block of acoustic bands for each modulation band, the slowest at the bottom."""
        count = len(self.columns)
        return Heatmap(
            f"MSF: modulation of {self.n_acoustic} acoustic bands (low to high in each block)",
            tuple(
                (f"{hz:g} Hz", tuple(range(band, count, self.n_modulation)))
                for band, hz in enumerate(self.modulation_hz)
            ),
            "modulation",
            "energy in dB",
            10 / math.log(10),
        )

    @property
    def centre_hz(self) -> F64:
        """Return the centre frequencies of the acoustic bands, ascending."""
        return centre_frequencies_hz(self.low_hz, self.high_hz, self.n_acoustic)

    @property
    def bandwidth_hz(self) -> F64:
        """Return the equivalent rectangular bandwidths of the acoustic bands."""
        return erb_hz(self.centre_hz)

    @property
    def modulation_hz(self) -> F64:
        """Return the centre frequencies of the modulation bands, ascending."""
        return modulation_frequencies_hz(
            self.modulation_low_hz, self.modulation_high_hz, self.n_modulation
        )

    @property
    def warmup_frames(self) -> int:
        """Return after how many frames the ringing of the slowest filter has fallen by 60 dB."""
        decay = decay_s(self.modulation_low_hz, self.q) * WARMUP_DECAY_DB * math.log(10) / 20
        return math.ceil(decay * self.rate_hz / self.hop_length)

    def step(self, signal: Signal, state: Any) -> tuple[F32, Any]:
        """Return the frames of `signal`, (T, F) float32; only new samples are filtered."""
        fresh = self._checked(signal)
        if state is None:
            state = self._rest()
        else:
            fresh = fresh[self.frame_length - self.hop_length :]
        frames, rooms = [], self._rooms(len(fresh))
        for piece in self._pieces(fresh):
            energies, state = self._advance(piece, state, rooms)
            frames.append(energies)
        return np.log(np.concatenate(frames) + self.floor).astype(np.float32), state

    def _checked(self, signal: Signal) -> F32:
        if signal.rate_hz != self.rate_hz:
            raise SertkError(
                f"'{self.name}' expects audio at {self.rate_hz} Hz, received {signal.rate_hz} Hz",
                "Resample the audio, or set the extractor's rate_hz",
            )
        return signal.samples

    @cached_property
    def _filters(self) -> Filters:
        block, frame_ms = self._block_ms, self.frame_length // self._samples_per_ms
        window = np.square(np.hamming(frame_ms + 1)[:-1])
        return Filters(
            BlockFilter.build(gammatone(self.centre_hz, self.rate_hz), self._samples_per_ms),
            BlockFilter.build(modulation(self.modulation_hz, self.q, ENVELOPE_RATE_HZ), block),
            window.reshape(-1, block).T,
        )

    @property
    def _samples_per_ms(self) -> int:
        return self.rate_hz // ENVELOPE_RATE_HZ

    @property
    def _block_ms(self) -> int:
        """Return the longest block, up to a limit, that divides hop and frame."""
        common = math.gcd(self.frame_length, self.hop_length) // self._samples_per_ms
        return max(n for n in range(1, LARGEST_BLOCK_MS + 1) if common % n == 0)

    def _rest(self) -> State:
        filters = self._filters
        empty = np.empty((self.n_acoustic, self.n_modulation, 0, filters.window.shape[1]))
        return State(filters.gammatone.rest(), filters.modulation.rest(self.n_acoustic), empty)

    def _rooms(self, n_samples: int) -> tuple[F64, F64]:
        filters, length_ms = self._filters, min(n_samples // self._samples_per_ms, self._piece_ms)
        blocks = length_ms // filters.modulation.block
        return filters.gammatone.room(length_ms), filters.modulation.room(blocks, self.n_acoustic)

    @property
    def _piece_ms(self) -> int:
        block, per_frame = self._filters.window.shape
        length: int = block * max(1, min(PIECE_MS // block, PIECE_PARTS // per_frame))
        return length

    def _pieces(self, samples: F32) -> Iterator[F64]:
        length = self._piece_ms * self._samples_per_ms
        for start in range(0, len(samples), length):
            yield samples[start : start + length].astype(np.float64)

    def _advance(self, samples: F64, state: State, rooms: tuple[F64, F64]) -> tuple[F64, State]:
        """Return the energies (T, F) of the frames that `samples` complete, and the next state."""
        filters = self._filters
        outputs, after_gammatone = filters.gammatone.apply(samples, state.gammatone, rooms[0])
        envelope = _magnitudes(outputs).mean(axis=-1)
        bands, after_bands = filters.modulation.apply(envelope, state.modulation, rooms[1])
        # A frame is a sum over its blocks; what block b adds as the r-th of a frame is parts[b, r].
        parts = np.concatenate([state.parts, np.square(bands) @ filters.window], axis=-2)
        hop = self.hop_length // (self._samples_per_ms * self._block_ms)
        energies = _frame_sums(parts, hop)
        rest = parts[..., len(energies) * hop :, :]
        return energies, State(after_gammatone, after_bands, rest)


def _magnitudes(outputs: F64) -> F64:
    """Compute magnitudes (C, blocks, K) of real and imaginary parts (C, blocks, 2 K), in place."""
    np.square(outputs, out=outputs)
    real, imaginary = np.split(outputs, 2, axis=-1)
    real += imaginary
    return np.sqrt(real, out=real)


def _frame_sums(parts: F64, hop: int) -> F64:
    """Return the sum of each whole frame t, of parts[..., t hop + r, r] over r: (T, F)."""
    blocks, per_frame = parts.shape[-2:]
    count = max(0, 1 + (blocks - per_frame) // hop)
    sums = np.zeros((count, *parts.shape[:-2]))
    for r in range(per_frame if count else 0):
        share = parts[..., r : r + (count - 1) * hop + 1 : hop, r]
        sums += np.moveaxis(share, -1, 0)
    return sums.reshape(count, math.prod(parts.shape[:-2]))


def _check_grid(msf: Msf) -> None:
    if msf.rate_hz < ENVELOPE_RATE_HZ or msf.rate_hz % ENVELOPE_RATE_HZ:
        raise ValueError(f"rate_hz must be a multiple of 1000, received {msf.rate_hz}")
    samples_per_ms = msf.rate_hz // ENVELOPE_RATE_HZ
    for field in ("frame_length", "hop_length"):
        length = getattr(msf, field)
        if length < 1 or length % samples_per_ms:
            raise ValueError(
                f"{field} must be whole milliseconds, so a multiple of {samples_per_ms} samples "
                f"at {msf.rate_hz} Hz, received {length}"
            )
    if msf.hop_length > msf.frame_length:
        raise ValueError(
            f"hop_length must not exceed frame_length ({msf.frame_length}), "
            f"received {msf.hop_length}"
        )


def _check_bands(msf: Msf) -> None:
    if not 0 < msf.low_hz < msf.high_hz:
        raise ValueError(
            f"low_hz must lie between 0 and high_hz ({msf.high_hz:g}), received {msf.low_hz:g}"
        )
    if msf.high_hz > msf.rate_hz / 2:
        raise ValueError(
            f"high_hz must not exceed half the rate ({msf.rate_hz / 2:g} Hz), "
            f"received {msf.high_hz:g}; lower high_hz or raise rate_hz"
        )
    if not 0 < msf.modulation_low_hz <= msf.modulation_high_hz < ENVELOPE_RATE_HZ / 2:
        raise ValueError(
            "modulation_low_hz and modulation_high_hz must rise between 0 and 500 Hz, received "
            f"{msf.modulation_low_hz:g} and {msf.modulation_high_hz:g}"
        )
    for field in ("n_acoustic", "n_modulation", "q", "floor"):
        if not getattr(msf, field) > 0:
            raise ValueError(f"{field} must be above 0, received {getattr(msf, field)}")
