"""Measuring a bundle: every measurement is there, they agree, and none identifies a person."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.bench.board import board, memory, power
from ser_toolkit.bench.measure import bench, spread, thread_counts
from ser_toolkit.plugins.bundles import describe_parts
from ser_toolkit.plugins.registry import load_plugins
from ser_toolkit.runtime.bundle.container import unpack
from ser_toolkit.runtime.bundle.file import parse_bundle, read_bytes, write_bundle
from ser_toolkit.runtime.bundle.selftest import make_selftest
from ser_toolkit.runtime.bundle.signing import generate_keys
from ser_toolkit.runtime.component import to_spec
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.inference.tflite import TfliteModel
from ser_toolkit.runtime.npz import to_npz

pytest.importorskip("ai_edge_litert")

BUNDLE = Path(__file__).parents[1] / "bundles" / "v1" / "tiny.sertk"
SPREAD = {"median_ms", "p95_ms", "p99_ms", "rounds"}
HEAVY = ("tensorflow", "keras", "librosa", "scipy.signal", "sklearn", "matplotlib", "joblib")
HEAVY += ("cryptography", "rich", "click")
ODD = """
from __future__ import annotations
import os, time
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from ser_toolkit.plugins.hookspecs import hookimpl
from ser_toolkit.runtime.features.base import WindowExtractor

@dataclass(frozen=True)
class Nap(WindowExtractor):
    '''Zeros of the shape that the network takes, after a while.'''
    name: ClassVar[str] = "nap"
    rate_hz: int = 16000
    frame_length: int = 512
    hop_length: int = 256

    @property
    def columns(self):
        return ("nap",)

    def arrays(self, signal):
        time.sleep(0.01)
        how = os.environ.get("NAP")
        if how == "abort":
            os.abort()
        if how == "exit":
            os._exit(3)
        if how == "print":
            print('["cold", {}]')
        return {"frames": np.full((12, 1), float(how == "differ"), np.float32)}

@hookimpl
def sertk_extractors():
    return [Nap()]
"""


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The measurements of a streamable bundle in a folder whose name identifies somebody."""
    path = tmp_path_factory.mktemp("somebody") / "small.sertk"
    path.write_bytes(BUNDLE.read_bytes())
    found = bench(path.read_bytes(), str(path), [1, 2], seconds=0.1)
    return dict(json.loads(json.dumps(found, allow_nan=False)))


