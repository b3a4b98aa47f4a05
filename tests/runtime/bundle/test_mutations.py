"""Damaged and forged bundles: refused in one line, or as good as the original; never more."""

from __future__ import annotations

import hashlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ser_toolkit.runtime.bundle.container import pack, unpack
from ser_toolkit.runtime.bundle.file import Bundle, parse_bundle
from ser_toolkit.runtime.errors import SertkError

FILES = sorted((Path(__file__).parents[2] / "bundles").rglob("*.sertk"))
# The smallest: hypothesis writes out what it tries.
ORIGINAL = min(FILES, key=lambda path: path.stat().st_size).read_bytes()
MEMBERS = unpack(ORIGINAL)
MANIFEST = json.loads(MEMBERS["manifest.json"])
NAMES = list(MEMBERS)
ANSWER_S = 60.0

KNOWN = ["manifest.json", "model.tflite", "signature", "../x", "/x", "x/", f"assets/{0:064}"]


@dataclass(frozen=True)
class Altered:
    """The bytes of an altered bundle, shown short."""

    content: bytes = field(repr=False)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
# Copies: a list that stands in two places could come to hold itself.
extremes = st.sampled_from(
    [0, -1, 1, 2**31, 2**63, 10**19, 1e308, -0.0, "", "\x00", "\ud800", "a" * 300, [], {}, [[]]]
).map(deepcopy)
flips = st.lists(st.tuples(st.integers(0, 2**20), st.integers(1, 255)), min_size=1, max_size=8)


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the way to every value in a JSON table."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inside:
        yield (*way, key)
        if isinstance(item, (dict, list)):
            yield from places(item, (*way, key))


PLACES = list(places(MANIFEST))


def flipped(content: bytes, changes: list[tuple[int, int]]) -> bytes:
    """Return `content` with some bytes changed; empty content gets one."""
    altered = bytearray(content or b"\0")
    for position, mask in changes:
        altered[position % len(altered)] ^= mask
    return bytes(altered)


def repaired(members: dict[str, bytes], manifest: Any = None) -> bytes:
    """Return a bundle of these members whose manifest has the hashes that they have now."""
    manifest = json.loads(members["manifest.json"]) if manifest is None else manifest
    manifest["members"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in members.items()
        if name not in ("manifest.json", "signature")
    }
    return pack({**members, "manifest.json": as_json(manifest)})


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


@st.composite
def cut_or_spliced(draw: st.DrawFn) -> bytes:
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(ORIGINAL))] * 2)))
    middle = draw(st.binary(max_size=40) | st.just(ORIGINAL[:2000]) | st.just(ORIGINAL[start:end]))
    whole = [ORIGINAL[:end], ORIGINAL[start:], ORIGINAL + middle, middle + ORIGINAL]
    return draw(st.sampled_from([*whole, ORIGINAL[:start] + middle + ORIGINAL[end:]]))


@st.composite
def swapped(draw: st.DrawFn) -> bytes:
    """Members in other places, under other names, twice, or away; hashes stale or repaired."""
    names = draw(st.permutations(NAMES)) if draw(st.booleans()) else list(NAMES)
    contents = {name: MEMBERS[name] for name in names}
    one, other = draw(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)))
    how = draw(st.sampled_from(["swap", "copy", "drop", "rename", "add"]))
    if how == "swap":
        contents[one], contents[other] = contents[other], contents[one]
    elif how == "copy":
        contents[one] = contents[other]
    elif how == "drop":
        del contents[one]
    elif how == "rename":
        contents[draw(st.sampled_from(KNOWN))] = contents.pop(one)
    else:
        contents[draw(st.sampled_from(KNOWN))] = draw(st.binary(max_size=70))
    return repaired(contents, dict(MANIFEST)) if draw(st.booleans()) else pack(contents)


@st.composite
def forged_members(draw: st.DrawFn) -> bytes:
    """Return another member than the manifest altered, with the hashes repaired."""
    name = draw(st.sampled_from(NAMES[1:]))
    changes = draw(flips)
    if draw(st.booleans()):
        changes = [(position % 300, mask) for position, mask in changes]
    content = flipped(MEMBERS[name], changes)
    if draw(st.booleans()):
        content = content[: draw(st.integers(0, len(content)))]
    return repaired({**MEMBERS, name: content})


@st.composite
def forged_manifests(draw: st.DrawFn) -> bytes:
    """Return some values of the manifest of other types, out of range, away or added."""
    manifest = json.loads(MEMBERS["manifest.json"])
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(PLACES))
        table = manifest
        try:
            for key in way:
                table = table[key]
            how = draw(st.sampled_from(["set", "set", "drop", "add"]))
            if how == "drop":
                del table[last]
            else:
                table[last if how == "set" else "more"] = draw(json_values | extremes)
        except (TypeError, KeyError, IndexError):
            continue
    return pack({**MEMBERS, "manifest.json": as_json(manifest)})


@st.composite
def forged_text(draw: st.DrawFn) -> bytes:
    """Return the manifest as text, altered, so that it may be no JSON, or odd JSON."""
    content = flipped(MEMBERS["manifest.json"], draw(flips))
    return pack({**MEMBERS, "manifest.json": content})


flipped_files = flips.map(lambda changes: flipped(ORIGINAL, changes))
repaired_files = st.one_of(forged_members(), forged_manifests(), swapped())
other_files = st.one_of(flipped_files, cut_or_spliced(), forged_text())


