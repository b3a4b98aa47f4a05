"""Compute banks of linear filters block by block: exact, causal, and resumable at any block.

A filter of few states is written as a state space. The outputs of a block then depend linearly on
the block's inputs and on the state before it, so that a block costs two matrix products and the
states between the blocks follow by cyclic reduction: no Python loop over samples, no truncation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

EAR_Q = 9.26449
MIN_BANDWIDTH_HZ = 24.7
GAMMATONE_ORDER = 4
GAMMATONE_WIDENING = 1.019
# Far below any sound, far above denormal numbers, which make arithmetic many times slower.
NEGLIGIBLE_STATE = 1e-60


def erb_hz(frequencies_hz: F64) -> F64:
    """Return the bandwidths (ERB) in Hz: f / 9.26449 + 24.7 (Glasberg and Moore, 1990)."""
    return frequencies_hz / EAR_Q + MIN_BANDWIDTH_HZ


def centre_frequencies_hz(low_hz: float, high_hz: float, count: int) -> F64:
    """Return ascending frequencies, evenly spaced in ERB: (count,).

    Slaney, Apple technical report 35 (1993), with `high_hz` for half the sampling rate.

    Args:
        low_hz: The lowest one.
        high_hz: The limit that the highest stays below.
        count: How many.
    """
    shift = EAR_Q * MIN_BANDWIDTH_HZ
    steps = np.arange(count, 0, -1) / count
    return (high_hz + shift) * ((low_hz + shift) / (high_hz + shift)) ** steps - shift


def modulation_frequencies_hz(low_hz: float, high_hz: float, count: int) -> F64:
    """Return ascending frequencies in a geometric series: (count,).

    Args:
        low_hz: The lowest one.
        high_hz: The highest one.
        count: How many.
    """
    return np.geomspace(low_hz, high_hz, count)


@dataclass(frozen=True)
class StateSpace:
    """Hold C real filters with D states and O outputs each, for one input x.

    z[n] = transition z[n-1] + drive x[n] and y[n] = readout z[n-1] + feed x[n], with shapes
    (C, D, D), (C, D), (C, O, D) and (C, O).
    """

    transition: F64
    drive: F64
    readout: F64
    feed: F64


def gammatone(frequencies_hz: F64, rate_hz: int) -> StateSpace:
    """Return fourth-order one-sided gammatone filters; the two outputs are real and imaginary part.

    Four complex one-pole filters in a row (Hohmann, Acta Acustica 88, 2002), with the pole
    exp((-B + 2 pi i f) / rate), B = 2 pi 1.019 ERB(f). A tone of amplitude a at the centre
    frequency gives an output of magnitude a.
    """
    width = 2 * np.pi * GAMMATONE_WIDENING * erb_hz(frequencies_hz)
    pole = np.exp((-width + 2j * np.pi * frequencies_hz) / rate_hz)[:, None, None]
    gain = 1 - np.abs(pole)
    stage = np.arange(GAMMATONE_ORDER)
    delay = stage[:, None] - stage
    chain = np.where(delay >= 0, gain ** np.maximum(delay, 0), 0)
    transition = pole * chain
    drive: F64 = gain[..., 0] ** (stage + 1)
    last = 2 * transition[:, -1, :]
    readout = np.stack([_row(last.real, -last.imag), _row(last.imag, last.real)], axis=1)
    feed = np.stack([2 * drive[:, -1], np.zeros(len(drive))], axis=1)
    return StateSpace(_real_form(transition), _row(drive, np.zeros_like(drive)), readout, feed)


def modulation(frequencies_hz: F64, q: float, rate_hz: int) -> StateSpace:
    """Return second-order band-pass filters with unit gain at their centre frequencies.

    The bilinear transform of an analogue resonator: W = tan(pi f / rate), B = W / q,
    b = [B, 0, -B], a = [1 + B + W^2, 2 W^2 - 2, 1 - B + W^2]; states of transposed direct form II.

    Args:
        frequencies_hz: The centre frequencies (C,).
        q: Their quality.
        rate_hz: The rate of the input.
    """
    warped = np.tan(np.pi * frequencies_hz / rate_hz)
    width = warped / q
    scale = 1 + width + warped**2
    gain, a1, a2 = width / scale, (2 * warped**2 - 2) / scale, (1 - width + warped**2) / scale
    one, zero = np.ones_like(gain), np.zeros_like(gain)
    return StateSpace(
        transition=np.stack([_row2(-a1, one), _row2(-a2, zero)], axis=1),
        drive=_row2(-a1 * gain, -(1 + a2) * gain),
        readout=_row2(one, zero)[:, None, :],
        feed=gain[:, None],
    )


def decay_s(frequency_hz: float, q: float) -> float:
    """Return the time in which a band-pass filter's ringing falls to 1 / e: q / (pi f)."""
    return q / (math.pi * frequency_hz)


