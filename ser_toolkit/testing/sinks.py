"""Check sinks, with a receiver of their events."""

from __future__ import annotations

import contextlib
import copy
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ..runtime.events import DeviceStatus, Event, Outlet, Sink
from . import signals
from .check import Check, CheckFailed, expect
from .compare import raised
from .given import Given, Peer

SOON_S = 1.0
TAKEN = "Return from deliver only when the event was taken: flush, or wait for the answer"


def sink_checks(component: Sink, given: Given) -> Iterator[Check]:
    """Yield the checks of a sink, without those of every component."""
    table: dict[str, tuple[str, Callable[[Peer], None]]] = {
        "delivers": ("an event has arrived when deliver returns", _delivers),
        "in_order": ("events arrive in the order in which they were given", _in_order),
        "reopened": ("what was delivered stays when the sink is opened again", _reopened),
        "refusal": ("deliver raises where the event is not taken", _refusal),
        "redelivery": ("after a refusal the same event arrives, and those after it", _redelivery),
        "closes": ("close never raises, after a failure either", _closes),
        "event_unchanged": ("the event stays as it was", _unchanged),
    }
    for name, (about, run) in table.items():
        yield Check(name, about, partial(_with_peer, run, component, given))


def _with_peer(run: Callable[[Peer], None], component: Sink, given: Given) -> None:
    with given.peer(component) as peer:
        run(peer)


@contextlib.contextmanager
def opened(sink: Sink) -> Iterator[Outlet]:
    """Open, refresh and close an outlet as the daemon does: errors of close are ignored."""
    sink.check()
    outlet = sink.open(signals.DEVICE)
    expect(
        isinstance(outlet, Outlet),
        "open(device) to return an Outlet",
        type(outlet).__name__,
        "Derive it from ser_toolkit.Outlet, with deliver(event) and close()",
    )
    try:
        outlet.refresh(DeviceStatus())
        yield outlet
    finally:
        with contextlib.suppress(Exception):
            outlet.close()


def arrived(peer: Peer, wanted: Sequence[Event]) -> list[str]:
    """Return the ids at the peer, each once: when all wanted have arrived, or time is up."""
    ids = {event.id for event in wanted}
    end = time.monotonic() + SOON_S
    while not ids <= set(peer.received()) and time.monotonic() < end:
        time.sleep(0.01)
    return list(dict.fromkeys(peer.received()))


def check_there(peer: Peer, wanted: Sequence[Event], when: str, todo: str) -> None:
    """Require that events have reached the peer.

    Args:
        peer: The receiver.
        wanted: The events.
        when: After what, for the message.
        todo: What the author of the sink can do.
    """
    found = arrived(peer, wanted)
    missing = [event.id for event in wanted if event.id not in found]
    expected = f"{', '.join(event.id for event in wanted)} at the other end {when}"
    expect(not missing, expected, f"no {', '.join(missing)}", todo)


def _delivers(peer: Peer) -> None:
    with opened(peer.sink) as outlet:
        for event in signals.events(3):
            outlet.deliver(event)
            check_there(peer, [event], "when deliver returned", TAKEN)
    found = Counter(peer.received())
    twice = [name for name, times in found.items() if times > 1]
    todo = "Send it once: the daemon sends it again where deliver raises, and only there"
    expect(not twice, "each event once while all of them are taken", ", ".join(twice), todo)


def _in_order(peer: Peer) -> None:
    events = signals.events(6)
    with opened(peer.sink) as outlet:
        for event in events:
            outlet.deliver(event)
    check_there(peer, events, "after they were given at once", "Leave out none, however close")
    wanted = [event.id for event in events]
    found = [name for name in arrived(peer, events) if name in wanted]
    todo = "Send one event after the other: no threads, no pool, no sorting"
    expect(found == wanted, f"the order {', '.join(wanted)}", ", ".join(found), todo)


def _reopened(peer: Peer) -> None:
    events = signals.events(4)
    for half in (events[:2], events[2:]):
        with opened(peer.sink) as outlet:
            for event in half:
                outlet.deliver(event)
    todo = "Append: a sink is opened again after every failure, and after every start"
    check_there(peer, events, "after it was closed and opened again", todo)


def _refusal(peer: Peer) -> None:
    before, refused = signals.events(2)
    with opened(peer.sink) as outlet:
        outlet.deliver(before)
        with peer.refusing():
            try:
                outlet.deliver(refused)
            except Exception:
                return
    raise CheckFailed(
        "deliver to raise while nothing is taken at the other end",
        "no error: the event would be lost",
        "Let errors out of deliver, and check what the other end answers; the daemon tries again",
    )


def _redelivery(peer: Peer) -> None:
    before, refused, after = signals.events(3)
    with opened(peer.sink) as outlet:
        outlet.deliver(before)
        with peer.refusing(), contextlib.suppress(Exception):
            outlet.deliver(refused)
    try:
        with opened(peer.sink) as outlet:
            outlet.deliver(refused)
            outlet.deliver(after)
    except Exception as error:
        raise CheckFailed(
            "a new outlet to deliver after a refusal",
            raised(error),
            "Keep nothing of a failure outside of the outlet, and let open connect anew",
        ) from error
    todo = "Send every event that you are given, also one whose id has been tried before"
    check_there(peer, [before, refused, after], "after a refusal", todo)


def _closes(peer: Peer) -> None:
    first, refused = signals.events(2)
    peer.sink.check()
    _close(peer.sink.open(signals.DEVICE), "that delivered nothing")
    outlet = peer.sink.open(signals.DEVICE)
    outlet.deliver(first)
    with peer.refusing():
        with contextlib.suppress(Exception):
            outlet.deliver(refused)
        _close(outlet, "whose delivery failed")


def _close(outlet: Outlet, which: str) -> None:
    try:
        outlet.close()
    except Exception as error:
        raise CheckFailed(
            f"close of an outlet {which} not to raise",
            raised(error),
            "Close what is open, and ignore what is not",
        ) from error


def _unchanged(peer: Peer) -> None:
    (event,) = signals.events(1)
    before = copy.deepcopy(event)
    with opened(peer.sink) as outlet:
        outlet.deliver(event)
    expect(
        event == before,
        f"event.probabilities to stay {dict(before.probabilities)}",
        f"{dict(event.probabilities)}",
        "Work on a copy: dict(event.probabilities); other sinks get the same event",
    )
