"""Opening a bundle: the child goes first, and whatever happens to it is one line here."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.plugins.bundles import (
    describe_parts,
    open_bundle,
    plugins_of,
    resolver,
    try_apart,
    try_here,
)
from ser_toolkit.plugins.registry import load_plugins
from ser_toolkit.runtime.bundle.container import pack, unpack
from ser_toolkit.runtime.bundle.file import parse_bundle, read_bytes, sign, write_bundle
from ser_toolkit.runtime.bundle.manifest import Manifest, Part, Tolerances
from ser_toolkit.runtime.bundle.signing import generate_keys
from ser_toolkit.runtime.component import from_spec, to_spec
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features.base import Stack
from ser_toolkit.runtime.features.spectral import Deltas, Mfcc, Rms

Make = Callable[..., Path]
ODD = """
from __future__ import annotations
import os, sys, time
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from ser_toolkit.plugins.hookspecs import hookimpl
from ser_toolkit.runtime.features.base import FrameExtractor

@dataclass(frozen=True)
class Odd(FrameExtractor):
    '''Seventeen ramps; misbehaves where ODD says how.'''
    name: ClassVar[str] = "odd"
    version: ClassVar[int] = 4
    rate_hz: int = 16000
    frame_length: int = 512
    hop_length: int = 256

    @property
    def columns(self):
        return tuple(f"odd_{i}" for i in range(17))

    def frames(self, signal):
        how = os.environ.get("ODD", "")
        if how == "crash":
            os.abort()
        if how == "hang":
            time.sleep(60)
        if how == "exit":
            os._exit(3)
        if how == "raise":
            raise ZeroDivisionError("two\\nlines")
        if how == "memory":
            np.ones(10**10)
        if how == "print":
            print("null")
            print("warning", file=sys.stderr)
        shape = (self.frame_count(len(signal)), 17)
        ramp = np.arange(shape[0] * 17, dtype=np.float32).reshape(shape) / 500
        return ramp + 1 if how == "differ" else ramp

@hookimpl
def sertk_extractors():
    return [Odd()]
"""


@pytest.fixture
def odd(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a bundle whose extractor comes with an installed plugin."""
    site = tmp_path / "site"
    info = site / "sertk_odd-3.1.dist-info"
    info.mkdir(parents=True)
    (site / "sertk_odd.py").write_text(textwrap.dedent(ODD))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sertk-odd\nVersion: 3.1\n")
    (info / "entry_points.txt").write_text("[sertk]\nodd = sertk_odd\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    plugins = load_plugins(only=["sertk-odd"])
    extractor = plugins.get("extractor", "odd")
    spec, parts = to_spec(extractor), describe_parts(extractor, plugins)
    assert parts == (Part("odd", 4, "sertk-odd", "3.1"),)
    manifest, members = tiny.parts("float32", extractor=spec, parts=parts)
    return _with_selftest(tmp_path / "odd.sertk", manifest, members, extractor, tiny)


def _with_selftest(path: Path, manifest: Manifest, members: Any, extractor: Any, tiny: Any) -> Path:
    from ser_toolkit.runtime.bundle.selftest import make_selftest
    from ser_toolkit.runtime.inference.tflite import TfliteModel
    from ser_toolkit.runtime.npz import to_npz

    network = TfliteModel(members["model.tflite"])
    arrays = make_selftest(extractor, tiny.normalizers, manifest.window, network, 16000)
    write_bundle(path, manifest, {**members, "selftest.npz": to_npz(arrays)})
    return path


def refused(path: Path, **how: Any) -> str:
    with pytest.raises(SertkError) as error:
        open_bundle(path, **how)
    output_text = str(error.value)
    assert "\n" not in output_text and len(output_text) < 500
    return output_text


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_a_bundle_opens_and_answers(tiny: Any, bundles: dict[str, Path], mode: str) -> None:
    classifier = open_bundle(bundles[mode])
    np.testing.assert_allclose(
        classifier.window_probabilities(tiny.audio), tiny.expected, atol=0.03
    )
    again = open_bundle(bundles[mode], threads=2, check=False)
    np.testing.assert_allclose(
        again.window_probabilities(tiny.audio),
        classifier.window_probabilities(tiny.audio),
        atol=1e-6,
    )


def test_a_plugins_extractor_is_found_in_its_own_distribution(odd: Path, tiny: Any) -> None:
    classifier = open_bundle(odd)
    assert classifier.window_probabilities(tiny.audio).shape[1] == 4
    assert classifier.extractor.name == "odd"


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("crash", "the self-test crashed (SIGABRT)"),
        pytest.param("hang", "no answer within 4 s", marks=pytest.mark.slow),
        ("exit", "the self-test ended with status 3"),
        ("raise", "ZeroDivisionError: two lines"),
        ("memory", "MemoryError"),
        ("differ", "features off by"),
    ],
)
def test_what_befalls_the_child_is_one_line(
    odd: Path, monkeypatch: pytest.MonkeyPatch, how: str, reason: str
) -> None:
    monkeypatch.setenv("ODD", how)
    assert reason in refused(odd, timeout_s=4)


