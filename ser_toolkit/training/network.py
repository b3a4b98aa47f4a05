"""Build the network of a recipe, and try it before time is spent on data."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..contracts.components import ModelBuilder
from ..plugins.assemble import Assembly
from ..plugins.errors import one_line
from ..runtime.component import AssetLoader, fields_of
from ..runtime.errors import SertkError
from ..runtime.features.base import Extractor, FrameExtractor, Signal
from ..runtime.features.window import Window
from ..runtime.inference.inputs import features
from .backend import import_keras, load_network, save_network
from .run_dir import NETWORK

Shapes = Mapping[str, tuple[int, ...]]


def build_network(model: ModelBuilder, shapes: Shapes, n_classes: int) -> Any:
    """Return a new network that ends in a softmax over the classes.

    Args:
        model: What builds it.
        shapes: Of its inputs, without the batch.
        n_classes: How many emotions there are.
    """
    try:
        network = model.build(shapes, n_classes)
    except (ValueError, TypeError) as error:
        raise SertkError(
            f"model '{model.name}' cannot be built: {one_line(error)}",
            f"Its parameters: {fields_of(model)}",
        ) from error
    last = network.layers[-1]
    is_softmax = getattr(getattr(last, "activation", None), "__name__", "") == "softmax"
    if not (is_softmax and getattr(last, "units", 0) == n_classes):
        raise SertkError(
            f"model '{model.name}' must end in Dense({n_classes}, activation='softmax'), "
            f"it ends in {type(last).__name__}",
            "Fix the model builder: the calibrated temperature is folded into that layer",
        )
    return network


def try_network(
    assembly: Assembly, load: AssetLoader, n_classes: int, threads: int | None = None
) -> None:
    """Build, save and load the network for the features of a second of noise.

    Args:
        assembly: The components of the recipe.
        load: Returns the bytes of their assets.
        n_classes: How many emotions there are.
        threads: Of TensorFlow; None leaves the choice to it.
    """
    fresh = "keras" not in sys.modules
    keras = import_keras(threads)
    shapes = input_shapes(assembly.extractor.prepare(load), assembly.recipe.window)
    network = build_network(assembly.model, shapes, n_classes)
    with tempfile.TemporaryDirectory() as folder:
        save_network(network, Path(folder) / NETWORK)
        load_network(Path(folder) / NETWORK)
    if fresh:
        # Or the layers of the network that is trained would be numbered from those of this one.
        keras.backend.clear_session()


def input_shapes(extractor: Extractor, window: Window) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network's inputs, without the batch, from a second of noise."""
    noise = np.random.default_rng(0).normal(0, 0.1, extractor.rate_hz).astype(np.float32)
    arrays = features(extractor, Signal(noise, extractor.rate_hz), window)
    if isinstance(extractor, FrameExtractor):
        return {name: (window.length_frames, *v.shape[1:]) for name, v in arrays.items()}
    return {name: values.shape[1:] for name, values in arrays.items()}
