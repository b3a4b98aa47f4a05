"""The file that keeps events: SQLite, made for SD cards and for power that goes at any moment."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.events import Event

from ..events import event_of, text_of

FORMAT = 1
RESERVE = 1000
MOST_DAMAGED = 9
# A write-ahead log of 256 pages is 1 MiB; it goes into the file when it is full.
PRAGMAS = ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "wal_autocheckpoint = 256")
TABLES = (
    "CREATE TABLE IF NOT EXISTS events (sequence INTEGER PRIMARY KEY, event TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS cursors"
    " (sink TEXT PRIMARY KEY, sequence INTEGER NOT NULL, dropped INTEGER NOT NULL) WITHOUT ROWID",
)
FINISHED = (
    "DELETE FROM events WHERE sequence <= ? AND sequence < (SELECT max(sequence) FROM events)"
)


class DamagedFileError(Exception):
    """The database cannot be read and never will be."""


@dataclass(frozen=True)
class Cursor:
    """How far a sink has come, and how many events it lost at the bound."""

    sequence: int
    dropped: int = 0


@dataclass(frozen=True)
class StoredEvents:
    """What the file held. The newest event stays in it when every sink has had it."""

    sequences: Sequence[int]
    cursors: Mapping[str, Cursor]
    newest: Event | None


class FolderLock:
    """The lock of the folder; its text says up to where sequence numbers may have been given.

    It is written over in place, which works when the disk is full, once for RESERVE numbers.
    `loose` says that numbers were given which the database does not know.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise SertkError(
                f"another daemon uses {path.parent}", "Stop it, or choose another --state-dir"
            ) from None
        self.reserved, self.loose = self._read()

    def write(self, reserved: int, loose: bool) -> None:
        """Note both, on the disk before this returns."""
        if (reserved, loose) != (self.reserved, self.loose):
            os.pwrite(self._file, f"{reserved:019d} {loose:d}\n".encode(), 0)
            os.fsync(self._file)
            self.reserved, self.loose = reserved, loose

    def close(self) -> None:
        """Let another daemon have the folder."""
        os.close(self._file)

    def _read(self) -> tuple[int, bool]:
        parts = os.pread(self._file, 64, 0).split()
        try:
            return int(parts[0]), parts[1] != b"0"
        except (ValueError, IndexError):
            return 0, False


class EventStore:
    """`spool.db` and `spool.lock` of a folder. Raises OSError, sqlite3.Error, DamagedFileError."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "spool.db"
        self.mark: FolderLock | None = None
        self._db: sqlite3.Connection | None = None

    @property
    def is_open(self) -> bool:
        """Say whether the database can be used."""
        return self._db is not None

    def lock(self) -> None:
        """Make the folder ours; SertkError where another daemon has it."""
        if self.mark is None:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.mark = FolderLock(self.file.with_suffix(".lock"))

    def open(self) -> StoredEvents:
        """Open the database, or make it, and say what is in it."""
        self.lock()
        with self._damage_told():
            self._db = sqlite3.connect(self.file, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(self._db)
                return self._kept(self._db)
            except BaseException:
                self.disconnect()
                raise

    def read(self, sequence: int) -> Event | None:
        """Return one event; None where it is not there or makes no sense."""
        with self._damage_told():
            query = "SELECT event FROM events WHERE sequence = ?"
            row = self._opened().execute(query, (sequence,)).fetchone()
        return None if row is None else event_of(row[0])

    def save(
        self, events: Sequence[Event], cursors: Mapping[str, Cursor] | None, finished: int
    ) -> None:
        """Add events, replace the cursors if given, let go of what is finished; all or nothing.

        Events are on the disk before this returns. Cursors may be lost with the power, which costs
        a second delivery, where a flush for each would wear out the SD card.
        """
        with self._damage_told():
            db = self._opened()
            db.execute(f"PRAGMA synchronous = {'FULL' if events else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            try:
                self._write(db, events, cursors, finished)
                db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise

    def set_aside(self) -> Path:
        """Rename the database, so that a new one can be made and this one be looked at."""
        self.disconnect()
        name = self.file.name
        taken = [self.file.with_name(f"{name}.damaged-{n}") for n in range(1, MOST_DAMAGED + 1)]
        target = next((path for path in taken if not path.exists()), taken[-1])
        for ending in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.file}{ending}").replace(f"{target}{ending}")
        return target

    def disconnect(self) -> None:
        """Close the database, keep the folder."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
        self._db = None

    def close(self) -> None:
        """Close the database and let go of the folder."""
        self.disconnect()
        if self.mark is not None:
            self.mark.close()
        self.mark = None

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            raise sqlite3.OperationalError("the database is closed")
        return self._db

    @contextlib.contextmanager
    def _damage_told(self) -> Iterator[None]:
        """Tell damage from what may pass; after anything but a full disk the file is reopened."""
        try:
            yield
        except sqlite3.Error as error:
            if "full" not in str(error):
                self.disconnect()
            if _is_damage(error):
                raise DamagedFileError(str(error)) from error
            raise

    @staticmethod
    def _prepare(db: sqlite3.Connection) -> None:
        for pragma in PRAGMAS:
            db.execute(f"PRAGMA {pragma}").fetchall()
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found > FORMAT:
            raise sqlite3.DatabaseError(f"format {FORMAT} expected, received {found}")
        faults = db.execute("PRAGMA quick_check(1)").fetchone()
        if faults != ("ok",):
            raise sqlite3.DatabaseError(faults[0])
        if found < FORMAT:
            for statement in ("BEGIN", *TABLES, f"PRAGMA user_version = {FORMAT}", "COMMIT"):
                db.execute(statement)

    @staticmethod
    def _kept(db: sqlite3.Connection) -> StoredEvents:
        rows = db.execute("SELECT sequence FROM events ORDER BY sequence").fetchall()
        cursors = db.execute("SELECT sink, sequence, dropped FROM cursors").fetchall()
        last = db.execute("SELECT event FROM events ORDER BY sequence DESC LIMIT 1").fetchone()
        return StoredEvents(
            [row[0] for row in rows],
            {sink: Cursor(sequence, dropped) for sink, sequence, dropped in cursors},
            None if last is None else event_of(last[0]),
        )

    @staticmethod
    def _write(
        db: sqlite3.Connection,
        events: Sequence[Event],
        cursors: Mapping[str, Cursor] | None,
        finished: int,
    ) -> None:
        rows = [(event.sequence, text_of(event)) for event in events]
        db.executemany("INSERT OR REPLACE INTO events VALUES (?, ?)", rows)
        if cursors is not None:
            db.execute("DELETE FROM cursors")
            found = [(sink, at.sequence, at.dropped) for sink, at in cursors.items()]
            db.executemany("INSERT INTO cursors VALUES (?, ?, ?)", found)
        db.execute(FINISHED, (finished,))


def _is_damage(error: sqlite3.Error) -> bool:
    """Return a full disk, a lock and a failing device are OperationalError; so is an unknown
    table.
    """
    passing = (sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
    return not isinstance(error, passing) or str(error).startswith(("no such", "table "))
