"""Flags over variables over the file over defaults; what is wrong is refused by name."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from ser_toolkit.runtime.component import fields_of
from sertk_edge.cli import serve_edge
from sertk_edge.options import flag_of, variable_of, variables_of
from sertk_edge.settings import SECTIONS, HttpSettings, Settings, SourceSettings, WrongUsageError
from sertk_edge.settings_loader import refuse_unknown, settings_of, sink_of
from sertk_edge.sinks.sink_factory import configured


def settings(file: Path | None = None, *args: str) -> Settings:
    """The settings of a command line, as `sertk serve-edge` builds them."""
    config = [] if file is None else ["--config", str(file)]
    made = serve_edge.make_context("serve-edge", [*config, *args])
    refuse_unknown(os.environ, variables_of(serve_edge))
    return settings_of(made.params)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(
        '[bundle]\nfile = "b.sertk"\n[http]\nport = 1\nhost = "::1"\nallowed_hosts = ["pi.lan"]\n'
        '[stream]\ngate = "energy"\nhop_s = 1\n'
        '[[sink]]\nname = "mqtt"\nhost = "broker"\nport = 1884\n[[sink]]\nname = "json_lines"\n'
    )
    return path


def test_defaults_stand_alone() -> None:
    found = settings()
    assert found.http == HttpSettings() and found.sinks == ()
    assert found.live and found.http_port == 8642


def test_the_file_goes_before_defaults(file: Path) -> None:
    found = settings(file)
    assert (found.http.port, found.http.host, found.http.allowed_hosts) == (1, "::1", ("pi.lan",))
    assert (found.stream.gate, found.stream.hop_s) == ("energy", 1.0)
    assert found.bundle.file == Path("b.sertk")
    assert found.sinks == (("mqtt", {"host": "broker", "port": 1884}), ("json_lines", {}))


def test_a_mark_of_the_encoding_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "marked.toml"
    path.write_bytes(b"\xef\xbb\xbf[http]\nport = 7")
    assert settings(path).http.port == 7


def test_variables_go_before_the_file_and_flags_before_both(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERTK_EDGE_HTTP_PORT", "2")
    monkeypatch.setenv("SERTK_EDGE_STREAM_GATE", "off")
    monkeypatch.setenv("SERTK_EDGE_BUNDLE_FILE", "v.sertk")
    found = settings(file, "--gate", "silero")
    assert (found.http.port, found.http.host, found.stream.gate) == (2, "::1", "silero")
    assert found.bundle.file == Path("v.sertk")
    assert settings(file, "c.sertk").bundle.file == Path("c.sertk")


def test_sinks_of_a_higher_rank_replace_those_of_a_lower(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERTK_EDGE_SINKS", "webhook,url=http://x/y; json_lines,path=z;")
    expected = (("webhook", {"url": "http://x/y"}), ("json_lines", {"path": "z"}))
    assert settings(file).sinks == expected
    assert settings(file, "--sink", "mqtt").sinks == (("mqtt", {}),)


def test_every_type_can_be_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    env = {
        "SERTK_EDGE_BUNDLE_ALLOW_NEW_LABELS": "yes",
        "SERTK_EDGE_HTTP_ALLOWED_HOSTS": "a.lan, b.lan",
        "SERTK_EDGE_HTTP_TOKEN_FILE": "t",
        "SERTK_EDGE_SOURCE_STALL_S": "4.5",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    found = settings()
    assert found.bundle.allow_new_labels and found.http.allowed_hosts == ("a.lan", "b.lan")
    assert found.http.token_file == Path("t") and found.source.stall_s == 4.5


def test_an_empty_variable_is_none(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERTK_EDGE_HTTP_PORT", "")
    assert settings(file).http.port == 1


def test_a_home_is_found_wherever_a_path_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SERTK_EDGE_DEVICE_STATE_DIR", "~/state")
    monkeypatch.setenv("SERTK_EDGE_SINKS", "webhook,url=http://x/,token_file=~/hook")
    path = tmp_path / "home.toml"
    path.write_text('[http]\ntoken_file = "~/page"\n[source]\nsource = "~/talk.wav"\n')
    found = settings(path)
    assert found.http.token_file == tmp_path / "page"
    assert found.device.state_dir == tmp_path / "state"
    assert found.source.path == tmp_path / "talk.wav"
    (sink,) = configured(found.sinks).values()
    assert fields_of(sink)["token_file"] == str(tmp_path / "hook")
    # Nobody has that name: who opens the file says so.
    assert settings(None, "--http-tls-key", "~nobody9/x").http.tls_key == Path("~nobody9/x")


def test_a_flag_turns_off_what_the_file_turned_on(tmp_path: Path) -> None:
    path = tmp_path / "on.toml"
    path.write_text("[source]\nrealtime = true\n")
    assert settings(path).source.realtime
    assert not settings(path, "--no-realtime").source.realtime


WRONG_FILES = (
    ("[http]\nport = 70000", "'http.port' expects -1 to 65535, received 70000"),
    ("[http]\nport = 'x'", "'http.port' expects a whole number, received 'x'"),
    ("[http]\nallowed_hosts = 'pi.lan'", "'http.allowed_hosts' expects a list, received 'pi.lan'"),
    ("[http]\ntoken_file = 3", "'http.token_file' expects a path, received 3"),
    ("[bundle]\nwatch_s = 'x'", "'bundle.watch_s' expects a number, received 'x'"),
    ("[bundle]\nallow_new_labels = 1", "expects true or false, received 1"),
    ("[device]\nname = 3", "'device.name' expects text, received 3"),
    ("[http]\nprot = 1", "'http' has no parameter 'prot'"),
    ("[htp]\nport = 1", "no table 'htp'"),
    ("http = 3", r"\[http\] expects a table"),
    ("[stream]\ngate = 'fence'", "expects one of auto, silero, energy, off"),
    ("[stream\n", "'bad.toml' is not TOML"),
    ("[sink]\nname = 'x'", r"\[\[sink\]\]"),
    ("[[sink]]\nhost = 'x'", r"\[\[sink\]\]"),
)


def test_a_wrong_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    for text, message in WRONG_FILES:
        path.write_text(text)
        with pytest.raises(WrongUsageError, match=message):
            settings(path)


WRONG_VARIABLES = (
    ("SERTK_EDGE_HTTP_PORT", "x", "'SERTK_EDGE_HTTP_PORT'.*not a valid integer"),
    ("SERTK_EDGE_HTTP_PORT", "70000", "'http.port' expects -1 to 65535, received 70000"),
    ("SERTK_EDGE_HTP_PORT", "1", "'SERTK_EDGE_HTP_PORT' is no setting"),
    ("SERTK_EDGE_SOURCE_REALTIME", "maybe", "'maybe' is not a valid boolean"),
    ("SERTK_EDGE_CHECK", "1", "'SERTK_EDGE_CHECK' is no setting"),
    ("SERTK_EDGE_SINKS", "mqtt,host", "NAME,key=value"),
)


def test_a_wrong_variable_is_refused() -> None:
    for name, value, message in WRONG_VARIABLES:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(WrongUsageError, match=message) as caught:
                settings()
        assert "\n" not in str(caught.value)


def test_names_of_flags_and_variables_are_made_of_section_and_field() -> None:
    names = {}
    for section, kind in SECTIONS.items():
        for field in dataclasses.fields(kind):
            names[flag_of(section, field)] = variable_of(section, field.name)
    assert names["--http-port"] == "SERTK_EDGE_HTTP_PORT"
    assert names["--source"] == "SERTK_EDGE_SOURCE_SOURCE"
    assert len(names) == sum(len(dataclasses.fields(kind)) for kind in SECTIONS.values())


SOURCES = (
    ("mic", "microphone", (None, None, "")),
    ("mic:USB Audio", "microphone", ("USB Audio", None, "")),
    ("mic:2", "microphone", ("2", None, "")),
    ("-", "pcm", (None, None, "")),
    ("clip.wav", "file", (None, Path("clip.wav"), "")),
    ("wyoming:tcp://127.0.0.1:10300", "wyoming", (None, None, "tcp://127.0.0.1:10300")),
    ("wyoming:unix:///run/x.sock", "wyoming", (None, None, "unix:///run/x.sock")),
)


def test_a_source_is_one_text() -> None:
    for text, kind, rest in SOURCES:
        found = SourceSettings(source=text)
        assert (found.kind, (found.device, found.path, found.address)) == (kind, rest), text


def test_a_file_needs_no_page_unless_it_is_asked_for() -> None:
    assert settings(None, "--source", "x.wav").http_port == 0
    assert settings(None, "--source", "x.wav", "--realtime").http_port == 8642
    assert settings(None, "--source", "x.wav", "--http-port", "5").http_port == 5
    assert settings(None, "--http-port", "0").http_port == 0


def test_standard_input_is_live() -> None:
    assert settings(None, "--source", "-").live
    assert settings(None, "--source", "-").http_port == 8642


def test_it_knows_loopback() -> None:
    hosts = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "pi")
    found = [host for host in hosts if HttpSettings(host=host).is_loopback]
    assert found == ["127.0.0.1", "::1", "localhost"]


def test_a_sink_is_one_text() -> None:
    assert sink_of("mqtt, host=pi ,port=1") == ("mqtt", {"host": "pi", "port": "1"})
    assert sink_of("webhook,url=http://x/?a=b") == ("webhook", {"url": "http://x/?a=b"})
