"""Open bundles: check the bytes here, try them in a child process, then load the same bytes.

The child comes first because a damaged network can crash the interpreter, and the process with it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from ..runtime.bundle.container import COPY_AGAIN, BundleError
from ..runtime.bundle.file import Bundle, parse_bundle, read_bytes
from ..runtime.bundle.manifest import Manifest, Part
from ..runtime.bundle.selftest import check_selftest
from ..runtime.component import parts_of
from ..runtime.errors import SertkError
from ..runtime.features.base import Extractor
from ..runtime.inference.classifier import (
    BundleClassifier,
    Resolve,
    build_classifier,
    container,
)
from ..runtime.inference.tflite import find_runtime
from ..utils.worker import WorkerCrashError, WorkerError, ask_code
from .entry_points import BUILTIN_DISTRIBUTION
from .errors import one_line
from .registry import Plugins, load_plugins

TIMEOUT_S = 120.0
# What a damaged network may ask for before it is refused; the largest honest one needs a tenth.
MEMORY_BYTES = 4 << 30
WORKER = (
    "from ser_toolkit.plugins.bundles import _work; from ser_toolkit.utils.worker import serve; "
    "serve(_work)"
)


def open_bundle(
    source: Path | bytes,
    public_key: bytes | None = None,
    threads: int = 1,
    check: bool = True,
    timeout_s: float = TIMEOUT_S,
    plugins: Plugins | None = None,
) -> BundleClassifier:
    """Open a bundle, a file or its bytes, after its self-test in a child process.

    Args:
        source: The file, or what it holds.
        public_key: In PEM; only a bundle that this key has signed is opened.
        threads: Of the interpreter.
        check: False leaves out the child and the self-test, for bytes that have just passed them.
        timeout_s: The longest wait for the self-test.
        plugins: Where its extractors come from; by default those that it names are loaded.

    Raises:
        SertkError: For a bundle that is damaged, unsigned or fails its self-test.
    """
    content = source if isinstance(source, bytes) else read_bytes(source)
    bundle = parse_bundle(content, public_key)
    if check:
        check_bundle(bundle, content, threads, timeout_s)
    return classifier_of(bundle, plugins or plugins_of(bundle.manifest), threads)


def check_bundle(
    bundle: Bundle, content: bytes, threads: int = 1, timeout_s: float = TIMEOUT_S
) -> None:
    """Self-test a bundle that has been parsed in a child process. Raises SertkError.

    Args:
        bundle: What was parsed.
        content: What it was parsed from.
        threads: Of the interpreter.
        timeout_s: The longest wait for the self-test.
    """
    # Here as well, because a missing runtime is no fault of the bundle.
    find_runtime([runtime.name for runtime in bundle.manifest.runtimes])
    try_apart(content, threads, timeout_s)


def try_apart(content: bytes, threads: int = 1, timeout_s: float = TIMEOUT_S) -> None:
    """Load and self-test a bundle in a child process.

    The child gets the bytes themselves: a file could be exchanged between child and parent.

    Args:
        content: The bytes of the bundle.
        threads: Of the interpreter.
        timeout_s: The longest wait.

    Raises:
        SertkError: Where it crashes or disagrees.
    """
    try:
        list(ask_code(WORKER, [str(threads)], content, timeout_s))
    except WorkerCrashError as crash:
        raise BundleError(f"the self-test {crash.end}", COPY_AGAIN) from crash
    except WorkerError as failed:
        raise BundleError(failed.cause, failed.todo) from failed


def describe_parts(extractor: Extractor, plugins: Plugins) -> tuple[Part, ...]:
    """Return `Manifest.parts` of an extractor: which distribution brings each of its components."""
    return tuple(_part(part.name, part.version, plugins) for part in parts_of(extractor))


def _part(name: str, version: int, plugins: Plugins) -> Part:
    if container(name):
        from .. import __version__

        return Part(name, version, BUILTIN_DISTRIBUTION, __version__)
    plugin = plugins.component("extractor", name).plugin
    return Part(name, version, plugin.distribution, plugin.version)


def plugins_of(manifest: Manifest) -> Plugins:
    """Load the plugins that a bundle names, and none of the others."""
    return load_plugins(only={part.distribution for part in manifest.parts})


def resolver(manifest: Manifest, plugins: Plugins) -> Resolve:
    """Return a function that finds the extractors of a bundle by name."""
    homes = {part.name: part.distribution for part in manifest.parts}
    return lambda name: plugins.get("extractor", f"{homes[name]}:{name}")


def classifier_of(bundle: Bundle, plugins: Plugins, threads: int = 1) -> BundleClassifier:
    """Return the classifier of a bundle; `build_classifier` says what it refuses.

    Args:
        bundle: What was parsed, and has passed `check_bundle`.
        plugins: Where its extractors come from.
        threads: Of the interpreter.
    """
    return build_classifier(bundle, resolver(bundle.manifest, plugins), threads)


def _work() -> Iterator[None]:
    """Self-test the bundle in standard input; in the child."""
    _limit_memory()
    problem = try_here(sys.stdin.buffer.read(), int(sys.argv[1]))
    if problem:
        raise SertkError(*problem)
    yield None


def _limit_memory() -> None:
    # Not every system has these limits, or lets them be set.
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def try_here(content: bytes, threads: int = 1) -> tuple[str, str] | None:
    """Load and self-test a bundle in this process; return None, or the problem and what to do."""
    try:
        bundle = parse_bundle(content)
        classifier = classifier_of(bundle, plugins_of(bundle.manifest), threads)
        check_selftest(classifier, bundle.selftest)
    except SertkError as error:
        return error.problem, error.todo
    except Exception as error:  # a plugin's code may raise anything
        return f"the self-test fails: {one_line(error)}", "Export the bundle again"
    return None
