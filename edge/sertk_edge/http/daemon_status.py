"""What the daemon reports of itself: its model, its state, whether it is ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from ser_toolkit.runtime.bundle.manifest import Manifest
from ser_toolkit.runtime.inference.streaming import window_at

from ..audio.live_state import CurrentEmotion, LevelMeter
from ..bundle.loader import LoadedBundle
from ..bundle.watcher import RejectedBundle
from ..delivery.sink_worker import SinkStatus
from ..settings import Settings
from ..sources.base import Source
from .backend import Json


class DaemonStatus:
    """The parts that change, in one place; the event loop's thread alone uses it."""

    def __init__(
        self,
        settings: Settings,
        live: LoadedBundle,
        source: Source,
        sinks: Callable[[], Sequence[SinkStatus]],
        queue_problem: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._sinks = sinks
        self._queue_problem = queue_problem
        self.live = live
        self.source = source
        self.rejected: RejectedBundle | None = None
        self.emotion = CurrentEmotion()
        self.meter = LevelMeter()

    def state(self) -> Json:
        """Return the live state."""
        status, problem = self.source.status, self._queue_problem()
        return {
            "time_s": round(time.time(), 3),
            **self.emotion.to_dict(),
            "level_dbfs": self.meter.level_dbfs,
            "peak_dbfs": self.meter.peak_dbfs,
            "clipping": self.meter.clipping,
            "model": self._model_state(),
            "source": {
                "kind": self.source.kind,
                "name": status.name,
                "state": status.state,
                "detail": status.detail,
            },
            "sinks": [self._sink(sink) for sink in self._sinks()],
            "spool": {"state": "problem" if problem else "ok", "detail": problem},
            "recording": self._settings.debug.audio_dir is not None,
        }

    def model(self) -> Json:
        """Return what answers at the moment, and the last file that may not."""
        live, manifest = self.live, self.live.classifier.manifest
        return {
            "name": manifest.name,
            "sha256": live.sha256,
            "labels": list(manifest.labels),
            "rate_hz": manifest.rate_hz,
            **self._window(manifest),
            "quantization": manifest.quantization.mode,
            "speech_level": None if (level := manifest.speech_level) is None else asdict(level),
            "runtime": asdict(live.classifier.network.runtime),
            "signed": live.signed,
            "loaded_time_s": round(live.loaded_time_s, 3),
            "figures": dict(manifest.figures),
            "training": dict(manifest.training),
            "rejected": None if self.rejected is None else asdict(self.rejected),
        }

    def ready(self) -> Json:
        """Say whether audio comes and events can be stored."""
        source = self.source.status.state
        problem = self._queue_problem()
        return {
            "ready": self.source.up or source == "ended",
            "model": "ok",
            "source": source,
            "spool": problem or "ok",
        }

    def _window(self, manifest: Manifest) -> dict[str, Any]:
        extractor = self.live.classifier.extractor
        window = window_at(manifest.window, extractor, self._settings.stream.hop_s)
        length = extractor.sample_count(window.length_frames)
        hop = window.hop_frames * extractor.hop_length
        return {
            "window_s": round(length / extractor.rate_hz, 4),
            "hop_s": round(hop / extractor.rate_hz, 4),
        }

    def _model_state(self) -> Json:
        which = {"name": self.live.classifier.manifest.name, "sha256": self.live.sha256}
        if self.rejected is None:
            return {**which, "state": "ok", "detail": ""}
        detail = f"{self.rejected.file} was not taken: {self.rejected.reason}"
        return {**which, "state": "rejected", "detail": detail}

    @staticmethod
    def _sink(sink: SinkStatus) -> Json:
        return {
            "name": sink.name,
            "state": sink.state,
            "pending": sink.pending,
            "dropped": sink.dropped,
            "detail": sink.detail,
        }
