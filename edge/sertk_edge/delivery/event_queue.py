"""Where events wait until every sink has taken them: on disk, in memory while the disk fails."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import takewhile
from math import inf
from pathlib import Path

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.events import Event

from ..events import EventDraft, numbered
from ..service.error_text import error_text
from .event_store import RESERVE, Cursor, DamagedFileError, EventStore, StoredEvents

RETRY_S = 1.0
BATCH = 100
WARN_EVERY_S = 60.0
LOG = logging.getLogger(__name__)


class EventQueue:
    """The outbox: events with numbers that are never given twice, and how far each sink has come.

    What is in memory decides; the disk follows it within each call, as far as it can. Where it
    cannot (full, failing), events wait in memory, `problem` says so, and they reach the disk in
    order when it works again. No method raises for that. At `capacity` the oldest event is dropped
    and counted for each sink that has not had it.

    Numbers count up by one. A new numbering starts with the Unix time in milliseconds, so that a
    folder that was lost does not give numbers again; in an intact one the clock has no part in it.
    After a damaged database, or a crash while events were in memory, up to RESERVE are left out.

    Every method may be called from any thread. `pending`, `dropped` and `problem` never wait for
    the disk; `append` does.
    """

    def __init__(self, folder: Path | None, capacity: int = 10_000) -> None:
        self._lock = threading.RLock()
        self._news = threading.Condition(threading.Lock())
        self._disk = None if folder is None else EventStore(folder)
        self._capacity = max(1, capacity)
        self._cursors: dict[str, Cursor] = {}
        self._passing: set[str] = set()
        self._sequences: list[int] = []
        self._unsaved: dict[int, Event] = {}
        self._next = 0
        self._loaded = self._moved = self._closed = False
        self._retry_at = self._warn_at = -inf
        self._trouble = self._note = ""
        self._pending: Mapping[str, int] = {}
        self._dropped: Mapping[str, int] = {}
        self.last: Event | None = None
        self._begin()

    @property
    def problem(self) -> str:
        """Return what is wrong with the disk, or was with the file that was found; empty:
        nothing.
        """
        return self._trouble or self._note

    @property
    def failing(self) -> bool:
        """Say whether events are kept in memory because the disk does not take them."""
        return bool(self._trouble)

    @property
    def stored(self) -> bool:
        """Say whether the next start will find the events that wait."""
        return self._disk is not None and not self._trouble

    @property
    def dropped(self) -> Mapping[str, int]:
        """Return how many events each sink lost; of durable ones, over restarts too."""
        return self._dropped

    @property
    def newest(self) -> Event | None:
        """Return the newest event, when it is stored; unlike `last` it waits for the disk."""
        with self._lock:
            return self.last

    def pending(self, sink: str) -> int:
        """Count the events that wait for a sink."""
        return self._pending.get(sink, 0)

    def append(self, draft: EventDraft) -> Event:
        """Number an event and store it for every sink."""
        with self._lock:
            event = numbered(draft, self._next)
            self._next += 1
            self._sequences.append(event.sequence)
            self._unsaved[event.sequence] = self.last = event
            self._remember(loose=self.failing)
            if self._cursors and len(self._sequences) > self._capacity:
                oldest = self._sequences[-self._capacity - 1]
                self._drop(self._cursors, oldest, "dropped, more than the queue holds")
            self._settle()
            self._save()
        self.wake()
        return event

    def register(self, sink: str, durable: bool = True) -> None:
        """Begin or go on to keep events for a sink.

        A durable sink goes on where it was; a new one, or one that is not durable, starts with
        the next event.
        """
        with self._lock:
            known = self._cursors.get(sink)
            if known is None or not durable:
                self._cursors[sink] = Cursor(self._next - 1, known.dropped if known else 0)
            (self._passing.discard if durable else self._passing.add)(sink)
            self._moved = True
            self._settle()
            self._save()

    def forget(self, kept: Collection[str]) -> None:
        """Keep nothing for sinks other than these; what waited for one is counted in the log."""
        with self._lock:
            for sink in sorted(self._cursors.keys() - set(kept)):
                if waiting := self.pending(sink):
                    why = "is no longer named; undelivered events for it are dropped"
                    LOG.warning("sink %s %s: %d", sink, why, waiting)
                del self._cursors[sink]
            self._moved = True
            self._settle()
            self._save()

    def next(self, sink: str) -> Event | None:
        """Return the oldest event that a sink has not had; None: there is none, or it cannot be
        read.
        """
        with self._lock:
            while (cursor := self._cursors.get(sink)) is not None:
                at = bisect_right(self._sequences, cursor.sequence)
                if at == len(self._sequences):
                    return None
                sequence = self._sequences[at]
                event = self._unsaved.get(sequence) or self._read(sequence)
                if event is not None or self._trouble:
                    return event
                self._drop([sink], sequence, "unreadable")
            return None

    def commit(self, sink: str, sequence: int) -> None:
        """Note that a sink has taken the events up to this one."""
        with self._lock:
            cursor = self._cursors.get(sink)
            if cursor is not None and sequence > cursor.sequence:
                self._cursors[sink] = Cursor(sequence, cursor.dropped)
                self._settle()
                if sink not in self._passing:
                    self._moved = True
                    self._save()
        self.wake()

    def wait(
        self, sink: str, timeout_s: float, interrupted: Callable[[], bool] | None = None
    ) -> bool:
        """Block until there is something for a sink; `wake` lets `interrupted` be asked again."""

        def ready() -> bool:
            over = self._closed or (interrupted is not None and interrupted())
            return over or self.pending(sink) > 0

        self.wait_for(ready, timeout_s)
        return self.pending(sink) > 0

    def wait_for(self, ready: Callable[[], bool], timeout_s: float) -> bool:
        """Block until `ready`, which is asked at each append, commit and wake."""
        end = time.monotonic() + timeout_s
        while True:
            with self._news:
                left = end - time.monotonic()
                # While the disk fails, somebody has to ask whether it works again.
                part = min(left, RETRY_S)
                if self._news.wait_for(ready, max(0.0, part)) or part == left:
                    return ready()
            if self._trouble:
                with self._lock:
                    self._save()

    def wake(self) -> None:
        """Let those who wait look again."""
        with self._news:
            self._news.notify_all()

    def close(self) -> None:
        """Write what can be written, and let go of the folder."""
        with self._lock:
            if not self._closed:
                self._retry_at = -inf
                self._moved = True
                self._save()
                self._closed = True
                if self._disk is not None:
                    lost = sum(1 for sequence in self._sequences if sequence in self._unsaved)
                    if lost:
                        LOG.error("%d events are lost, the disk did not take them", lost)
                    self._disk.close()
        self.wake()

    def _begin(self) -> None:
        self._next = int(time.time() * 1000)
        if self._disk is None:
            return
        try:
            self._disk.lock()
        except (NotADirectoryError, FileExistsError) as error:
            raise SertkError(
                f"cannot keep events in {self._disk.file.parent}: {error.strerror}",
                "Choose another --state-dir",
            ) from error
        except OSError as error:
            self._fail(error)
        else:
            mark = self._disk.mark
            if mark is not None and mark.reserved:
                self._next = mark.reserved + 1
            self._try(self._load)

    def _load(self) -> None:
        """Open the database; the first time, take over what is in it."""
        assert self._disk is not None
        kept = self._disk.open()
        if self._loaded:
            return
        newest = kept.sequences[-1] if kept.sequences else 0
        if self._unsaved and newest >= min(self._unsaved):
            raise DamagedFileError("its numbers are higher than those given since")
        if newest and not self._unsaved and not (self._disk.mark and self._disk.mark.loose):
            self._next = newest + 1
        self._next = max(self._next, newest + 1)
        self._take_over(kept)

    def _take_over(self, kept: StoredEvents) -> None:
        self._loaded = self._moved = True
        self._cursors.update(kept.cursors)
        self._sequences = sorted({*kept.sequences, *self._unsaved})
        self.last = self.last or kept.newest
        self._settle()

    def _settle(self) -> None:
        """Let go of what every sink has had, and count what is left."""
        given = self._next - 1
        floor = min((cursor.sequence for cursor in self._cursors.values()), default=given)
        del self._sequences[: bisect_right(self._sequences, floor)]
        # The newest stays: with it, the next start knows how far the numbers have come.
        newest = self.last.sequence if self.last and self._disk else given + 1
        for sequence in list(takewhile(lambda number: number <= floor, self._unsaved)):
            if sequence != newest:
                del self._unsaved[sequence]
        size = len(self._sequences)
        self._pending = {
            sink: size - bisect_right(self._sequences, cursor.sequence)
            for sink, cursor in self._cursors.items()
        }
        self._dropped = {sink: cursor.dropped for sink, cursor in self._cursors.items()}

    def _drop(self, sinks: Iterable[str], until: int, why: str) -> None:
        """Count events as lost for sinks that have not had them."""
        reached = bisect_right(self._sequences, until)
        for sink in list(sinks):
            at = self._cursors[sink]
            missed = reached - bisect_right(self._sequences, at.sequence)
            if missed > 0:
                self._cursors[sink] = Cursor(until, at.dropped + missed)
                self._moved = True
        self._settle()
        if time.monotonic() >= self._warn_at:
            self._warn_at = time.monotonic() + WARN_EVERY_S
            LOG.warning("events were %s; lost so far: %s", why, self._dropped)

    def _read(self, sequence: int) -> Event | None:
        found: list[Event | None] = []
        self._try(lambda: found.append(self._disk.read(sequence) if self._disk else None))
        return found[0] if found else None

    def _save(self) -> None:
        if self._disk is None or self._closed or time.monotonic() < self._retry_at:
            return
        self._try(self._write)

    def _write(self) -> None:
        assert self._disk is not None
        while self._unsaved or self._moved:
            batch = list(self._unsaved.values())[:BATCH]
            durable = {s: at for s, at in self._cursors.items() if s not in self._passing}
            finished = self._sequences[0] - 1 if self._sequences else self._next - 1
            self._disk.save(batch, durable if self._moved else None, finished)
            self._moved = False
            for event in batch:
                del self._unsaved[event.sequence]
        self._remember(loose=False)
        if self._trouble:
            LOG.warning("the disk takes events again")
        self._trouble = ""

    def _try(self, step: Callable[[], None]) -> None:
        """Do something with the disk, opening the file first where it is closed."""
        if self._closed or self._disk is None:
            return
        try:
            if not self._disk.is_open and step != self._load:
                self._load()
            step()
        except DamagedFileError as damage:
            self._replace(damage)
        except (sqlite3.Error, OSError, SertkError) as error:
            self._fail(error)

    def _replace(self, damage: DamagedFileError) -> None:
        """Put a damaged file aside and go on with a new one, and with what memory still has."""
        assert self._disk is not None
        try:
            aside = self._disk.set_aside()
            if self.last is not None and self._loaded:
                self._unsaved[self.last.sequence] = self.last
            # What memory still has is newer than all that the file had.
            lost = [number for number in self._sequences if number not in self._unsaved]
            if lost:
                self._drop(self._cursors, lost[-1], f"in the damaged file {aside}")
            self._note = f"the spool was damaged ({damage}) and is kept as {aside.name}"
            LOG.error("%s; undelivered events in it are lost", self._note)
            self._moved = True
            self._load()
            self._write()
        except (sqlite3.Error, OSError, SertkError, DamagedFileError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Go on in memory."""
        self._retry_at = time.monotonic() + RETRY_S
        why = error_text(error) if isinstance(error, OSError) else error
        trouble = f"events are kept in memory, the disk does not take them: {why}"
        if trouble != self._trouble:
            LOG.error("%s", trouble)
        self._trouble = trouble
        self._remember(loose=True)

    def _remember(self, loose: bool) -> None:
        """Note beside the database that numbers were given, before anybody sees them."""
        mark = self._disk.mark if self._disk else None
        if mark is not None:
            given = self._next - 1
            reserved = mark.reserved if mark.reserved >= given else given + RESERVE
            with contextlib.suppress(OSError):
                mark.write(reserved, loose)
