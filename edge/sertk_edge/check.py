"""`sertk serve-edge --check`: everything that can be wrong before the daemon listens."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ser_toolkit import Plugins
from ser_toolkit.runtime.audio.level import decibels
from ser_toolkit.runtime.component import fields_of
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.events import Sink

from .audio.vad import detectors, level_dbfs
from .audio.wav_recorder import WavRecorder
from .bundle.loader import load, read
from .http.app import OPTIONS
from .http.app import check as check_http
from .main import bundle_of, url_of
from .service import ports
from .service.identity import device_id, prepared, state_dir
from .service.ports import AddressInUseError
from .settings import Settings, usage
from .settings_loader import SinkChoice
from .sinks.base import InspectableSink
from .sinks.sink_factory import plugins_of, sinks_of
from .sources import Microphone, open_source

HEARD_S = 1.0


@dataclass(frozen=True)
class ReadinessCheck:
    """One thing that must hold; `look` returns what it found, or raises SertkError."""

    name: str
    look: Callable[[], str]


def run_checks(settings: Settings, say: Callable[[str], None]) -> int:
    """Look at everything, say a line for each, and give the exit status: the highest of all."""
    status = 0
    for check in _checks(settings):
        try:
            say(f"ok       {check.name:8}  {check.look()}")
        except AddressInUseError as error:
            # So it is whenever the service runs, about which there is nothing to do.
            held = f"{error.problem}; right while the service runs. Else: {error.todo}"
            say(f"taken    {check.name:8}  {held}")
        except (SertkError, OSError) as error:
            status = max(status, error.exit_code if isinstance(error, SertkError) else 1)
            say(f"problem  {check.name:8}  {' '.join(str(error).split())}")
    return status


def _checks(settings: Settings) -> Iterator[ReadinessCheck]:
    yield ReadinessCheck("bundle", lambda: _bundle(settings))
    yield ReadinessCheck("source", lambda: _source(settings))
    yield ReadinessCheck("gate", lambda: type(detectors(settings.stream)()).__name__.lower())
    plugins = functools.cache(lambda: plugins_of(settings.sinks))
    for sink in settings.sinks:
        yield ReadinessCheck("sink", lambda one=sink: _sink(one, plugins()))  # type: ignore[misc]
    yield ReadinessCheck("state", lambda: _state(settings, plugins))
    yield ReadinessCheck("http", lambda: _http(settings))
    yield ReadinessCheck("privacy", lambda: _privacy(settings))


def _bundle(settings: Settings) -> str:
    live = load(read(bundle_of(settings), settings.bundle), settings.bundle)
    manifest = live.classifier.manifest
    signed = ", signed" if live.signed else ""
    runtime = live.classifier.network.runtime
    return (
        f"{manifest.name}: {', '.join(manifest.labels)}; self-test passed on "
        f"{runtime.name} {runtime.version}{signed}"
    )


def _source(settings: Settings) -> str:
    source = open_source(settings.source)
    source.check()
    if not isinstance(source, Microphone):
        return source.status.name
    # One that is not named may yet be plugged in; the daemon waits for it.
    with usage() if settings.source.device else contextlib.nullcontext():
        chunk = asyncio.run(source.record(HEARD_S))
    level, peak = level_dbfs(chunk.samples), decibels(float(np.abs(chunk.samples).max()) ** 2)
    silent = "; nothing but zeros: is it muted?" if not chunk.samples.any() else ""
    heard = f"level of {HEARD_S:g} s {level:.0f} dBFS, peak {peak:.0f} dBFS{silent}"
    return f"{source.status.name}, {source.status.detail}; {heard}"


def _sink(wanted: SinkChoice, plugins: Plugins) -> str:
    for sink in sinks_of((wanted,), plugins).values():
        _read_files(sink)
        if isinstance(sink, InspectableSink):
            sink.inspect()
    return f"{wanted[0]}, not connected to now"


def _read_files(sink: Sink) -> None:
    """Raise OSError where a file that a sink reads when it connects is not there."""
    for name, value in fields_of(sink).items():
        if name.endswith("_file") and value:
            Path(value).open("rb").close()


def _state(settings: Settings, plugins: Callable[[], Plugins]) -> str:
    device_id(settings.device, None)
    if settings.device.state_dir is None and not _is_durable(settings, plugins):
        return "nothing needs to be kept"
    return f"{prepared(state_dir(settings.device))}, {settings.device.spool_events} events at most"


def _is_durable(settings: Settings, plugins: Callable[[], Plugins]) -> bool:
    try:
        return any(sink.durable for sink in sinks_of(settings.sinks, plugins()).values())
    except SertkError:
        # What is wrong with a sink has its own line.
        return False


def _http(settings: Settings) -> str:
    if not settings.http_port:
        return "off"
    check_http(settings.http)
    ports.check(settings.http.host, settings.http_port, OPTIONS)
    token = ", with a token" if settings.http.token_file else ""
    return url_of(settings, settings.http_port) + token


def _privacy(settings: Settings) -> str:
    folder = settings.debug.audio_dir
    if folder is None:
        return "no audio is written or sent"
    WavRecorder(folder).check()
    return f"ALL AUDIO IS WRITTEN TO {folder}"
