"""Every setting: flags over environment over TOML file over defaults.

Each section is a frozen dataclass, and each field is at once a key of the file, a flag and a
variable: `[http] port = 8642`, `--http-port 8642`, `SERTK_EDGE_HTTP_PORT=8642`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.validate import bounds

MIB = 1 << 20
DEFAULT_PORT = 8642
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
PIPE = "Pipe the sound in: ffmpeg -i ADDRESS -f s16le -ar 16000 -ac 1 - | sertk … --source -"
Kind = Literal["microphone", "file", "pcm", "wyoming"]


class WrongUsageError(SertkError):
    """An option, variable, key or parameter that is wrong whatever the machine is like."""

    # As click's own; the unit of the service is not started again after it.
    exit_code = 2


@contextlib.contextmanager
def usage() -> Iterator[None]:
    """Turn what a user can fix in here into WrongUsageError."""
    try:
        yield
    except SertkError as error:
        raise WrongUsageError(error.problem, error.todo) from error


def setting(default: Any, about: str, flag: str = "", least: float = 0, most: float = 1e9) -> Any:
    """Return a field with its help text; `flag` replaces the name made of section and field.

    `least` and `most` bound numbers.
    """
    metadata = {"about": about, "flag": flag, **bounds(least, most)}
    return dataclasses.field(default=default, metadata=metadata)


def expanded(path: str | Path) -> Path:
    """Return a path with `~` and `~USER` replaced, as a shell does it."""
    with contextlib.suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)


def is_loopback(host: str) -> bool:
    """Say whether an address is this machine's own, so that no other can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class BundleSettings:
    """The bundle in use, and which may replace it."""

    file: Path | None = setting(None, "The bundle; the argument BUNDLE goes before it.", "-")
    directory: Path | None = setting(
        None, "Bundles are read from this folder alone; default: that of the first one."
    )
    public_key: Path | None = setting(
        None, "Accept only bundles that this public key (PEM) has signed.", "--require-signature"
    )
    watch_s: float = setting(2.0, "Seconds between checks for a changed file; 0: only on SIGHUP.")
    allow_new_labels: bool = setting(False, "Let a new bundle have other emotions than the last.")
    max_bytes: int = setting(128 * MIB, "Largest bundle that is read, in bytes.", least=1)
    threads: int = setting(1, "Threads of the network.", least=1, most=64)


@dataclass(frozen=True)
class SourceSettings:
    """Where the sound comes from."""

    source: str = setting(
        "mic",
        "mic, mic:NAME-OR-INDEX, - (PCM on standard input), a WAV or FLAC file, "
        "wyoming:tcp://HOST:PORT or wyoming:unix:///PATH.",
        "--source",
    )
    realtime: bool = setting(False, "Read a file in real time.", "--realtime")
    repeat: bool = setting(False, "Read a file over and over.", "--repeat")
    rate_hz: int = setting(
        0, "Sample rate; 0: that of the device, 16000 for PCM.", "--rate-hz", most=384_000
    )
    channels: int = setting(
        0, "Channels; 0: those of the device, at most 2; 1 for PCM.", "--channels", most=32
    )
    allow_network: bool = setting(
        False, "Let Wyoming clients of other machines connect; anyone there can send sound."
    )
    stall_s: float = setting(
        3.0, "Seconds without samples after which a microphone is opened again.", least=0.5
    )

    def __post_init__(self) -> None:
        scheme, found, _ = self.source.partition("://")
        if found and self.kind == "file" and SCHEME.fullmatch(scheme):
            todo = "Give the path alone" if scheme == "file" else PIPE
            raise SertkError(f"addresses of {scheme}:// are not supported as a source", todo)

    @property
    def kind(self) -> Kind:
        """Return what the text of `source` stands for."""
        if self.source == "mic" or self.source.startswith("mic:"):
            return "microphone"
        if self.source.startswith("wyoming:"):
            return "wyoming"
        return "pcm" if self.source == "-" else "file"

    @property
    def device(self) -> str | None:
        """Return the microphone's name or index; None is the default one."""
        return self.source.partition(":")[2] or None if self.kind == "microphone" else None

    @property
    def path(self) -> Path | None:
        """Return the file to read."""
        return expanded(self.source) if self.kind == "file" else None

    @property
    def address(self) -> str:
        """Return where to listen for Wyoming events: tcp://HOST:PORT or unix:///PATH."""
        return self.source.removeprefix("wyoming:") if self.kind == "wyoming" else ""


@dataclass(frozen=True)
class StreamSettings:
    """From sound to predictions: what is speech, and how often it is classified."""

    gate: Literal["auto", "silero", "energy", "off"] = setting(
        "auto",
        "Voice activity detector; auto: silero where it works, else energy.",
        "--gate",
    )
    speech_threshold: float = setting(0.5, "Probability from which silero detects speech.", most=1)
    hop_s: float = setting(
        0.5, "Seconds between windows of one utterance.", "--hop-s", least=0.01, most=60
    )
    pre_roll_s: float = setting(
        0.2, "Seconds of sound kept from before speech is detected.", most=2
    )
    hangover_s: float = setting(
        0.6, "Seconds of silence that end an utterance.", least=0.1, most=10
    )
    min_speech_s: float = setting(
        0.25, "Utterances with fewer seconds of speech are not classified.", most=2
    )
    min_level_dbfs: float = setting(
        1.0,
        "Level in dBFS below which speech is `uncertain`; -90: none is; above 0: 6 dB below what "
        "the bundle was trained on.",
        least=-90,
        most=1,
    )
    gain_db: float = setting(
        0.0, "Amplify the sound of the source by so many dB.", least=-60, most=60
    )


