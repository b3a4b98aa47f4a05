"""What the daemon is told: flags over environment over TOML file over defaults.

Each section is a frozen dataclass, and each field is at once a key of the file, a flag and a
variable: `[http] port = 8642`, `--http-port 8642`, `SERTK_EDGE_HTTP_PORT=8642`.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ser_toolkit.runtime.component import configure_fields
from ser_toolkit.runtime.errors import SertkError

PREFIX = "SERTK_EDGE_"
MIB = 1 << 20
Kind = Literal["microphone", "file", "pcm", "wyoming"]
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def setting(default: Any, about: str, flag: str = "") -> Any:
    """A field with its help text; `flag` replaces the name made of section and field."""
    return dataclasses.field(default=default, metadata={"about": about, "flag": flag})


@dataclass(frozen=True)
class BundleSettings:
    """Which bundle answers, and which may replace it."""

    directory: Path | None = setting(None, "Bundles are read from this folder alone.")
    public_key: Path | None = setting(
        None, "Accept only bundles that this public key (PEM) has signed.", "--require-signature"
    )
    watch_s: float = setting(2.0, "Look for a changed file this often; 0: only on SIGHUP.")
    allow_new_labels: bool = setting(False, "Let a new bundle have other emotions than the last.")
    threads: int = setting(1, "Threads of the network.")


@dataclass(frozen=True)
class SourceSettings:
    """Where the sound comes from."""

    source: str = setting(
        "mic",
        "mic, mic:NAME-OR-INDEX, - (PCM on standard input), a WAV or FLAC file, "
        "wyoming:tcp://HOST:PORT or wyoming:unix:///PATH.",
        "--source",
    )
    realtime: bool = setting(False, "Play a file at its own pace.", "--realtime")
    rate_hz: int = setting(0, "Sample rate; 0: the device's own, 16000 of PCM.", "--rate-hz")
    channels: int = setting(0, "Channels; 0: the device's own, 1 of PCM.", "--channels")
    stall_s: float = setting(3.0, "Open a microphone anew that gives nothing for so long.")

    @property
    def kind(self) -> Kind:
        """What the text of `source` stands for."""
        if self.source == "mic" or self.source.startswith("mic:"):
            return "microphone"
        if self.source.startswith("wyoming:"):
            return "wyoming"
        return "pcm" if self.source == "-" else "file"

    @property
    def device(self) -> str | None:
        """The microphone's name or index; None is the default one."""
        return self.source.partition(":")[2] or None if self.kind == "microphone" else None

    @property
    def path(self) -> Path | None:
        """The file to read."""
        return Path(self.source) if self.kind == "file" else None

    @property
    def address(self) -> str:
        """Where to listen for Wyoming events: tcp://HOST:PORT or unix:///PATH."""
        return self.source.removeprefix("wyoming:") if self.kind == "wyoming" else ""


@dataclass(frozen=True)
class StreamSettings:
    """From sound to judgements: what is speech, and how often it is judged."""

    gate: Literal["auto", "silero", "energy", "off"] = setting(
        "auto",
        "What tells speech from other sound; auto: silero where it works, else energy.",
        "--gate",
    )
    speech_threshold: float = setting(0.5, "Probability from which silero hears speech.")
    hop_s: float = setting(0.5, "Seconds between windows of one utterance.", "--hop-s")
    pre_roll_s: float = setting(0.2, "Sound kept from before speech is noticed.")
    hangover_s: float = setting(0.6, "Silence that ends an utterance.")
    min_speech_s: float = setting(0.25, "Shorter utterances are not judged.")


@dataclass(frozen=True)
class SmoothingSettings:
    """From judgements to events."""

    tau_s: float = setting(1.0, "Time constant of the exponential smoothing; 0: none.")
    hysteresis: float = setting(
        0.1, "How much more probable another emotion must be to replace one."
    )
    min_duration_s: float = setting(0.5, "Speech that must speak for an emotion before it counts.")
    refractory_s: float = setting(1.0, "No change of emotion for so long after a change.")
    end_after_s: float = setting(2.0, "Silence after which an emotion has ended.")
    uncertain_below: float = setting(
        -1.0, "Confidence below which the answer is `uncertain`; below 0: the bundle's own."
    )