@st.composite
def altered_by(draw: st.DrawFn, files: st.SearchStrategy[bytes]) -> Altered:
    return Altered(draw(files))


def outcome(content: bytes) -> Bundle | str:
    """Return what the parser makes of it: a bundle, or one line."""
    try:
        return parse_bundle(content)
    except SertkError as error:
        line = str(error)
        assert line and "\n" not in line and len(line) < 1000 and line.isprintable()
        return line


def check_parser(content: bytes) -> None:
    found = outcome(content)
    if isinstance(found, Bundle):
        assert content.startswith(b"PK")
        assert pack(unpack(content)) == content
        assert set(found.normalizers) == set(found.manifest.inputs)
        assert all(np.isfinite(array).all() for array in found.selftest.values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_originals_are_good(path: Path) -> None:
    assert isinstance(outcome(path.read_bytes()), Bundle)


@given(altered_by(flipped_files))
@settings(max_examples=300)
def test_no_flipped_byte_passes(altered: Altered) -> None:
    assert altered.content == ORIGINAL or isinstance(outcome(altered.content), str)


def test_no_single_flipped_byte_passes_in_a_real_bundle(bundles: dict[str, Path]) -> None:
    content = bundles["int8"].read_bytes()
    rng = np.random.default_rng(5)
    # Every byte of the directory, and a sample of the rest.
    ends = range(content.index(b"PK\x01\x02"), len(content))
    for position in {*ends, *rng.integers(0, len(content), 400).tolist()}:
        assert isinstance(outcome(flipped(content, [(position, 1 << position % 8)])), str)


@given(altered_by(repaired_files | other_files))
@settings(max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_and_forged_bundles_are_refused_in_one_line(altered: Altered) -> None:
    check_parser(altered.content)


@pytest.mark.nightly
@given(altered_by(repaired_files | other_files))
@settings(max_examples=10_000, suppress_health_check=list(HealthCheck))
def test_ten_thousand_damaged_and_forged_bundles(altered: Altered) -> None:
    check_parser(altered.content)


class Child:
    """A process that tries bundles one after another, and is started anew after a crash."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.crashes: Counter[int] = Counter()
        self.answers: Counter[str] = Counter()
        self.hung = 0

    def ask(self, content: bytes) -> Any:
        """Return what the child answers; None where it crashed or hung."""
        process = self._process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(len(content).to_bytes(8, "big") + content)
            process.stdin.flush()
        except BrokenPipeError:
            return self._ended(process)
        if not select.select([process.stdout], [], [], ANSWER_S)[0]:
            self.hung += 1
            process.kill()
        line = process.stdout.readline()
        return json.loads(line) if line else self._ended(process)

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("mutation_child.py")
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, str(script)],
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            env=env,
        )

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        process.communicate()
        self.crashes[process.returncode] += 1
        self._process = None


@pytest.fixture
def child() -> Iterator[Child]:
    with tempfile.TemporaryDirectory() as folder:
        child = Child(Path(folder))
        try:
            yield child
        finally:
            child.close()
        assert list(Path(folder).iterdir()) == []


def forge(members: dict[str, bytes], rng: np.random.Generator) -> bytes:
    """Return a bundle with an altered network and repaired hashes."""
    model = bytearray(members["model.tflite"])
    for _ in range(int(rng.integers(1, 5))):
        model[int(rng.integers(len(model)))] = int(rng.integers(256))
    if rng.random() < 0.05:
        del model[int(rng.integers(len(model))) :]
    return repaired({**members, "model.tflite": bytes(model)})


FEW_OR_MANY = [
    pytest.param(60, marks=pytest.mark.slow),
    pytest.param(2000, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)]),
]


@pytest.mark.parametrize("times", FEW_OR_MANY)
@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_altered_networks_crash_no_one_but_the_child(
    bundles: dict[str, Path], child: Child, mode: str, times: int
) -> None:
    members = unpack(bundles[mode].read_bytes())
    rng = np.random.default_rng(11)
    assert child.ask(bundles[mode].read_bytes()) == [None, []]
    for _ in range(times):
        answer = child.ask(forge(members, rng))
        if answer is None:
            continue
        problem, seen = answer
        assert seen == []
        assert problem is None or "\n" not in problem[0]
        child.answers["passed" if problem is None else problem[0].split(":")[0][:40]] += 1
    print(f"{mode}: crashes {dict(child.crashes)}, hung {child.hung}, {dict(child.answers)}")
    assert child.answers["passed"] and len(child.answers) > 1


FORGED = altered_by(repaired_files)
HEALTHY = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.slow
@given(altered=FORGED)
@settings(HEALTHY, max_examples=80)
def test_forged_bundles_do_nothing_but_answer(child: Child, altered: Altered) -> None:
    check_child(child, altered)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@given(altered=FORGED)
@settings(HEALTHY, max_examples=4000)
def test_thousands_of_forged_bundles_do_nothing_but_answer(child: Child, altered: Altered) -> None:
    check_child(child, altered)


def check_child(child: Child, altered: Altered) -> None:
    answer = child.ask(altered.content)
    if answer is not None:
        problem, seen = answer
        assert seen == []
        assert problem is None or ("\n" not in problem[0] and problem[0])
    assert child.hung == 0
