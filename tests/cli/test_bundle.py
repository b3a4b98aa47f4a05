"""`sertk bundle`: what it shows, what it checks, what it refuses, all with real files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.runtime.bundle.container import unpack
from ser_toolkit.runtime.bundle.file import parse_bundle, read_bytes, write_bundle
from ser_toolkit.runtime.bundle.manifest import Part
from ser_toolkit.runtime.npz import to_npz

pytest.importorskip("ai_edge_litert")

BUNDLE = Path(__file__).parents[1] / "bundles" / "v1" / "tiny.sertk"
COMMAND = """
import sys
from ser_toolkit import cli
from ser_toolkit.cli.bundle import bundle
cli.sertk.add_command(bundle)
status = cli.run(sys.argv[1:])
print([name for name in ("ai_edge_litert", "tensorflow", "librosa", "cryptography")
       if name in sys.modules], file=open("imported", "w"))
sys.exit(status)
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]
METRICS = {
    "test": {
        "uar": 0.75,
        "wa": 0.5,
        "calibration_error": 0.125,
        "clips": 96,
        "difference": {"uar": -0.02},
        "ci95": {"uar": [-0.05, 0.01], "clusters": "speaker", "groups": 2},
    }
}
TRAINING = {
    "recipe": "msf",
    "seed": 3,
    "best_epoch": 7,
    "epochs": 12,
    "parameters": {"total": 68166},
    "synthetic": True,
    "data": [{"reader": "emodb", "licence": "CC0", "citation": "none"}],
    "sides": {"train": 9, "test": 4},
    "audit": {"clean": False},
    "protocol": {"name": "loso", "fold": "speaker 3", "hash": "0123456789abcdef", "caveats": ["!"]},
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `sertk bundle` with some arguments in `tmp_path`."""

    def run(*args: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", COMMAND, "bundle", *map(str, args)]
        env = {**os.environ, "PYTHONSAFEPATH": "1"}
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
        )

    return run


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a copy of the bundle, to be changed."""
    path = tmp_path / "own.sertk"
    path.write_bytes(BUNDLE.read_bytes())
    return path


def change(path: Path, members: dict[str, bytes] | None = None, **fields: Any) -> None:
    """Write the bundle again with other members and other fields of its manifest."""
    manifest = replace(parse_bundle(read_bytes(path)).manifest, **fields)
    write_bundle(path, manifest, {**unpack(path.read_bytes()), **(members or {})})


def pairs(text: str) -> dict[str, str]:
    """The lines of `show` and `verify` by their names; those without a name belong to the last."""
    found: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        last = line[:10].strip() or last
        found[last] = f"{found.get(last, '')}\n{line[12:]}".strip()
    return found


def refused(done: subprocess.CompletedProcess[str], status: int = 1) -> str:
    assert done.returncode == status, done.stdout
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_bundle_is_parsed_once() -> None:
    """A profile of each command in a process of its own counts calls; its child is another one."""
    code = (
        "import cProfile, json, pstats, sys\n"
        "from ser_toolkit.cli import run\n"
        "profile = cProfile.Profile()\n"
        "assert profile.runcall(run, ['bundle', *sys.argv[1:]]) == 0\n"
        "rows = pstats.Stats(profile).stats.items()\n"
        "names = ('parse_bundle', 'load_plugins')\n"
        "print(json.dumps([sum(v[1] for k, v in rows if k[2] == name) for name in names]))\n"
    )
    for name in ("show", "verify", "selftest"):
        done = subprocess.run(
            [sys.executable, "-c", code, name, BUNDLE], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == [1, 1], name


def test_show_says_what_is_in_it(run: Run, own: Path) -> None:
    change(own, training=TRAINING, figures=METRICS)
    done = run("show", own)
    output_text = pairs(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert output_text["file"].startswith(
        f"own.sertk, {own.stat().st_size / 1000:.0f} kB, format 1"
    )
    assert output_text["labels"] == "anger, joy, neutral, sadness"
    assert output_text["audio"] == "16000 Hz"
    assert output_text["window"] == "12 frames, a new one every 6 (0.21 s, every 0.10 s)"
    assert output_text["extractor"] == "rms 1 (ser-toolkit 0.1.0)"
    assert output_text["network"] == "int8, 3 kB, takes frames 12 x 1"
    assert output_text["proven on"] == "ai-edge-litert 2.3.0, tflite-runtime 2.14.0"
    assert output_text["uncertain"] == "below a confidence of 0.40"
    assert output_text["trained"].splitlines() == [
        "recipe msf, seed 3, epoch 7 of 12, parameters 68166",
        "on synthetic speech: its metrics say nothing about human voices",
        "data: emodb (licence: CC0)",
        "clips: 4 test, 9 train",
        "leakage audit: NOT clean",
    ]
    assert "loso, hash 0123456789abcdef" in output_text["protocol"]
    assert output_text["metrics"].splitlines() == [
        "test: UAR 75.0 %, accuracy 50.0 %, calibration error 12.5 %, 96 clips",
        "UAR minus that of the trained network -2.0 [-5.0, +1.0] points (95 %, 2 speakers drawn)",
    ]
    assert output_text["signature"] == "not signed"


def test_show_for_programs_is_the_manifest_and_more(run: Run) -> None:
    found = json.loads(run("show", BUNDLE, "--json").stdout)
    manifest = json.loads(unpack(BUNDLE.read_bytes())["manifest.json"])
    assert {key: found[key] for key in manifest} == manifest
    assert (found["file"], found["bytes"]) == (BUNDLE.name, BUNDLE.stat().st_size)
    assert found["signature"] == "none"
    assert (found["window_s"], found["hop_s"]) == pytest.approx((0.208, 0.096))


def test_show_prints_the_card(run: Run) -> None:
    assert run("show", BUNDLE, "--card").stdout == "# tiny\n\n"


def test_show_runs_nothing_of_the_bundle(run: Run, own: Path, tmp_path: Path) -> None:
    change(own, {"model.tflite": b"no network at all"})
    assert run("show", own).returncode == 0
    assert (tmp_path / "imported").read_text() == "[]\n"


def test_show_works_without_the_extractor(run: Run, own: Path) -> None:
    spec = {"name": "odd", "version": 4, "hop_length": 256}
    change(own, extractor=spec, parts=(Part("odd", 4, "sertk-odd", "3.1"),))
    output_text = pairs(run("show", own).stdout)
    assert output_text["extractor"] == "odd 4 (sertk-odd 3.1)"
    assert (
        output_text["window"].startswith("12 frames") and "not installed" in output_text["window"]
    )
    assert json.loads(run("show", own, "--json").stdout)["window_s"] is None
    assert "pip install sertk-odd==3.1" in refused(run("verify", own))


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"recipe": "\x1b]0;title\x07\n\u202e", "data": [3, {"reader": 4}], "sides": {"test": []}},
        {"test": {"uar": "high"}, "data": "x", "protocol": 3, "audit": [], "parameters": None},
        {"test": {"uar": 1, "difference": {"uar": 0}, "ci95": {"uar": [None, {}]}}, "seed": True},
        {"test": {"uar": 0.5, "difference": {"uar": 0}, "ci95": {"uar": [0, 1]}}, "seed": 10**19},
        {"protocol": {"name": "\x9b2J", "caveats": [[], {}]}, "epochs": [[[]]]},
    ],
)
def test_whatever_the_free_tables_hold_is_shown_and_steers_nothing(
    run: Run, own: Path, table: dict[str, Any]
) -> None:
    change(
        own, {"card.md": "# \x1b[2J\u202e card\n\ttab\n".encode()}, training=table, figures=table
    )
    for more in ([], ["--json"], ["--card"]):
        done = run("show", own, *more)
        assert (done.returncode, done.stderr) == (0, "")
        assert all(c.isprintable() or c == "\n" for c in done.stdout)