@pytest.fixture
def nap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A bundle whose extractor works on whole windows and comes with a plugin."""
    site = tmp_path / "site"
    info = site / "sertk_nap-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "sertk_nap.py").write_text(ODD)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sertk-nap\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sertk]\nnap = sertk_nap\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    plugins = load_plugins(only=["sertk-nap"])
    extractor = plugins.get("extractor", "nap")
    old, members = parse_bundle(read_bytes(BUNDLE)), unpack(BUNDLE.read_bytes())
    parts = describe_parts(extractor, plugins)
    manifest = replace(old.manifest, extractor=to_spec(extractor), parts=parts)
    network = TfliteModel(old.model)
    test = make_selftest(extractor, old.normalizers, manifest.window, network, 16000)
    path = tmp_path / "nap.sertk"
    write_bundle(path, manifest, {**members, "selftest.npz": to_npz(test)})
    return path.read_bytes()


def spreads(table: Any) -> list[dict[str, float]]:
    """Every table of median and tail, however deep."""
    if not isinstance(table, dict):
        return [s for item in table for s in spreads(item)] if isinstance(table, list) else []
    if set(table) == SPREAD:
        return [table]
    return [found for value in table.values() for found in spreads(value)]


def test_every_promised_key_is_there(measured: dict[str, Any]) -> None:
    assert set(measured) == {
        *("format", "bundle", "software", "board", "power", "seconds", "runs"),
    }
    assert set(measured["bundle"]) == {
        *("file", "name", "sha256", "bytes", "network_bytes", "mode", "extractor"),
        *("window_s", "hop_s"),
    }
    assert set(measured["software"]) == {
        *("ser_toolkit", "python", "numpy", "fft", "runtime", "runtime_version"),
    }
    assert set(measured["board"]) == {
        *("model", "architecture", "processor", "cores", "memory_mb", "frequency_max_mhz"),
        "system",
    }
    state = {"temperature_c", "governor", "frequency_mhz", "throttled", "load_1min"}
    assert set(measured["power"]["before"]) == set(measured["power"]["after"]) == state
    assert [run["threads"] for run in measured["runs"]] == [1, 2]
    cold = {"import_ms", "read_ms", "verify_ms", "load_ms", "selftest_ms", "total_ms"}
    for run in measured["runs"]:
        assert set(run) == {
            *("threads", "load", "extractor", "network", "window", "stream"),
            *("real_time_factor", "memory"),
        }
        assert set(run["load"]["cold"]) == cold
        assert set(run["load"]["warm"]) == {"verify_ms", "load_ms"}
        assert set(run["extractor"]) == set(run["network"]) == set(run["window"]) == SPREAD
        assert set(run["stream"]) == {"extractor", "network", "hop", "chunks"}
        assert set(run["real_time_factor"]) == {"window", "stream"}
        assert set(run["memory"]) == {"resident_mb", "peak_mb"}


def test_measurements_are_positive_and_fit_each_other(measured: dict[str, Any]) -> None:
    found = spreads(measured)
    assert len(found) == 2 * 6
    for one in found:
        assert 0 < one["median_ms"] <= one["p95_ms"] <= one["p99_ms"]
        assert one["rounds"] >= 10
    hop_ms = 1000 * measured["bundle"]["hop_s"]
    for run in measured["runs"]:
        cold = run["load"]["cold"]
        assert min(cold.values()) > 0 and min(run["load"]["warm"].values()) > 0
        assert cold["total_ms"] > sum(value for key, value in cold.items() if key != "total_ms")
        for whole, parts in ((run["window"], run), (run["stream"]["hop"], run["stream"])):
            assert whole["median_ms"] > parts["extractor"]["median_ms"]
            assert whole["median_ms"] > parts["network"]["median_ms"]
        shares = run["real_time_factor"]
        assert shares["window"]["median"] == pytest.approx(run["window"]["median_ms"] / hop_ms)
        assert shares["stream"]["p95"] == pytest.approx(run["stream"]["hop"]["p95_ms"] / hop_ms)


def test_the_bundle_is_described_as_it_is(measured: dict[str, Any]) -> None:
    content, message = BUNDLE.read_bytes(), measured["bundle"]
    assert message["file"] == "small.sertk"
    assert message["sha256"] == hashlib.sha256(content).hexdigest()
    assert (message["bytes"], message["mode"], message["extractor"]) == (
        len(content),
        "int8",
        ["rms 1"],
    )
    # 12 frames of 512 samples, each 256 later; a new window every 6 frames; 16 kHz.
    assert message["window_s"] == pytest.approx((11 * 256 + 512) / 16000)
    assert message["hop_s"] == pytest.approx(6 * 256 / 16000)
    assert measured["runs"][0]["stream"]["chunks"] == 1


def test_nothing_tells_the_host_the_user_or_the_folder(measured: dict[str, Any]) -> None:
    text = json.dumps(measured)
    assert "somebody" not in text
    for name in (socket.gethostname(), str(Path.home()), platform.node(), str(Path.cwd())):
        assert len(name) < 4 or name not in text


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_memory_is_that_of_the_child(measured: dict[str, Any]) -> None:
    for run in measured["runs"]:
        assert 10 < run["memory"]["resident_mb"] <= run["memory"]["peak_mb"] < 500
    before = memory()["resident_mb"]
    held = np.ones(20_000_000)
    after = memory()["resident_mb"]
    assert before is not None and after is not None
    assert after - before == pytest.approx(held.nbytes / 1e6, rel=0.2)


def test_neither_side_imports_anything_heavy() -> None:
    script = (
        "import sys, io, json\nfrom pathlib import Path\nimport ser_toolkit.bench.measure as b\n"
        "content = Path(sys.argv[1]).read_bytes()\n"
        "assert b.bench(content, 'x', [1], 0)['runs']\n"
        "sys.stdin = io.TextIOWrapper(io.BytesIO(content))\n"
        "assert len(list(b._stages(0.0, 1, 0.0))) == len(b.STAGES)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", script, str(BUNDLE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_windows_without_a_stream_are_timed_whole(nap: bytes) -> None:
    (run,) = bench(nap, "nap.sertk", [1], seconds=0)["runs"]
    assert run["stream"] is None and run["real_time_factor"]["stream"] is None
    # It sleeps for 10 ms, and a sleep is never shorter than asked for.
    assert run["extractor"]["median_ms"] >= 10
    assert run["window"]["median_ms"] > run["extractor"]["median_ms"]
    assert run["network"]["median_ms"] < run["extractor"]["median_ms"]
    # The self-test has one window.
    assert run["load"]["cold"]["selftest_ms"] >= 10


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("abort", r"the measurement crashed \(SIGABRT\)"),
        ("exit", "the measurement ended with status 3"),
        ("differ", "the self-test disagrees with the export: features off by"),
    ],
)
def test_a_bundle_that_misbehaves_is_one_line(
    nap: bytes, monkeypatch: pytest.MonkeyPatch, how: str, reason: str
) -> None:
    monkeypatch.setenv("NAP", how)
    with pytest.raises(SertkError, match=reason) as refused:
        bench(nap, "nap.sertk", [1], seconds=0)
    assert "\n" not in str(refused.value)


def test_what_a_plugin_prints_is_not_taken_for_measurements(
    nap: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAP", "print")
    assert len(bench(nap, "nap.sertk", [1], seconds=0)["runs"]) == 1


def test_damaged_and_unsigned_bundles_are_refused_before_anything_runs(tmp_path: Path) -> None:
    content = BUNDLE.read_bytes()
    _, public = generate_keys(tmp_path)
    for damaged, key, reason in (
        (content[:-30], None, "cut off"),
        (content[:3000] + b"?" + content[3001:], None, "checksum"),
        (content, public.read_bytes(), "not signed"),
    ):
        with pytest.raises(SertkError, match=reason):
            bench(damaged, "x.sertk", [1], 0, key)


def test_every_stage_is_told_to_whoever_watches() -> None:
    seen: list[Any] = []

    def track(steps: Any, title: str, total: int) -> Any:
        for step in steps:
            seen.append((title, total, step[:2]))
            yield step

    bench(BUNDLE.read_bytes(), "x", [1], 0, track=track)
    assert [stage for _, _, (_, stage) in seen] == ["cold", "windows", "stream", "memory", "warm"]
    assert {(title, total) for title, total, _ in seen} == {("Measuring", 5)}


def test_spread_is_in_milliseconds() -> None:
    durations = [0.001 * n for n in range(101)]
    found = spread(durations)
    assert (found["median_ms"], found["p95_ms"], found["p99_ms"]) == pytest.approx((50, 95, 99))
    assert found["rounds"] == 101


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 3, 4]), (12, [1, 2, 3, 4, 8])]
)
def test_numbers_of_threads(cores: int, counts: list[int]) -> None:
    assert thread_counts(cores) == counts


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_raspberry_pi_is_described(tmp_path: Path) -> None:
    cpu = "sys__devices__system__cpu__cpu0__cpufreq__"
    write(
        tmp_path,
        **{
            "proc__device-tree__model": "Raspberry Pi 4 Model B Rev 1.4\0",
            "proc__meminfo": "MemTotal:        3884360 kB\nMemFree: 1 kB\n",
            "proc__cpuinfo": "processor\t: 0\nSerial\t\t: 10000000abcdef01\n",
            f"{cpu}cpuinfo_max_freq": "1800000\n",
            f"{cpu}scaling_cur_freq": "600000\n",
            f"{cpu}scaling_governor": "ondemand\n",
            "sys__class__thermal__thermal_zone0__temp": "48686\n",
            "sys__devices__platform__soc__soc:firmware__get_throttled": "50005\n",
        },
    )
    found, state = board(tmp_path), power(tmp_path)
    assert found["model"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert (found["processor"], found["frequency_max_mhz"]) == (None, 1800)
    assert found["memory_mb"] == pytest.approx(3884360 * 1024 / 1e6)
    assert "abcdef01" not in json.dumps(found)
    assert (state["temperature_c"], state["governor"]) == (48.686, "ondemand")
    assert state["frequency_mhz"] == 600
    low = ["under-voltage", "throttled"]
    assert state["throttled"] == {"now": low, "since_boot": low}


def test_a_machine_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    write(tmp_path, sys__class__thermal__thermal_zone0__temp="not a number")
    assert board(tmp_path)["model"] is None and board(tmp_path)["memory_mb"] is None
    assert power(tmp_path)["temperature_c"] is None
    assert memory(tmp_path) == {"resident_mb": None, "peak_mb": None}


def test_vcgencmd_is_asked_where_the_kernel_does_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "vcgencmd"
    tool.write_text('#!/bin/sh\necho "throttled=0x20002"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    capped = ["frequency capped"]
    assert power(tmp_path)["throttled"] == {"now": capped, "since_boot": capped}