@dataclass(frozen=True)
class BlockFilter:
    """Map whole blocks of K inputs to K outputs by a bank of C filters.

    `kernel` (C, K, O K) and `echo` (C, D, O K) give the outputs from the block and from the state
    before it; `intake` (C, K, D) and `jump` (C, D, D) give the state after it.
    """

    block: int
    kernel: F64
    echo: F64
    intake: F64
    jump: F64

    @classmethod
    def build(cls, space: StateSpace, block: int) -> BlockFilter:
        """Return the matrices of blocks of `block` samples."""
        count, size = space.drive.shape
        powers = np.empty((block + 1, count, size, size))
        powers[0] = np.eye(size)
        for n in range(block):
            powers[n + 1] = powers[n] @ space.transition
        free = np.einsum("cod,kcde->ceok", space.readout, powers[:block])
        taps = np.einsum("ceok,ce->cok", free[..., :-1], space.drive)
        response = np.concatenate([space.feed[..., None], taps], axis=-1)
        intake = np.einsum("kcde,ce->ckd", powers[block - 1 :: -1], space.drive)
        jump = powers[block].swapaxes(-1, -2)
        return cls(block, _toeplitz(response), free.reshape(count, size, -1), intake, jump)

    def rest(self, *rows: int) -> F64:
        """Return the state before any sound: (*rows, C, D)."""
        return np.zeros((*rows, *self.echo.shape[:2]))

    def room(self, blocks: int, *rows: int) -> F64:
        """Return memory for `apply` on up to `blocks` blocks; reusing it halves the time."""
        return np.empty((2, *rows, len(self.kernel), blocks, self.kernel.shape[-1]))

    def apply(self, inputs: F64, state: F64, room: F64) -> tuple[F64, F64]:
        """Return the outputs (..., C, blocks, O K) and the state after them.

        Args:
            inputs: (..., blocks K), float64.
            state: (..., C, D), as `rest` or the last call gave it; it stays as it is.
            room: Memory for the outputs, which last until it is used again.
        """
        blocks = inputs.reshape(*inputs.shape[:-1], 1, -1, self.block)
        states = _scan(blocks @ self.intake, self.jump, state)
        outputs, echoes = room[..., : blocks.shape[-2], :]
        np.matmul(blocks, self.kernel, out=outputs)
        outputs += np.matmul(states[..., :-1, :], self.echo, out=echoes)
        after = states[..., -1, :]
        return outputs, np.where(np.abs(after) < NEGLIGIBLE_STATE, 0, after)


def _scan(drives: F64, jump: F64, first: F64) -> F64:
    """Return the states (..., n + 1, D) from `first` on: s[i + 1] = s[i] jump + drives[i].

    Every second state follows from the same recursion with twice the step.
    """
    count, size = drives.shape[-2:]
    if count == 0:
        return first[..., None, :]
    states = np.empty((*drives.shape[:-2], count + 1, size))
    even, odd = drives[..., ::2, :], drives[..., 1::2, :]
    pairs = even[..., : count // 2, :] @ jump + odd
    states[..., ::2, :] = _scan(pairs, jump @ jump, first)
    states[..., 1::2, :] = states[..., :-1:2, :] @ jump + even
    return states


def _toeplitz(response: F64) -> F64:
    """Return what input m of a block adds to each output: taps (C, O, K) -> (C, K, O K)."""
    count, outputs, block = response.shape
    kernel = np.zeros((count, block, outputs, block))
    for m in range(block):
        kernel[:, m, :, m:] = response[..., : block - m]
    return kernel.reshape(count, block, outputs * block)


def _real_form(matrices: NDArray[np.complex128]) -> F64:
    real, imaginary = matrices.real, matrices.imag
    return np.block([[real, -imaginary], [imaginary, real]])


def _row(left: F64, right: F64) -> F64:
    return np.concatenate([left, right], axis=-1)


def _row2(left: F64, right: F64) -> F64:
    return np.stack([left, right], axis=-1)
