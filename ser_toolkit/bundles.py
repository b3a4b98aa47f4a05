"""Opens bundles: checks the bytes here, tries them in a child process, then loads the same bytes.

The child comes first because a damaged network can crash the interpreter, and the process with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from .loading import BUILTIN_DISTRIBUTION, one_line
from .plugins import Plugins, load_plugins
from .runtime.archive import COPY_AGAIN, BundleError
from .runtime.bundle import Bundle, parse_bundle, read_bytes
from .runtime.classifier import Classifier, Resolve, build_classifier, container
from .runtime.component import parts_of
from .runtime.errors import SertkError
from .runtime.extractor import Extractor
from .runtime.interpreter import find_runtime
from .runtime.manifest import Manifest, Part
from .runtime.selftest import check_selftest

TIMEOUT_S = 120.0
# What a damaged network may ask for before it is refused; the largest honest one needs a tenth.
MEMORY_BYTES = 4 << 30
CHILD = "from ser_toolkit.bundles import _child; _child()"


def open_bundle(
    source: Path | bytes,
    public_key: bytes | None = None,
    threads: int = 1,
    check: bool = True,
    timeout_s: float = TIMEOUT_S,
) -> Classifier:
    """Open a bundle, a file or its bytes, after its self-test in a child process.

    With `public_key` (PEM) only a bundle that this key has signed is opened. `check=False` leaves
    out the child and the self-test, for bytes that have just passed them. Raises SertkError.
    """
    content = source if isinstance(source, bytes) else read_bytes(source)
    return open_bytes(content, public_key, threads, check, timeout_s)


def open_bytes(
    content: bytes,
    public_key: bytes | None = None,
    threads: int = 1,
    check: bool = True,
    timeout_s: float = TIMEOUT_S,
) -> Classifier:
    """As `open_bundle`, from the bytes of the file."""
    bundle = parse_bundle(content, public_key)
    if check:
        # Here as well, because a missing runtime is no fault of the bundle.
        find_runtime([runtime.name for runtime in bundle.manifest.runtimes])
        try_apart(content, threads, timeout_s)
    return _classifier(bundle, threads)


def try_apart(content: bytes, threads: int = 1, timeout_s: float = TIMEOUT_S) -> None:
    """Load and self-test a bundle in a child process; SertkError if it crashes or disagrees.

    The child gets the bytes themselves: a file could be exchanged between child and parent.
    """
    command = [sys.executable, "-c", CHILD, str(threads)]
    safe = {**os.environ, "PYTHONSAFEPATH": "1"}
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, timeout=timeout_s, env=safe, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError(
            f"the self-test gave no answer within {timeout_s:g} s", COPY_AGAIN
        ) from error
    problem = _verdict(done)
    if problem:
        raise problem


def describe_parts(extractor: Extractor, plugins: Plugins) -> tuple[Part, ...]:
    """`Manifest.parts` of an extractor: which distribution brings each of its components."""
    return tuple(_part(part.name, part.version, plugins) for part in parts_of(extractor))


def _part(name: str, version: int, plugins: Plugins) -> Part:
    if container(name):
        from . import __version__

        return Part(name, version, BUILTIN_DISTRIBUTION, __version__)
    plugin = plugins.offer("extractor", name).plugin
    return Part(name, version, plugin.distribution, plugin.version)


def _classifier(bundle: Bundle, threads: int) -> Classifier:
    return build_classifier(bundle, resolver(bundle.manifest), threads)


def resolver(manifest: Manifest) -> Resolve:
    """Finds the extractors of a bundle; only the plugins that it names are loaded."""
    homes = {part.name: part.distribution for part in manifest.parts}
    plugins = load_plugins(only=set(homes.values()))
    return lambda name: plugins.extractor(f"{homes[name]}:{name}")


def _verdict(done: subprocess.CompletedProcess[bytes]) -> SertkError | None:
    """What the child found wrong, None for nothing."""
    if done.returncode < 0:
        names = {value.value: value.name for value in signal.Signals}
        name = names.get(-done.returncode, f"signal {-done.returncode}")
        return BundleError(f"the self-test crashed ({name})", COPY_AGAIN)
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
        return None if answer is None else BundleError(*answer)
    except (IndexError, ValueError, TypeError):
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        # Runtimes greet on the same way.
        said = [line for line in lines if not line.startswith("INFO")]
        last = said[-1] if said else "it said nothing"
        return BundleError(
            f"the self-test ended with status {done.returncode}: {last.strip():.200}", COPY_AGAIN
        )


def _child() -> None:
    """Read a bundle from standard input, self-test it, print null or [problem, todo] as JSON."""
    output = os.dup(1)
    # Whatever runtimes and plugins print must not be taken for the answer.
    os.dup2(2, 1)
    _limit_memory()
    answer = try_here(sys.stdin.buffer.read(), int(sys.argv[1]))
    with os.fdopen(output, "w") as file:
        file.write(json.dumps(answer) + "\n")


def _limit_memory() -> None:
    # Not every system has these limits, or lets them be set.
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def try_here(content: bytes, threads: int = 1) -> tuple[str, str] | None:
    """Load and self-test a bundle in this process: None, or what is wrong and what to do."""
    try:
        bundle = parse_bundle(content)
        check_selftest(_classifier(bundle, threads), bundle.selftest)
    except SertkError as error:
        return error.problem, error.todo
    except Exception as error:  # a plugin's code may raise anything
        return f"the self-test fails: {one_line(error)}", "Export the bundle again"
    return None
