"""Find by measurement which layers lose most in int8, and keep them in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..utils.progress import Callback
from .converter import Converted, Converter

Score = Callable[[bytes], float]
MOST_LAYERS = 4


def select_float_layers(
    converter: Converter, score: Score, enough: float, callback: Callback
) -> Converted:
    """Convert to int8 with the fewest float layers (at most four) that reach the score `enough`.

    Each layer is tried alone; then layers are added in the order of what each gained, and of equal
    gains the one first after which the file is nearer to the network. If no choice reaches
    `enough`, the best one is returned.

    Args:
        converter: Converter of the float network, with calibration windows.
        score: Score of a file (UAR on validation speakers).
        enough: Score to reach.
        callback: Receiver of the progress.
    """
    plain = converter.convert("int8")
    first = score(plain.content)
    if first >= enough:
        return plain
    order = _by_gain(converter, score, plain.layers, callback)
    tried = [(first, plain), *_growing(converter, score, order[:MOST_LAYERS], enough)]
    # max keeps the first of equals: the one with fewer float layers.
    _, best = max(tried, key=lambda pair: min(pair[0], enough))
    return best


def _by_gain(
    converter: Converter, score: Score, layers: Sequence[str], callback: Callback
) -> list[str]:
    """Return the layers, first the one that alone in float gains most."""
    ranks = {}
    for layer in callback.track(layers, "Trying each layer in float", len(layers)):
        single = converter.convert("int8", [layer])
        ranks[layer] = (-score(single.content), single.mean_difference)
    return sorted(ranks, key=lambda layer: ranks[layer])


def _growing(
    converter: Converter, score: Score, order: Sequence[str], enough: float
) -> Iterator[tuple[float, Converted]]:
    """Yield files with one more float layer each, until one reaches `enough`."""
    for count in range(1, len(order) + 1):
        converted = converter.convert("int8", order[:count])
        value = score(converted.content)
        yield value, converted
        if value >= enough:
            return
