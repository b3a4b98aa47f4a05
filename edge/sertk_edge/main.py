"""From settings to a running daemon, and to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path

from ser_toolkit.runtime.events import Device, Sink

from . import __version__
from .audio.vad import detectors
from .bundle.loader import LoadedBundle
from .bundle.watcher import BundleWatcher
from .daemon import Daemon, Parts
from .delivery.dispatcher import Dispatcher
from .delivery.event_queue import EventQueue
from .events import EventDraft
from .http.app import Server, serve
from .http.backend import Backend
from .http.metrics import Metrics
from .service import logs
from .service.identity import ReadOnlyFolderError, device_id, name_of, prepared, state_dir
from .service.process_signals import ProcessSignals
from .service.systemd_notify import systemd_notifier
from .service.worker_thread import in_thread
from .settings import Settings, WrongUsageError
from .sinks.base import StdoutClosedError
from .sinks.sink_factory import sinks_of
from .sources import open_source

# All of the end after SIGTERM takes less than a second.
DRAIN_STOPPED_S = 0.4
# After a file there is time for a broker to come back.
DRAIN_ENDED_S = 10.0
STOP_S = 0.1

log = logs.log("main")


def run(settings: Settings) -> int:
    """Serve until the source ends or a signal comes; the exit status. Raises SertkError."""
    logs.setup(settings.log)
    with contextlib.suppress(StdoutClosedError):
        return asyncio.run(_serve(settings))
    return 0


def bundle_of(settings: Settings) -> Path:
    """Return the bundle's path; WrongUsageError where none is named."""
    if settings.bundle.file is None:
        raise WrongUsageError("no bundle", "Run `sertk serve-edge BUNDLE`, or set [bundle] file")
    return settings.bundle.file


def state_folder(settings: Settings, sinks: dict[str, Sink]) -> Path | None:
    """Return where events wait; None where nothing has to outlive the process.

    One that cannot be written to is no reason to end: the queue tells of it, and tries again.
    """
    durable = any(sink.durable for sink in sinks.values())
    if not durable and settings.device.state_dir is None:
        return None
    folder = state_dir(settings.device)
    with contextlib.suppress(ReadOnlyFolderError):
        prepared(folder)
    return folder


def service_folder(settings: Settings) -> Path | None:
    """Return the state folder of a service, which has one though no event may wait in it."""
    return state_dir(settings.device) if os.environ.get("STATE_DIRECTORY") else None


async def _serve(settings: Settings) -> int:
    signals = ProcessSignals()
    path, sinks = bundle_of(settings), sinks_of(settings.sinks)
    folder = state_folder(settings, sinks)
    watcher = BundleWatcher(path, settings.bundle, folder or service_folder(settings))
    signals.on_reload(watcher.nudge)
    with contextlib.closing(EventQueue(folder, settings.device.spool_events)) as event_queue:
        live = await signals.unless_stopped(in_thread(watcher.first, "bundle"))
        if live is None:
            return 0
        return await _listen(_parts(settings, sinks, folder, event_queue, live, watcher), signals)


def _parts(
    settings: Settings,
    sinks: dict[str, Sink],
    folder: Path | None,
    event_queue: EventQueue,
    live: LoadedBundle,
    watcher: BundleWatcher,
) -> Parts:
    identity, name = device_id(settings.device, folder), name_of(settings.device)

    def device(of: LoadedBundle) -> Device:
        manifest = of.classifier.manifest
        return Device(identity, name, manifest.labels, manifest.name, __version__)

    delivery = Dispatcher(sinks, device(live), event_queue)
    _end_what_went_on(event_queue)
    return Parts(
        settings,
        device,
        live,
        watcher,
        event_queue,
        delivery,
        open_source(settings.source),
        detectors(settings.stream),
        Metrics(delivery.statuses),
        systemd_notifier(),
    )


def _end_what_went_on(event_queue: EventQueue) -> None:
    """End the emotion that a killed daemon left open: who keeps a state waits for it."""
    last = event_queue.last
    if last is not None and last.kind != "ended":
        now_s = round(time.time(), 3)
        event_queue.append(
            EventDraft("ended", now_s, 0.0, last.label, last.probabilities, last.level_dbfs)
        )


async def _listen(parts: Parts, signals: ProcessSignals) -> int:
    daemon = Daemon(parts)
    server = await _http(daemon, parts)
    parts.delivery.start()
    _greet(parts, server)
    try:
        await signals.unless_stopped(daemon.run())
    finally:
        parts.system.stopping()
        await daemon.finish()
        closing = [] if server is None else [server.close()]
        await asyncio.gather(_drain(parts.delivery, signals), *closing)
        parts.delivery.stop(STOP_S)
        lost = _part(parts)
    # The sound may end before the daemon has seen that nobody reads.
    parts.delivery.check()
    return 1 if lost and not signals.stopped else 0


async def _drain(delivery: Dispatcher, signals: ProcessSignals) -> None:
    """Deliver what waits; a signal cuts the long time short."""
    if not signals.stopped:
        ended = in_thread(lambda: delivery.drain(DRAIN_ENDED_S), "drain")
        await signals.unless_stopped(ended)
    if signals.stopped:
        await in_thread(lambda: delivery.drain(DRAIN_STOPPED_S), "drain")


async def _http(daemon: Daemon, parts: Parts) -> Server | None:
    if not parts.settings.http_port:
        return None
    backend = Backend(
        model=daemon.daemon_status.model,
        state=daemon.daemon_status.state,
        ready=daemon.daemon_status.ready,
        hub=daemon.hub,
        classify=daemon.handlers.classify,
        listen=daemon.handlers.listen,
    )
    http = replace(parts.settings.http, port=parts.settings.http_port)
    return await serve(backend, http, parts.metrics)


def _greet(parts: Parts, server: Server | None) -> None:
    manifest = parts.live.classifier.manifest
    log.info("bundle in use", name=manifest.name, labels=",".join(manifest.labels))
    if server is not None:
        log.info("page", url=url_of(parts.settings, server.port))
    if parts.settings.source.allow_network and parts.settings.source.kind == "wyoming":
        log.warning("any machine in the network can send sound, because source.allow_network is on")
    if (folder := parts.settings.debug.audio_dir) is not None:
        log.warning(
            "ALL AUDIO IS WRITTEN TO DISK, because debug.audio_dir is set",
            folder=str(folder),
        )


def url_of(settings: Settings, port: int) -> str:
    """Return where the page is."""
    http = settings.http
    host = f"[{http.host}]" if ":" in http.host else http.host
    return f"{'https' if http.tls_cert else 'http'}://{host}:{port}/"


def _part(parts: Parts) -> int:
    """Say what was not delivered; how many events may be lost."""
    kept, lost = (parts.delivery.undelivered(durable) for durable in (True, False))
    stored = parts.event_queue.stored
    if kept and stored:
        log.warning("events wait in the state folder for the next start", count=kept)
    if lost:
        log.error("events were not delivered and are lost", count=lost)
    # How many a failing disk did not take, the queue logs when it is closed.
    return lost if stored else lost + kept