@dataclass(frozen=True)
class SmoothingSettings:
    """From predictions to events."""

    tau_s: float = setting(1.0, "Time constant of the exponential smoothing in seconds; 0: none.")
    hysteresis: float = setting(
        0.1, "How much more probable another emotion must be to replace one.", most=1
    )
    min_duration_s: float = setting(
        0.5, "Seconds of speech for which another emotion must lead before it replaces one."
    )
    refractory_s: float = setting(1.0, "Seconds after a change of emotion without another change.")
    end_after_s: float = setting(2.0, "Seconds of silence after which an emotion has ended.")
    uncertain_below: float = setting(
        -1.0,
        "Confidence below which a prediction is `uncertain`; below 0: the bundle's own.",
        least=-1,
        most=1,
    )


@dataclass(frozen=True)
class HttpSettings:
    """The page and the interface for programs."""

    host: str = setting("127.0.0.1", "Address to listen on; any but loopback needs a token.")
    port: int = setting(
        -1, "Port; 0: no HTTP; -1: 8642, none for a file without --realtime.", least=-1, most=65535
    )
    token_file: Path | None = setting(None, "File with the token that requests must carry.")
    tls_cert: Path | None = setting(None, "Certificate chain (PEM).")
    tls_key: Path | None = setting(None, "Private key of the certificate (PEM).")
    allowed_hosts: tuple[str, ...] = setting((), "Further host names that requests may use.")
    allowed_origins: tuple[str, ...] = setting(
        (), "Further origins of the page, such as https://kitchen.local of a proxy."
    )
    trusted_proxies: tuple[str, ...] = setting(
        (), "Addresses or networks whose X-Forwarded-For and X-Forwarded-Proto are believed."
    )
    max_body_bytes: int = setting(10 * MIB, "Largest request body.", least=1)
    max_audio_s: float = setting(
        300.0, "Longest recording that is classified, in seconds.", least=0.1
    )
    requests_per_minute: int = setting(60, "Recordings classified per minute and client.", least=1)
    max_connections: int = setting(64, "Connections at once.", least=1)
    max_connections_per_client: int = setting(
        16,
        "Connections of one client at once; this machine and trusted proxies have no limit.",
        least=1,
    )
    max_streams: int = setting(8, "Event streams and sockets at once.", least=1)
    header_timeout_s: float = setting(
        10.0, "Seconds for the first line and headers of a request.", least=0.1
    )
    body_timeout_s: float = setting(30.0, "Seconds for the body of a request.", least=0.1)
    write_timeout_s: float = setting(
        10.0, "Seconds for a client to read what is written.", least=0.1
    )

    @property
    def is_loopback(self) -> bool:
        """Say whether only this machine can connect."""
        return is_loopback(self.host)


@dataclass(frozen=True)
class DeviceSettings:
    """The name of the device, and where undelivered events are kept."""

    name: str = setting("", "Name shown to people; default: the host's name.", "--name")
    id: str = setting("", "Stable id for programs; default: made once, kept in the state folder.")
    state_dir: Path | None = setting(
        None,
        "Folder for undelivered events; default: $STATE_DIRECTORY, else ~/.local/state/sertk.",
        "--state-dir",
    )
    spool_events: int = setting(
        10_000, "Undelivered events kept; the oldest are dropped first.", least=1
    )


@dataclass(frozen=True)
class LogSettings:
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Lowest level that is logged."
    )
    format: Literal["auto", "text", "json", "journal"] = setting(
        "auto", "auto: journal under systemd, else text."
    )


@dataclass(frozen=True)
class DebugSettings:
    """What must never be on by accident."""

    audio_dir: Path | None = setting(
        None, "WRITE ALL AUDIO to WAV files here. For finding faults only."
    )


@dataclass(frozen=True)
class Settings:
    """All sections; `sinks` are (name, parameters) pairs, in order."""

    bundle: BundleSettings = BundleSettings()
    source: SourceSettings = SourceSettings()
    stream: StreamSettings = StreamSettings()
    smoothing: SmoothingSettings = SmoothingSettings()
    http: HttpSettings = HttpSettings()
    device: DeviceSettings = DeviceSettings()
    log: LogSettings = LogSettings()
    debug: DebugSettings = DebugSettings()
    sinks: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    @property
    def live(self) -> bool:
        """Say whether sound is classified while it is recorded, as from standard input too."""
        return self.source.kind != "file" or self.source.realtime

    @property
    def http_port(self) -> int:
        """Return the port to listen on; 0 for none."""
        if self.http.port >= 0:
            return self.http.port
        return DEFAULT_PORT if self.live else 0


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
