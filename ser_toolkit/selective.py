"""Which layers may not be int8: found by measurement, kept in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .convert import TIMEOUT_S, Converted, convert_variants
from .runtime.extractor import F32
from .utils.progress import Callback

Score = Callable[[bytes], float]


@dataclass(frozen=True)
class Selection:
    """An int8 file in which the layers that lose most stay float.

    `scores` has the score of the file in which each layer alone is float, `plain` that of the file
    without any. `within` says whether `score` is at most the allowed loss below the target; if no
    choice was, the best one stands here.
    """

    converted: Converted
    score: float
    plain: float
    scores: Mapping[str, float]
    within: bool

    @property
    def float_layers(self) -> tuple[str, ...]:
        """The layers that stay float, the most sensitive first."""
        return self.converted.float_layers


def select(
    network_path: Path,
    windows: Mapping[str, F32],
    score: Score,
    target: float,
    allowed_loss: float,
    most: int = 4,
    callback: Callback | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Selection:
    """The fewest float layers (at most `most`) with a score of `target - allowed_loss` or more.

    `score` gives the worth of a file (UAR on validation speakers), `target` is that of the float
    network. Each layer is tried alone; then the layers are added in the order of what each won,
    and of two that won the same, the one after which the file is nearer to the network.
    """
    callback = callback or Callback()
    enough = target - allowed_loss

    def files(choices: Sequence[Sequence[str]]) -> tuple[Converted, ...]:
        return convert_variants(network_path, "int8", windows, choices, timeout_s)

    (plain,) = files([()])
    first = score(plain.content)
    if first >= enough:
        return Selection(plain, first, first, {}, True)
    singles = files([(layer,) for layer in plain.layers])
    tracked = callback.track(singles, "Trying each layer in float", len(singles))
    scored = [(score(single.content), single) for single in tracked]
    scores = {single.float_layers[0]: value for value, single in scored}
    order = [
        single.float_layers[0]
        for value, single in sorted(scored, key=lambda pair: (-pair[0], pair[1].mean_difference))
    ]
    tried = [(first, plain), *_growing(files, score, order[:most], enough)]
    # max keeps the first of equals: the one with fewer float layers.
    value, best = max(tried, key=lambda pair: min(pair[0], enough))
    return Selection(best, value, first, scores, value >= enough)


def _growing(
    files: Callable[[Sequence[Sequence[str]]], tuple[Converted, ...]],
    score: Score,
    order: Sequence[str],
    enough: float,
) -> list[tuple[float, Converted]]:
    """One layer more each time, until it is enough."""
    tried: list[tuple[float, Converted]] = []
    for converted in files([tuple(order[:count]) for count in range(1, len(order) + 1)]):
        tried.append((score(converted.content), converted))
        if tried[-1][0] >= enough:
            break
    return tried
