"""Open a bundle on the device: find the file, bound it, check it, try it in a child process."""

from __future__ import annotations

import hashlib
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ser_toolkit import open_bundle
from ser_toolkit.runtime.bundle.container import BundleError
from ser_toolkit.runtime.bundle.file import parse_bundle, read_bytes
from ser_toolkit.runtime.bundle.signing import read_key
from ser_toolkit.runtime.inference.classifier import BundleClassifier

from ..settings import BundleSettings


@dataclass(frozen=True, eq=False)
class LoadedBundle:
    """A bundle that has passed every check; `content` is its bytes, to open it again."""

    classifier: BundleClassifier
    content: bytes
    sha256: str
    signed: bool
    loaded_time_s: float


def read(path: Path, settings: BundleSettings) -> bytes:
    """Read a file that lies in the configured folder, links resolved. Raises SertkError."""
    return content_of(located(path, settings), settings)


def load(
    content: bytes, settings: BundleSettings, labels: Sequence[str] | None = None
) -> LoadedBundle:
    """Check a bundle and try it in a child process. Raises SertkError.

    Args:
        content: The bytes of the file.
        settings: Which key must have signed it, and whether other labels may come.
        labels: Those of the bundle that it replaces; it must have the same, in any order, unless
            the settings let it have others.
    """
    key = read_key(settings.public_key) if settings.public_key else None
    found = parse_bundle(content, key).manifest.labels
    if labels is not None and not settings.allow_new_labels and set(found) != set(labels):
        raise BundleError(
            f"the bundle has {', '.join(found)}, the one that it replaces {', '.join(labels)}",
            "Restart the daemon with it, or set bundle.allow_new_labels",
        )
    classifier = open_bundle(content, key, settings.threads)
    digest = hashlib.sha256(content).hexdigest()
    return LoadedBundle(classifier, content, digest, key is not None, time.time())


def reopen(live: LoadedBundle, threads: int = 1) -> BundleClassifier:
    """Make another classifier of a bundle that has passed: for another thread."""
    return open_bundle(live.content, threads=threads, check=False)


def located(path: Path, settings: BundleSettings) -> Path:
    """Return where the bundle really lies; BundleError outside the configured folder."""
    try:
        folder = (settings.directory or path.parent).resolve()
        real = path.resolve()
    # Links that lead in a circle, a name with a null byte.
    except (OSError, RuntimeError, ValueError) as error:
        raise BundleError(f"cannot find '{path.name}': {error}", "Check the path") from error
    if not real.is_relative_to(folder):
        raise BundleError(
            f"'{path.name}' leads out of the folder of bundles",
            "Copy the file there, or set bundle.directory",
        )
    return real


def content_of(path: Path, settings: BundleSettings) -> bytes:
    """Read the file; BundleError for one that never ends, or fills the memory of a Pi."""
    try:
        found = path.stat()
    except OSError:
        return read_bytes(path)  # which says why not
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise BundleError(f"'{path.name}' is no regular file", "Check the path")
    if found.st_size > settings.max_bytes:
        size, most = found.st_size >> 20, settings.max_bytes >> 20
        raise BundleError(
            f"'{path.name}' has {size} MiB, at most {most} expected",
            "Check the path, or set bundle.max_bytes",
        )
    return read_bytes(path)