def test_verify_says_what_was_checked(run: Run) -> None:
    done = run("verify", BUNDLE)
    output_text = pairs(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(output_text) == [
        *("container", "manifest", "members", "arrays", "signature"),
        *("extractor", "runtime", "self-test"),
    ]
    assert output_text["members"].startswith("5 have")
    assert output_text["runtime"].startswith("ai-edge-litert 2.")
    assert (
        "(allowed 0.001)" in output_text["self-test"]
        and "(allowed 0.05)" in output_text["self-test"]
    )


def test_selftest_says_how_far_it_is_off(run: Run, own: Path) -> None:
    arrays = dict(parse_bundle(read_bytes(own)).selftest)
    arrays["features.frames"] = arrays["features.frames"] + np.float32(1e-6)
    arrays["output"] = arrays["output"] + np.float32(0.03125)
    change(own, {"selftest.npz": to_npz(arrays)})
    done = run("selftest", own)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[2:]}
    std = float(parse_bundle(read_bytes(own)).normalizers["frames"].std[0])
    assert float(rows["features"][0]) == pytest.approx(1e-6 / std, rel=0.1)
    assert rows["features"][1:] == ["0.001", "standard", "deviations"]
    assert rows["output"] == ["0.031", "0.05", "of", "probability"]


@pytest.mark.parametrize("command", ["verify", "selftest"])
def test_a_selftest_that_disagrees_is_refused(run: Run, own: Path, command: str) -> None:
    arrays = dict(parse_bundle(read_bytes(own)).selftest)
    arrays["output"] = arrays["output"] + np.float32(0.0625)
    change(own, {"selftest.npz": to_npz(arrays)})
    output_text = refused(run(command, own))
    assert "probabilities off by 0.062 (allowed 0.05)" in output_text


