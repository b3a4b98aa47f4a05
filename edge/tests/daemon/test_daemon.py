"""`sertk serve-edge` as a person starts it: a file, a pipe, a microphone; its end; its checks."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_toolkit import cli
from sertk_edge.service.logs import OURS

MAIN = "from ser_toolkit.cli import main; main()"
# Without the page: another daemon may have its port.
PIPED = ("--source", "-", "--http-port", 0)
SLOW_FILE = ("--realtime", "--gate", "energy")
# A second is what is promised; the rest is for a machine that others use too.
SOON_S = 3.0


def command(*args: object, stdin: bytes | None = None, **options: Any) -> Any:
    return subprocess.run(
        [sys.executable, "-c", MAIN, "serve-edge", *map(str, args)],
        input=stdin,
        capture_output=True,
        timeout=120,
        **options,
    )


def events_of(done: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def brief(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(e["kind"], e["label"], e["offset_s"], e["probabilities"]) for e in events]


# Sound in, events out ----------------------------------------------------------------------------


def test_a_file_of_real_speech_becomes_events(speech: Path, voice_bundle: Path) -> None:
    done = command(voice_bundle, "--source", speech)
    assert done.returncode == 0, done.stderr
    events = events_of(done)
    assert len(events) >= 20
    assert [e["sequence"] - events[0]["sequence"] for e in events] == list(range(len(events)))
    assert len({e["id"] for e in events}) == len(events)
    message = None
    for event in events:
        assert event["kind"] == ("started" if message is None else event["kind"])
        assert event["kind"] != "ended" or event["label"] == message
        message = None if event["kind"] == "ended" else event["label"]
        assert sum(event["probabilities"].values()) == pytest.approx(1, abs=0.02)
        assert -60 < event["level_dbfs"] < 0
    assert message is None
    offsets = [e["offset_s"] for e in events]
    assert offsets == sorted(offsets)


def test_pcm_on_standard_input_gives_what_the_file_gives(voices: Path, tiny_bundle: Path) -> None:
    samples, _ = soundfile.read(voices, dtype="int16")
    from_file = command(tiny_bundle, "--source", voices)
    piped = command(tiny_bundle, *PIPED, stdin=samples.tobytes())
    assert piped.returncode == 0, piped.stderr
    assert brief(events_of(piped)) == brief(events_of(from_file)) != []


@pytest.mark.slow
def test_any_rate_and_channels_of_pcm(voices: Path, tiny_bundle: Path) -> None:
    samples, _ = soundfile.read(voices, dtype="int16")
    stereo = np.repeat(np.repeat(samples, 3), 2).tobytes()
    done = command(tiny_bundle, *PIPED, "--rate-hz", 48000, "--channels", 2, stdin=stereo)
    ends = [e["offset_s"] for e in events_of(done) if e["kind"] == "ended"]
    direct = events_of(command(tiny_bundle, "--source", voices))
    expected = [e["offset_s"] for e in direct if e["kind"] == "ended"]
    assert ends == pytest.approx(expected, abs=0.1)


def test_a_microphone_is_classified(
    pulse: Any, live: Callable[..., Any], speech: Path, voice_bundle: Path
) -> None:
    daemon = live(voice_bundle, "--gate", "energy", "--source", "mic")
    pulse.play(speech)
    daemon.until(lambda: len(daemon.events()) >= 3, 60)
    state = daemon.get("/v1/state")
    assert state["source"]["kind"] == "microphone" and state["source"]["state"] == "ok"
    first = daemon.events()[0]
    assert first["kind"] == "started" and abs(first["time_s"] - time.time()) < 60


def test_nobody_reads_any_more(voices: Path, tiny_bundle: Path) -> None:
    started = subprocess.Popen(
        [sys.executable, "-c", MAIN, "serve-edge", tiny_bundle, "--source", voices],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with started as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        output = process.stderr.read().decode()
        assert process.wait(30) == 0 and "Traceback" not in output


def test_a_sink_of_a_file(voices: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    done = command(tiny_bundle, "--source", voices, "--sink", f"json_lines,path={path}")
    assert done.stdout == b"" and len(path.read_text().splitlines()) >= 2


# Its end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_ends_it_soon_and_well(
    number: signal.Signals, live: Callable[..., Any], voices: Path, tiny_bundle: Path
) -> None:
    daemon = live(tiny_bundle, "--source", voices, *SLOW_FILE)
    daemon.until(daemon.events)
    assert daemon.stop(number) < SOON_S
    assert daemon.process.returncode == 0
    # What goes on is ended, and told.
    assert daemon.events()[-1]["kind"] == "ended"
    assert "Traceback" not in daemon.output()


def test_a_signal_while_it_starts_ends_it(
    serve: Callable[..., Any], voices: Path, tiny_bundle: Path
) -> None:
    for pause_s in (0.3, 0.5, 0.8):
        daemon = serve(tiny_bundle, "--source", voices, *SLOW_FILE)
        time.sleep(pause_s)
        assert daemon.stop() < SOON_S
        assert daemon.process.returncode in (0, -signal.SIGTERM)
        assert "Traceback" not in daemon.output()


@pytest.mark.slow
def test_a_dead_broker_and_a_server_that_hangs_do_not_hold_it_up(
    live: Callable[..., Any], voices: Path, tiny_bundle: Path
) -> None:
    message = ("--sink", "json_lines", "--sink", "mqtt,host=127.0.0.1,port=1")
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        sinks = (*message, "--sink", f"webhook,url=http://127.0.0.1:{hangs.getsockname()[1]}/")
        daemon = live(tiny_bundle, "--source", voices, *SLOW_FILE, *sinks)
        daemon.until(daemon.events)
        before_s = time.time()
        assert daemon.stop() < SOON_S
    last = daemon.output().splitlines()[-1]
    assert "events wait in the state folder" in last
    # By its own clock: how long the interpreter takes to go is the machine's affair.
    assert datetime.fromisoformat(last.split()[0]).timestamp() - before_s < 1


# Checks -------------------------------------------------------------------------------------------


def test_check_looks_at_everything(voices: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    done = command(tiny_bundle, "--check", "--source", voices, "--state-dir", tmp_path / "state")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, lines
    assert [line.split()[:2] for line in lines] == [
        ["ok", name] for name in ("bundle", "source", "gate", "sink", "state", "http", "privacy")
    ]


def test_check_loads_the_plugins_of_all_sinks_once(
    voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERTK_PLUGINS", "sertk-edge,nowhere")
    sinks = ("--sink", "json_lines", "--sink", "console")
    done = command("none.sertk", "--check", "--source", voices, *sinks)
    assert done.stdout.count(b"not connected to now") == len(sinks) / 2
    assert done.stderr.count(b"names 'nowhere', which is not installed") == 1


def test_check_tries_the_ports_and_takes_one_that_is_held_for_the_services(
    voices: Path, tiny_bundle: Path
) -> None:
    def check(port: int, wyoming_port: int) -> tuple[int, dict[str, list[str]]]:
        source = f"wyoming:tcp://127.0.0.1:{wyoming_port}"
        done = command(tiny_bundle, "--check", "--source", source, "--http-port", port)
        lines = [line.split(maxsplit=2) for line in done.stdout.decode().splitlines()]
        return done.returncode, {part: [state, output] for state, part, output in lines}

    with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
        ports = a.getsockname()[1], b.getsockname()[1]
        status, held = check(*ports)
        assert status == 0
        for part, port in zip(("http", "source"), ports, strict=True):
            state, output = held[part]
            assert state == "taken" and f"listens on 127.0.0.1:{port}" in output
            assert "right while the service runs" in output
    status, free = check(*ports)
    assert status == 0 and free["http"] == ["ok", f"http://127.0.0.1:{ports[0]}/"]
    assert free["source"][0] == "ok"


@pytest.mark.parametrize(
    ("args", "part", "message"),
    [
        (["--source", "missing.wav"], "source", "missing.wav"),
        (["--source", "wyoming:unix:///proc/none/s"], "source", "cannot listen"),
        (["--http-token-file", "none", "--http-port", "9"], "http", "none"),
        (["--state-dir", "file/below"], "state", "file/below"),
        (["--require-signature", "none.pub"], "bundle", "none.pub"),
    ],
)
def test_check_finds_what_is_wrong(
    args: list[str], part: str, message: str, voices: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = command(tiny_bundle, "--check", "--source", voices, *args, cwd=tmp_path)
    problems = [line for line in done.stdout.decode().splitlines() if line.startswith("problem")]
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert [line.split()[1] for line in problems] == [part], problems
    assert message in problems[0]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--sink", "mqqt"], "mqtt"),
        (["--sink", "mqtt,hots=x"], "hots"),
        (["--device-id", "no blanks"], "device.id"),
        (["--http-host", "127.0.0.1.invalid", "--http-port", "9"], "token"),
        (["--http-host", "0.0.0.0", "--http-port", "9"], "token"),
    ],
)
def test_check_tells_wrong_usage_by_its_status(
    args: list[str], message: str, tiny_bundle: Path
) -> None:
    # What is missing beside it is no reason to try again.
    done = command(tiny_bundle, "--check", "--source", "missing.wav", "--http-port", 0, *args)
    problems = [line for line in done.stdout.decode().splitlines() if line.startswith("problem")]
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    assert problems[0].split()[1] == "source" and len(problems) == 2
    assert message in problems[1]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["none.sertk"], "none.sertk"),
        (["BUNDLE", "--source", "none.wav"], "none.wav"),
        (["BUNDLE", "--config", "none.toml"], "none.toml"),
        (["BUNDLE", "--sink", "json_lines,path=none/file"], "'none/file'"),
    ],
)
def test_a_wrong_start_is_one_line(
    args: list[str], message: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    words = [str(tiny_bundle) if word == "BUNDLE" else word for word in args]
    done = command(*words, cwd=tmp_path)
    output = done.stderr.decode()
    assert done.returncode == 1 and "Traceback" not in output
    errors = [line for line in output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and message in errors[0]


# Arguments of `sertk serve-edge`, and what the one line has to say.
WRONG_USAGE = (
    ([], "no bundle"),
    (["BUNDLE", "--bogus"], "--bogus"),
    (["BUNDLE", "--source", "rtsp://me:secret@camera/1"], "of rtsp:// are not supported"),
    (["BUNDLE", "--source", "http://camera/1"], "Pipe the sound in: ffmpeg"),
    (["BUNDLE", "--source", "file:///a.wav"], "Give the path alone"),
    (["BUNDLE", "--hop-s", "0"], "stream.hop_s"),
    (["BUNDLE", "--hop-s", "nan"], "stream.hop_s"),
    (["BUNDLE", "--http-port", "70000"], "http.port"),
    (["BUNDLE", "--config", "wrong.toml"], "prot"),
    (["BUNDLE", "--config", "broken.toml"], "not TOML"),
    (["BUNDLE", "--sink", "nobody"], "nobody"),
    (["BUNDLE", "--sink", "mqtt,hots=x"], "hots"),
    (["BUNDLE", "--sink", "mqtt,port=many"], "mqtt.port"),
    (["BUNDLE", "--sink", "mqtt,port=70000"], "port expects"),
    (["BUNDLE", "--sink", "webhook"], "url"),
)


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Undo what the daemon sets up for its whole process."""
    loggers = logging.getLogger(), logging.getLogger(OURS)
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.mark.usefixtures("own_logging")
def test_wrong_usage_has_a_status_of_its_own(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is not started again after this one: an option that is wrong stays wrong."""
    (tmp_path / "wrong.toml").write_text("[http]\nprot = 1\n")
    (tmp_path / "broken.toml").write_text("[http\n")
    monkeypatch.chdir(tmp_path)
    for args, message in WRONG_USAGE:
        words = [str(tiny_bundle) if word == "BUNDLE" else word for word in args]
        with contextlib.redirect_stderr(io.StringIO()) as said:
            assert cli.run(["serve-edge", *words]) == 2, args
        errors = [line for line in said.getvalue().splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1 and message in errors[0], (args, said.getvalue())
    # The last one as its own process ends: with the same status and words.
    done = command(*words)
    assert (done.returncode, done.stderr.decode()) == (2, said.getvalue())


def test_settings_come_from_a_file_too(voices: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "edge.toml").write_text(
        f'[bundle]\nfile = "{tiny_bundle}"\n[source]\nsource = "{voices}"\n'
        '[[sink]]\nname = "json_lines"\npath = "told.jsonl"\n[log]\nformat = "json"\n'
    )
    done = command("--config", "edge.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "told.jsonl").read_text().count("started") >= 1
    assert all(json.loads(line)["message"] for line in done.stderr.splitlines())


def test_it_says_loudly_that_it_records(voices: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "audio"
    folder.mkdir(mode=0o755)
    done = command(tiny_bundle, "--source", voices, "--debug-audio-dir", folder)
    assert b"ALL AUDIO IS WRITTEN" in done.stderr
    written = np.concatenate([soundfile.read(path)[0] for path in sorted(folder.iterdir())])
    expected, _ = soundfile.read(voices)
    assert len(written) == len(expected) and np.abs(written - expected).max() < 1e-4
    # Its owner alone may read it, whoever may look into the folder.
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_it_writes_no_audio_by_itself(voices: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    done = command(
        tiny_bundle,
        "--source",
        voices,
        "--state-dir",
        state,
        cwd=tmp_path,
        env={"HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    # The spool, its lock, the id, the bundle: nothing else, and nothing of the size of sound.
    bundle = tiny_bundle.read_bytes()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    files = [path for path in files if path.read_bytes() != bundle]
    assert {path.name.partition(".")[0] for path in files} <= {"spool", "device-id"}
    assert sum(path.stat().st_size for path in files) < voices.stat().st_size / 5
