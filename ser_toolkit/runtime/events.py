"""Define the events of the daemon, and the sinks that deliver them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from .component import Component

Kind = Literal["started", "changed", "ended"]


@dataclass(frozen=True)
class Event:
    """A change of the predicted emotion.

    A consumer that drops ids it has seen gets each event once, in order.

    Attributes:
        id: Stable across redelivery.
        sequence: Counts up, across restarts too.
        kind: `started`, `changed` or `ended`.
        time_s: Unix time, which jumps when a clock is set.
        offset_s: Seconds of audio since the source was opened, which never jump.
        label: An emotion or `uncertain`; of `ended`, the one that ended.
        probabilities: The average that the label rests on, rounded, by emotion; they sum to 1.
        level_dbfs: Speech level of the audio that the label rests on; 0 is full scale.
        reason: Why the label is `uncertain`: `low_confidence`, `too_quiet` or `too_loud`; else
            empty.
    """

    id: str
    sequence: int
    kind: Kind
    time_s: float
    offset_s: float
    label: str
    probabilities: Mapping[str, float]
    level_dbfs: float
    reason: str = ""


@dataclass(frozen=True)
class Device:
    """The device that predicts: what a sink may need to introduce itself.

    Attributes:
        id: Letters, digits, `-` and `_`, the same after every start.
        name: For people to read.
        labels: The emotions of the bundle, without `uncertain`.
        model: The bundle's name.
        version: That of the daemon.
    """

    id: str
    name: str
    labels: tuple[str, ...]
    model: str
    version: str


@dataclass(frozen=True)
class DeviceStatus:
    """How the device is at the moment.

    Attributes:
        newest: The newest event, which may wait to be delivered like older ones; None: there is
            none yet.
        problem: Why no sound arrives, in one line; empty while it does.
    """

    newest: Event | None = None
    problem: str = ""


class Outlet:
    """An open sink; one thread uses it, from `Sink.open` to `close`."""

    def deliver(self, event: Event) -> None:
        """Deliver one event, in order; return only when it was taken, else raise.

        After an exception the outlet is closed, a new one is opened, and the same event comes
        again, with the same `id`.
        """
        raise NotImplementedError

    def refresh(self, status: DeviceStatus) -> None:
        """Show how the device is, where that is shown; raise where the connection is lost.

        Called after `Sink.open`, before each event, where `status.problem` changes, and about once
        a second while there is no event. An exception is treated as one of `deliver`.
        """

    def close(self) -> None:
        """Release what `Sink.open` took; called once, after a failure too."""


class Sink(Component):
    """Deliver events: a frozen description of where to, which `open` turns into an outlet.

    A sink with `durable = False` gets only events from while the daemon runs; for others, events
    are kept until they were taken, over restarts too. They wait for what the fields in
    `identified_by` name, and go nowhere else; empty: for all fields as they are. Events that are
    older than `max_age_s` are not delivered; 0: all are, however old.
    """

    edge_ready: ClassVar[bool] = True
    durable: ClassVar[bool] = True
    identified_by: ClassVar[tuple[str, ...]] = ()
    max_age_s: float = 0.0

    def check(self) -> None:
        """Raise SertkError for parameters that can never work; called before anything starts."""

    def open(self, device: Device) -> Outlet:
        """Connect, or raise; the daemon tries again later."""
        raise NotImplementedError
