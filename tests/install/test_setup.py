"""`make setup` installs with uv as pip would, or with pip where uv cannot be told the same."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from broken_packages import PACKAGES, write_wheel
from make_environment import make_venv

ROOT = Path(__file__).resolve().parents[2]
INSTALL = ROOT / "release/install.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("release_install", INSTALL)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_uv_is_told_what_pip_is(script: Any) -> None:
    message = script.settings(
        "global.index-url='https://one.example/simple'\n"
        "global.extra-index-url='https://two.example/simple\\nhttps://three.example/simple'\n"
        "global.no-index='true'\n"
        "global.timeout='15'\n"
        "install.no_index='false'\n"
        "install.trusted-host='one.example'\n"
        "freeze.exclude='x'\n"
        ":env:.index-url='https://four.example/simple'\n"
        ":env:.cert='/etc/ours.pem'\n"
    )
    options, variables = script.for_uv(message)
    assert " ".join(options) == (
        "--index-strategy unsafe-best-match --index https://four.example/simple "
        "--index https://two.example/simple --index https://three.example/simple "
        "--allow-insecure-host one.example"
    )
    assert variables == {"UV_HTTP_TIMEOUT": "15", "SSL_CERT_FILE": "/etc/ours.pem"}


def test_the_main_index_comes_first(script: Any) -> None:
    """A further one may have a version without the file for this machine."""
    (options, _), main = script.for_uv({"extra-index-url": "file:///more"}), script.default_index()
    assert options[2:] == ["--index", main, "--index", "file:///more"]
    assert script.for_uv({"index-url": "file:///one"})[0][2:] == ["--default-index", "file:///one"]
    assert script.for_uv({})[0][2:] == []


@pytest.mark.parametrize("line", ["global.only-binary=':all:'", "install.target='/x'"])
def test_what_uv_has_no_word_for_is_told(script: Any, line: str) -> None:
    key = line.partition("=")[0].partition(".")[2]
    with pytest.raises(ValueError, match=key):
        script.for_uv(script.settings(line))


@pytest.mark.parametrize(("more", "installer"), [("", "uv"), ("prefer-binary = true\n", "pip")])
def test_a_folder_that_pip_alone_is_configured_with(
    more: str, installer: str, tmp_path: Path
) -> None:
    write_wheel(tmp_path, "good", PACKAGES["good"])
    message = f"[global]\nno-index = true\nfind-links = {tmp_path}\n{more}"
    (tmp_path / "pip.conf").write_text(message)
    python = make_venv(tmp_path / "venv")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    done = subprocess.run(
        [python, INSTALL, "--no-deps", "acme-good"],
        env={**kept, "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    (record,) = tmp_path.rglob("acme_good-1.2.dist-info/INSTALLER")
    assert record.read_text().strip() == installer, done.stderr
    assert bool(re.search("pip installs, .* prefer-binary = true$", done.stderr)) == bool(more)
