"""Start TensorFlow as this toolkit needs it: quiet, deterministic, seeded."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..runtime.errors import MissingExtra, SertkError
from ..runtime.text import shorten
from ..utils.files import naming

LIBRARIES = ("tensorflow", "keras", "joblib", "matplotlib")


def import_keras(threads: int | None = None) -> Any:
    """Import Keras on TensorFlow, without start-up messages about absent GPUs in the terminal.

    The number of threads can be chosen only before TensorFlow's first operation.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    fresh = "tensorflow" not in sys.modules
    with _quiet_stderr() if fresh else contextlib.nullcontext():
        import tensorflow as tf

        if threads:
            with contextlib.suppress(RuntimeError):
                tf.config.threading.set_intra_op_parallelism_threads(threads)
                tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.list_logical_devices()
        # It warns of every network after the fifth in one process, as if that were a mistake.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        import keras
    return keras


def train_again(error: Exception) -> str:
    """Return what to do about a saved network that cannot be loaded."""
    # Keras raises this for a layer class that only the training process had.
    if isinstance(error, TypeError):
        return "Build it of Keras' own layers, and train again"
    return "Train again"


def load_network(path: Path) -> Any:
    """Load a saved network of Keras's own layers. Raises SertkError for any other file."""
    keras = import_keras()
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # zipfile, h5py and Keras each raise their own
        why = shorten(f"{type(error).__name__}: {error}")
        raise SertkError(f"{path.name} cannot be loaded ({why})", train_again(error)) from error


def save_network(network: Any, path: Path) -> None:
    """Write a network without its optimizer; the file appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp.keras")
    network.compile()  # or the optimizer's state goes into the file, twice the size of the weights
    try:
        with naming(path):
            network.save(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_installed() -> None:
    """Refuse to begin a training that would fail hours later because a library is missing."""
    for library in LIBRARIES:
        if importlib.util.find_spec(library) is None:
            raise MissingExtra(
                f"training needs '{library}', which is not installed",
                'Run `pip install "ser-toolkit[train]"`',
            )


def prepare_backend(seed: int, threads: int | None = None) -> None:
    """Make every operation deterministic and seed all generators."""
    keras = import_keras(threads)
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Send file descriptor 2 to a file; show it after all when something fails.

    The C++ side writes there before any of its log levels are in force.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as captured:
        saved = os.dup(2)
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except BaseException:
            captured.seek(0)
            os.write(saved, captured.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
