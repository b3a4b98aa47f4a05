"""SER Toolkit at the edge: a stream of audio in, windows for the network out."""

from .stream import AudioWindows

__all__ = ["AudioWindows"]
__version__ = "0.1.0"