@pytest.mark.parametrize("command", ["show", "verify", "selftest"])
def test_damaged_files_are_refused_before_anything_is_said(
    run: Run, own: Path, command: str
) -> None:
    content = BUNDLE.read_bytes()
    at = content.index(b"TFL3")
    for damaged in (content[:9000], content[:at] + b"tfl3" + content[at + 4 :], b"", b"#!/bin/sh"):
        own.write_bytes(damaged)
        done = run(command, own)
        refused(done)
        assert done.stdout == ""
    own.unlink()
    assert "No such file" in refused(run(command, own))


def test_a_network_that_cannot_be_run_is_refused(run: Run, own: Path) -> None:
    network = parse_bundle(read_bytes(own)).model
    change(own, {"model.tflite": network[:2000]})
    done = run("verify", own)
    assert "cannot run the network" in refused(done) or "crashed" in done.stderr
    assert list(pairs(done.stdout))[-1] == "signature"


def test_signing_and_what_is_refused_without(run: Run, own: Path, tmp_path: Path) -> None:
    for folder in ("mine", "other"):
        assert run("keys", folder).returncode == 0
    public, private = tmp_path / "mine" / "key.pub", tmp_path / "mine" / "key.pem"
    before = parse_bundle(read_bytes(own))
    for command in ("show", "verify", "selftest"):
        assert "not signed" in refused(run(command, own, "--require-signature", public))
    for _ in range(2):
        done = run("sign", own, "--key", private)
        assert (done.returncode, done.stderr) == (0, "")
    assert parse_bundle(read_bytes(own)).manifest == before.manifest
    assert "not checked" in pairs(run("show", own).stdout)["signature"]
    for command in ("show", "verify"):
        output_text = pairs(run(command, own, "--require-signature", public).stdout)
        assert output_text["signature"] == "by the owner of the given key"
    shown = run("show", own, "--json", "--require-signature", public).stdout
    assert json.loads(shown)["signature"] == "verified"
    assert run("selftest", own, "--require-signature", public).returncode == 0
    other = tmp_path / "other" / "key.pub"
    assert "not by this key" in refused(run("verify", own, "--require-signature", other))
    change(own, name="another name")
    assert "not signed" in refused(run("verify", own, "--require-signature", public))


def test_keys_are_private_and_never_written_over(run: Run, tmp_path: Path) -> None:
    done = run("keys", "new/keys")
    private = tmp_path / "new" / "keys" / "key.pem"
    assert done.returncode == 0 and "key.pub" in done.stdout
    assert private.stat().st_mode & 0o777 == 0o600
    content = private.read_bytes()
    assert "is already there" in refused(run("keys", "new/keys"))
    assert private.read_bytes() == content


def test_what_is_no_key_is_refused_with_the_command_that_makes_one(
    run: Run, own: Path, tmp_path: Path
) -> None:
    run("keys", ".")
    (tmp_path / "no.pem").write_text("nothing")
    content = own.read_bytes()
    for args in (
        ("sign", own, "--key", "no.pem"),
        ("sign", own, "--key", "key.pub"),
        ("verify", own, "--require-signature", "no.pem"),
        ("verify", own, "--require-signature", "key.pem"),
    ):
        assert "`sertk bundle keys FOLDER`" in refused(run(*args))
    assert "cannot read the key 'no-such.pem': No such file" in refused(
        run("sign", own, "--key", "no-such.pem")
    )
    assert own.read_bytes() == content
    assert run("sign", own).returncode == 2
