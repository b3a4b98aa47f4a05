"""Open a bundle on the device: find the file, bound it, check it, try it in a child process."""

from __future__ import annotations

import hashlib
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ser_toolkit import Plugins
from ser_toolkit.plugins.bundles import check_bundle, classifier_of, plugins_of
from ser_toolkit.runtime.bundle.container import BundleError
from ser_toolkit.runtime.bundle.file import Bundle, parse_bundle, read_bytes
from ser_toolkit.runtime.bundle.signing import read_key
from ser_toolkit.runtime.inference.classifier import BundleClassifier

from ..settings import BundleSettings


@dataclass(frozen=True, eq=False)
class LoadedBundle:
    """A bundle that has passed every check, with what it takes to make another classifier of it."""

    classifier: BundleClassifier
    bundle: Bundle
    plugins: Plugins
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
    bundle = parse_bundle(content, key)
    found = bundle.manifest.labels
    if labels is not None and not settings.allow_new_labels and set(found) != set(labels):
        raise BundleError(
            f"the bundle has {', '.join(found)}, the one that it replaces {', '.join(labels)}",
            "Set bundle.allow_new_labels, or give the file another name and start with that",
        )
    check_bundle(bundle, content, settings.threads)
    plugins = plugins_of(bundle.manifest)
    classifier = classifier_of(bundle, plugins, settings.threads)
    return LoadedBundle(classifier, bundle, plugins, digest(content), bundle.signed, time.time())


def reopen(live: LoadedBundle, threads: int = 1) -> BundleClassifier:
    """Make another classifier of a bundle that has passed: for another thread."""
    return classifier_of(live.bundle, live.plugins, threads)


def digest(content: bytes) -> str:
    """Return the sha256 of the bytes of a bundle."""
    return hashlib.sha256(content).hexdigest()


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
