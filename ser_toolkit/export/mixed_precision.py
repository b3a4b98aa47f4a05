"""Find by measurement which layers may not be int8, and keep them in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..utils.progress import Callback
from .converter import Converted, Converter

Score = Callable[[bytes], float]
MOST_LAYERS = 4


def select_float_layers(
    converter: Converter, score: Score, enough: float, callback: Callback
) -> Converted:
    """Make the int8 file with the fewest float layers (at most four) that is good enough.

    Each layer is tried alone; then the layers are added in the order of what each won, and of two
    that won the same, the one after which the file is nearer to the network. If no choice is good
    enough, the best one is returned.

    Args:
        converter: Of the float network, with calibration windows.
        score: The worth of a file (UAR on validation speakers).
        enough: The score that is good enough.
        callback: Is told which layers are tried.
    """
    plain = converter.convert("int8")
    first = score(plain.content)
    if first >= enough:
        return plain
    order = _most_won(converter, score, plain.layers, callback)
    tried = [(first, plain), *_growing(converter, score, order[:MOST_LAYERS], enough)]
    # max keeps the first of equals: the one with fewer float layers.
    _, best = max(tried, key=lambda pair: min(pair[0], enough))
    return best


def _most_won(
    converter: Converter, score: Score, layers: Sequence[str], callback: Callback
) -> list[str]:
    """Return the layers, first the one that wins most if it alone is float."""
    ranks = {}
    for layer in callback.track(layers, "Trying each layer in float", len(layers)):
        single = converter.convert("int8", [layer])
        ranks[layer] = (-score(single.content), single.mean_difference)
    return sorted(ranks, key=lambda layer: ranks[layer])


def _growing(
    converter: Converter, score: Score, order: Sequence[str], enough: float
) -> Iterator[tuple[float, Converted]]:
    """Yield files with one float layer more each time, until one is good enough."""
    for count in range(1, len(order) + 1):
        converted = converter.convert("int8", order[:count])
        value = score(converted.content)
        yield value, converted
        if value >= enough:
            return