@dataclass(frozen=True)
class HttpSettings:
    """The page and the interface for programs."""

    host: str = setting("127.0.0.1", "Address to listen on; any but loopback needs a token.")
    port: int = setting(8642, "Port; 0: no HTTP.")
    token_file: Path | None = setting(None, "File with the token that requests must carry.")
    tls_cert: Path | None = setting(None, "Certificate chain (PEM).")
    tls_key: Path | None = setting(None, "Private key of the certificate (PEM).")
    allowed_hosts: tuple[str, ...] = setting((), "Further names by which requests may call us.")
    max_body_bytes: int = setting(10 * MIB, "Largest request.")
    max_audio_s: float = setting(300.0, "Longest recording that is classified.")
    requests_per_minute: int = setting(60, "Recordings classified per minute and client.")
    max_connections: int = setting(64, "Connections at once.")
    max_streams: int = setting(8, "Event streams and sockets at once.")
    header_timeout_s: float = setting(10.0, "A request must have begun within.")
    body_timeout_s: float = setting(30.0, "A request must have arrived within.")
    write_timeout_s: float = setting(10.0, "A client must take what is written within.")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True)
class DeviceSettings:
    """What the daemon calls itself, and where it keeps what must not be lost."""

    name: str = setting("", "Name shown to people; default: the host's name.", "--name")
    id: str = setting("", "Stable id for programs; default: made once, kept in the state folder.")
    state_dir: Path | None = setting(
        None,
        "Folder for undelivered events; default: $STATE_DIRECTORY, else ~/.local/state/sertk.",
        "--state-dir",
    )
    spool_events: int = setting(10_000, "Undelivered events kept; the oldest go first.")


@dataclass(frozen=True)
class LogSettings:
    """What is said, and how."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "Least level.")
    format: Literal["auto", "text", "json", "journal"] = setting(
        "auto", "auto: journal under systemd, else text."
    )


@dataclass(frozen=True)
class DebugSettings:
    """What must never be on by accident."""

    audio_dir: Path | None = setting(
        None, "WRITE EVERYTHING THAT IS HEARD to WAV files here. For finding faults only."
    )


@dataclass(frozen=True)
class Settings:
    """All sections; `sinks` are (name, parameters) pairs, in order."""

    bundle_file: Path
    bundle: BundleSettings = BundleSettings()
    source: SourceSettings = SourceSettings()
    stream: StreamSettings = StreamSettings()
    smoothing: SmoothingSettings = SmoothingSettings()
    http: HttpSettings = HttpSettings()
    device: DeviceSettings = DeviceSettings()
    log: LogSettings = LogSettings()
    debug: DebugSettings = DebugSettings()
    sinks: tuple[tuple[str, Mapping[str, Any]], ...] = ()


SECTIONS: Mapping[str, type] = {
    "bundle": BundleSettings,
    "source": SourceSettings,
    "stream": StreamSettings,
    "smoothing": SmoothingSettings,
    "http": HttpSettings,
    "device": DeviceSettings,
    "log": LogSettings,
    "debug": DebugSettings,
}


def flag_of(section: str, field: dataclasses.Field[Any]) -> str:
    """The flag of a field: --section-field, unless it has a name of its own."""
    return field.metadata["flag"] or f"--{section}-{field.name}".replace("_", "-")


def variable_of(section: str, name: str) -> str:
    """The environment variable of a field."""
    return f"{PREFIX}{section}_{name}".upper()


def section_of(
    name: str, table: Mapping[str, Any], env: Mapping[str, str], flags: Mapping[str, Any]
) -> Any:
    """One section: flags over environment over file over defaults. Raises SertkError."""
    kind = SECTIONS[name]
    hints = typing.get_type_hints(kind)
    merged = dict(table)
    for field in dataclasses.fields(kind):
        variable = variable_of(name, field.name)
        if variable in env:
            merged[field.name] = from_text(env[variable], hints[field.name], variable)
        if (given := flags.get(f"{name}_{field.name}")) is not None:
            merged[field.name] = given
    ready = {key: _shaped(value, hints.get(key)) for key, value in merged.items()}
    return kind(**configure_fields(kind, ready, name))


def from_text(text: str, hint: Any, where: str) -> Any:
    """A value of a variable or a flag; what does not fit is refused by name."""
    kind = _plain(hint)
    try:
        if kind is bool:
            return _flag(text)
        if kind in (int, float):
            return kind(text)
    except ValueError:
        raise SertkError(f"'{where}' expects {kind.__name__}, received {text!r}") from None
    if typing.get_origin(hint) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _flag(text: str) -> bool:
    if text.lower() not in TRUE + FALSE:
        raise ValueError(text)
    return text.lower() in TRUE


def _plain(hint: Any) -> Any:
    """The type beside None in a union, else the hint."""
    inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    return inner[0] if type(None) in typing.get_args(hint) else hint


def _shaped(value: Any, hint: Any) -> Any:
    """Paths come as text; a list of names as a list."""
    return Path(value) if _plain(hint) is Path and isinstance(value, str) else value