def test_what_a_plugin_prints_is_not_taken_for_the_answer(
    odd: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ODD", "print")
    try_apart(odd.read_bytes())
    assert capfd.readouterr().out == ""


def test_without_its_plugin_the_pip_line_is_told(
    odd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERTK_PLUGINS", "")
    assert "Run `pip install sertk-odd==3.1`" in refused(odd)
    assert "Run `pip install sertk-odd==3.1`" in refused(odd, check=False)


def test_a_missing_runtime_is_told_before_the_child_starts(make: Make) -> None:
    path = make(runtimes=({"name": "another", "version": "1"},))
    assert "proven on another, and ai-edge-litert is installed" in refused(path, timeout_s=0.001)


def test_another_network_is_refused_with_numbers(make: Make, tiny: Any) -> None:
    path = make("int8", tolerances=Tolerances(1e-3, 1e-6))
    assert open_bundle(path).manifest.tolerances.output == 1e-6
    members = {**unpack(path.read_bytes()), "model.tflite": tiny.networks["float32"]}
    write_bundle(path, parse_bundle(read_bytes(path)).manifest, members)
    assert "(allowed 1e-06)" in refused(path)


def test_only_signed_bundles_where_a_key_is_given(make: Make, tmp_path: Path) -> None:
    path = make()
    private, public = generate_keys(tmp_path / "keys")
    assert "not signed" in refused(path, public_key=public.read_bytes())
    sign(path, private.read_bytes())
    assert open_bundle(path, public_key=public.read_bytes()).labels[0] == "anger"


def test_a_network_that_is_not_one_is_refused(bundles: dict[str, Path], tmp_path: Path) -> None:
    bundle = parse_bundle(read_bytes(bundles["float32"]))
    members = unpack(bundles["float32"].read_bytes())
    path = tmp_path / "own.sertk"
    for content in (b"", b"TFL3", members["model.tflite"][:4000], bytes(5000)):
        write_bundle(path, bundle.manifest, {**members, "model.tflite": content})
        assert "cannot run the network" in refused(path) or "crashed" in refused(path)


def test_the_child_imports_nothing_heavy(bundles: dict[str, Path]) -> None:
    script = (
        "import sys\nfrom ser_toolkit.plugins.bundles import try_here\n"
        "assert try_here(open(sys.argv[1], 'rb').read()) is None\n"
        "heavy = ('tensorflow', 'keras', 'librosa', 'scipy.signal', 'sklearn', 'cryptography',\n"
        "         'matplotlib', 'joblib', 'rich', 'click', 'sertk_msf', 'sertk_augment')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", script, str(bundles["float32"])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_a_folder_of_strange_modules_is_not_imported_from(
    bundles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.version_info < (3, 11):
        pytest.skip("Python 3.10 has no safe path")
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported from the working folder')")
    monkeypatch.chdir(tmp_path)
    try_apart(bundles["float32"].read_bytes())
    assert [path.name for path in tmp_path.iterdir()] == ["numpy.py"]


def test_bytes_that_are_no_bundle_are_refused_by_the_child_too() -> None:
    assert try_here(b"nothing") == (
        "a bundle (.sertk) expected, received 7 bytes that begin with b'noth'",
        "Check the path",
    )
    with pytest.raises(SertkError, match=r"a bundle \(.sertk\) expected"):
        try_apart(b"nothing")


def test_parts_of_nested_extractors_are_described_and_found() -> None:
    plugins = load_plugins(only=())
    extractor = Stack((Deltas(of=Mfcc(n_mfcc=7)), Rms()))
    parts = describe_parts(extractor, plugins)
    assert [part.name for part in parts] == ["stack", "deltas", "mfcc", "rms"]
    assert {part.distribution for part in parts} == {"ser-toolkit"}
    known = {part.name: plugins.get("extractor", f"ser-toolkit:{part.name}") for part in parts[1:]}
    assert from_spec(to_spec(known["deltas"]), known.__getitem__) == Deltas()


def test_only_the_plugins_of_the_bundle_are_loaded(odd: Path, bundles: dict[str, Path]) -> None:
    manifest = parse_bundle(read_bytes(odd)).manifest
    assert resolver(manifest, plugins_of(manifest))("odd").version == 4
    manifest = parse_bundle(read_bytes(bundles["float32"])).manifest
    resolve = resolver(manifest, plugins_of(manifest))
    assert resolve("mfcc") == Mfcc()
    with pytest.raises(KeyError):
        resolve("odd")


def test_the_parent_opens_the_bytes_that_the_child_has_checked(make: Make, tmp_path: Path) -> None:
    path = make()
    script = tmp_path / "swap.py"
    # A FIFO gives its bytes once: who reads twice would wait for ever.
    fifo = tmp_path / "fifo.sertk"
    os.mkfifo(fifo)
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "Path(sys.argv[2]).write_bytes(Path(sys.argv[1]).read_bytes())\n"
    )
    writer = subprocess.Popen([sys.executable, str(script), str(path), str(fifo)])
    try:
        assert open_bundle(fifo).labels == parse_bundle(read_bytes(path)).manifest.labels
    finally:
        writer.wait(10)


def test_a_bundle_that_was_packed_again_is_opened_alike(bundles: dict[str, Path]) -> None:
    content = bundles["int8"].read_bytes()
    assert pack(unpack(content)) == content
