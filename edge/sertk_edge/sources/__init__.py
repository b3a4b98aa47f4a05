"""Where the sound comes from: microphone, file, standard input, Wyoming clients."""

from __future__ import annotations

from ..settings import SourceSettings
from .base import Chunk, Gap, Source, Status
from .file import FileSource
from .microphone import InputDevice, Microphone, list_devices
from .pcm import PcmSource

__all__ = [
    "Chunk",
    "FileSource",
    "Gap",
    "InputDevice",
    "Microphone",
    "PcmSource",
    "Source",
    "Status",
    "list_devices",
    "open_source",
]


def open_source(settings: SourceSettings) -> Source:
    """Return the source that the settings name. Raises SertkError for what can be seen at once."""
    if settings.path is not None:
        return FileSource(settings.path, settings.realtime, settings.repeat)
    if settings.kind == "pcm":
        return PcmSource(settings.rate_hz, settings.channels)
    if settings.kind == "wyoming":
        # Imported here because the library costs memory that most daemons need not pay.
        from .wyoming import WyomingSource

        return WyomingSource(settings.address, settings.stall_s, settings.allow_network)
    return Microphone(settings.device, settings.rate_hz, settings.channels, settings.stall_s)
