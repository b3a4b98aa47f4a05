"""`sertk edge install-service`: the unit that it writes, checked by systemd's own tools."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ser_toolkit.runtime.errors import SertkError
from sertk_edge.cli import edge
from sertk_edge.service.install import TEMPORARY, lies_in
from sertk_edge.service.unit import Unit, word

EXPOSURE = 2.0
"""Of 10; services of Debian have between 2 and 9.6."""
ODD = 'a "b" 100% $HOME \\t é'
SERTK = str(Path(sysconfig.get_path("scripts"), "sertk"))
Require = Callable[[str, bool, str], None]


def install(*args: object) -> Result:
    return CliRunner().invoke(edge, ["install-service", *map(str, args)])


def printed(*args: object) -> str:
    result = install("--print", *args)
    assert result.exit_code == 0, result.output
    return result.stdout


def lines_of(unit: str, key: str) -> list[str]:
    lines = [line for line in unit.splitlines() if line.startswith(f"{key}=")]
    return [line.partition("=")[2] for line in lines]


def command_of(unit: str) -> list[str]:
    """The words of ExecStart, as systemd.service(5) says."""
    (line,) = lines_of(unit, "ExecStart")
    assert line.startswith(":")
    return [word.replace("%%", "%") for word in shlex.split(line[1:])]


@pytest.fixture
def analyze(require: Require, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run systemd-analyze on the text of a unit."""
    program = shutil.which("systemd-analyze")
    require("systemd", program is not None, "apt-get install systemd")

    def run(unit: str, *args: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "sertk-edge.service"
        path.write_text(unit)
        return subprocess.run(
            [str(program), *args, str(path)],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )

    return run


UNITS = {
    "plain": (),
    "everything": (
        *("--config", "/etc/sertk/edge.toml", "--user", "root", "--name", "kitchen"),
        *("--credential", "mqtt=/etc/sertk/100% mqtt", "--credential", "token=/etc/sertk/token"),
        *("--", "--source", "mic:USB Audio", "--http-port", "0"),
    ),
}


@pytest.mark.parametrize("args", UNITS.values(), ids=UNITS)
def test_systemd_finds_no_fault(
    args: tuple[str, ...],
    tiny_bundle: Path,
    analyze: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = analyze(printed(tiny_bundle, *args), "verify", "--man=no")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("home_is_read", [False, True])
def test_systemd_thinks_it_well_protected(
    home_is_read: bool, analyze: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    unit = Unit("sertk-edge", (SERTK,), Path("/opt/b.sertk"), home_is_read=home_is_read)
    threshold = f"--threshold={EXPOSURE * 10:.0f}"
    done = analyze(unit.text(), "security", "--offline=true", "--no-pager", threshold)
    assert done.returncode == 0, done.stdout
    assert "PrivateDevices" in done.stdout


def test_the_service_runs_this_installation(tiny_bundle: Path) -> None:
    unit = printed(tiny_bundle, "--config", "/etc/e.toml", "--", "--http-port", "0")
    expected = [SERTK, "serve-edge", str(tiny_bundle), "--config", "/etc/e.toml"]
    assert command_of(unit) == [*expected, "--http-port", "0"]
    assert lines_of(unit, "DynamicUser") == ["yes"]
    assert lines_of(unit, "ReadOnlyPaths") == [word(str(tiny_bundle.parent))]


def test_relative_paths_are_made_absolute(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_bundle.parent)
    assert command_of(printed(tiny_bundle.name))[2] == str(tiny_bundle)


def test_odd_names_stay_what_they_are(
    tmp_path: Path, analyze: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    bundle = tmp_path / ODD / "it's.sertk"
    unit = printed(bundle, "--credential", f"token={bundle}")
    assert command_of(unit)[2] == str(bundle)
    # Everything behind the colon is the path, quotes and all; only % has a meaning.
    assert lines_of(unit, "LoadCredential") == [f"token:{bundle}".replace("%", "%%")]
    done = analyze(unit, "verify", "--man=no")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_line_break_in_a_name_is_refused() -> None:
    result = install("/opt/x\nExecStartPre=/bin/rm.sertk", "--print")
    assert isinstance(result.exception, SertkError)
    assert "control characters" in str(result.exception)


NO_UNIT = (
    (("--name", "../other"), "--name expects"),
    (("--name", "a b"), "--name expects"),
    (("--credential", "token"), "--credential expects NAME=FILE"),
    (("--credential", "a/b=/etc/x"), "--credential expects NAME=FILE"),
)


def test_what_makes_no_unit_is_refused(tiny_bundle: Path) -> None:
    for args, problem in NO_UNIT:
        result = install(tiny_bundle, *args, "--print")
        assert isinstance(result.exception, SertkError), args
        assert problem in str(result.exception)


REFUSED = (
    ("--bogus", "--bogus"),
    ("--http-port", "--http-port"),
    ("--http-port many", "'many' is not a valid integer"),
    ("--http-port 70000", "'http.port' expects -1 to 65535"),
    ("--hop-s nan", "'stream.hop_s' expects"),
    ("/opt/other.sertk", "/opt/other.sertk"),
    ("--sink mqqt", "mqqt"),
    ("--sink mqtt,hots=x", "hots"),
    ("--sink mqtt,port=x", "mqtt.port"),
    ("--check", "--check ends at once"),
    ("--list-devices", "--list-devices ends at once"),
    ("--http-token-file token", "--http-token-file expects a path from / on, received 'token'"),
    ("--config edge.toml", "--config expects a path from / on, received 'edge.toml'"),
    ("--source talk.wav", "--source expects a path from / on, received 'talk.wav'"),
    ("--sink json_lines,path=heard", "json_lines.path expects a path from / on"),
    ("--sink mqtt,username=u,password_file=p", "mqtt.password_file expects a path from / on"),
)


def test_options_that_the_service_would_refuse_are_refused_now(tiny_bundle: Path) -> None:
    for more, problem in REFUSED:
        result = install(tiny_bundle, "--print", "--", *more.split())
        assert isinstance(result.exception, SertkError), (more, result.output)
        assert problem in str(result.exception)
        assert result.exception.exit_code == 2 and "ExecStart" not in result.output, more


def test_options_that_the_service_takes_are_kept_as_they_are(tiny_bundle: Path) -> None:
    more = [
        *("--source", "mic:USB", "--http-host", "0.0.0.0", "--http-token-file=/etc/sertk/token"),
        *("--sink", "webhook,url=https://example.org/a?b=c,token_file=/run/credentials/x/y"),
        # Its folder is made when the service starts.
        *("--sink", "json_lines,path=/var/lib/sertk-edge/heard", "--sink", "json_lines,path=-"),
    ]
    assert command_of(printed(tiny_bundle, "--", *more))[3:] == more


def test_user_and_credentials(tiny_bundle: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.touch(mode=0o600)
    unit = printed(tiny_bundle, "--user", "root", "--credential", f"token={secret}")
    assert lines_of(unit, "User") == ["root"]
    assert lines_of(unit, "DynamicUser") == []
    assert lines_of(unit, "LoadCredential") == [f"token:{secret}"]


@pytest.mark.parametrize(("version", "expected"), [(0, []), (252, []), (254, ["8"]), (257, ["8"])])
def test_it_waits_longer_each_time_where_systemd_can(version: int, expected: list[str]) -> None:
    unit = Unit("sertk-edge", (SERTK,), Path("/opt/b.sertk"), systemd=version).text()
    assert lines_of(unit, "RestartSteps") == expected
    assert lines_of(unit, "Restart") == ["always"]


def test_what_a_service_cannot_see_is_refused_and_nothing_written(tmp_path: Path) -> None:
    bundle = "/tmp/some/bundle.sertk"  # A service has a /tmp of its own.
    units = tmp_path / "units"
    units.mkdir()
    result = install(bundle, "--unit-dir", units)
    assert isinstance(result.exception, SertkError)
    # This checkout may lie in one itself, and the program is looked at first.
    first = SERTK if lies_in(Path(SERTK), TEMPORARY) else bundle
    assert f"{first} lies in a folder for temporary files" in str(result.exception)
    assert list(units.iterdir()) == []
    assert f"Warning: {bundle} lies" in install("--print", bundle).stderr


def in_child(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=60
    )


WRITE = """
import os, sys
from pathlib import Path
from sertk_edge.service.install import write
if os.getuid() == 0:
    os.seteuid(65534)
try:
    write(Path(sys.argv[1]), "text")
except Exception as error:
    print(type(error).__name__, error)
"""


def test_without_the_right_to_write_it_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o555)
    done = in_child(WRITE, folder / "sertk-edge.service")
    assert done.stdout == f"SertkError {folder} may not be written. Run it with sudo, or --print\n"


def test_only_units_of_ours_are_replaced(tmp_path: Path) -> None:
    from sertk_edge.service.install import write

    path = tmp_path / "sertk-edge.service"
    text = Unit("sertk-edge", (SERTK,), Path("/opt/b.sertk")).text()
    write(path, text)
    write(path, text)
    assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o644
    path.write_text("[Service]\nExecStart=/bin/true\n")
    with pytest.raises(SertkError, match="not written by this command"):
        write(path, text)


def test_a_link_is_followed(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "python").touch()
    link = tmp_path / "python"
    link.symlink_to(hidden / "python")
    assert lies_in(link, (hidden,))
    assert not lies_in(tmp_path / "other", (hidden,))


def test_what_is_not_there_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    missing = tmp_path / "none.sertk"
    units = ("--unit-dir", tmp_path)
    for args, problem in (
        ((missing,), f"there is no {missing}"),
        ((tiny_bundle, "--config", missing), f"there is no {missing}"),
        ((tiny_bundle, "--credential", f"page={missing}"), f"'page': there is no {missing}"),
        ((tiny_bundle, "--user", "nobody-here"), "there is no user 'nobody-here'"),
    ):
        assert problem in install("--print", *args).stderr
        assert install(*args, *units).exit_code != 0
    assert not list(tmp_path.glob("*.service"))


def test_the_service_checks_itself_first_as_its_own_user(tiny_bundle: Path) -> None:
    unit = printed(tiny_bundle, "--config", "/etc/e.toml", "--", "--http-port", "0")
    (line,) = lines_of(unit, "ExecStartPre")
    # A microphone that is not there yet must not keep the service from starting.
    assert line.startswith("-:")
    words = [word.replace("%%", "%") for word in shlex.split(line[2:])]
    assert words == [*command_of(unit), "--check"]


def test_the_command_is_light() -> None:
    code = (
        "import sys, sertk_edge.cli\n"
        "heavy = {'soundfile', 'aiohttp', 'paho', 'ai_edge_litert', 'asyncio', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = in_child(code)
    assert done.stdout == "[]\n", done.stderr


def test_edge_lists_what_it_can_do() -> None:
    assert isinstance(edge, click.Group)
    done = subprocess.run([SERTK, "edge", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "install-service" in done.stdout
