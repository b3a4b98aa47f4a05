"""Sinks that are bad in one way each: that check fails, and no other."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ser_toolkit.runtime.events import Device, Event, Outlet, Sink
from ser_toolkit.testing import CheckFailed, NotChecked, Peer, checks_for

TRIED: set[str] = set()


class Lines(Outlet):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.open("a").close()

    def deliver(self, event: Event) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(event)) + "\n")


@dataclass(frozen=True)
class Diary(Sink):
    """A line of JSON per event."""

    name: ClassVar[str] = "diary"
    path: str = "diary.jsonl"

    def open(self, device: Device) -> Outlet:
        return Lines(Path(self.path))


class Later(Lines):
    """Writes when it is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.held: list[Event] = []

    def deliver(self, event: Event) -> None:
        self.path.open("a").close()
        self.held.append(event)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            for event in self.held:
                super().deliver(event)


@dataclass(frozen=True)
class Buffered(Diary):
    """Holds back what it was given."""

    def open(self, device: Device) -> Outlet:
        return Later(Path(self.path))


class Stutter(Lines):
    """Writes twice."""

    def deliver(self, event: Event) -> None:
        super().deliver(event)
        super().deliver(event)


@dataclass(frozen=True)
class Repeating(Diary):
    """Says everything twice."""

    def open(self, device: Device) -> Outlet:
        return Stutter(Path(self.path))


class Sampled(Lines):
    """Writes no more than five."""

    def deliver(self, event: Event) -> None:
        if self.path.is_dir() or len(self.path.read_text().splitlines()) < 5:
            super().deliver(event)


@dataclass(frozen=True)
class Full(Diary):
    """Has room for five."""

    def open(self, device: Device) -> Outlet:
        return Sampled(Path(self.path))


class Ahead(Lines):
    """Puts the newest first."""

    def deliver(self, event: Event) -> None:
        before = self.path.read_text()
        self.path.write_text(json.dumps(asdict(event)) + "\n" + before)


@dataclass(frozen=True)
class Backwards(Diary):
    """Newest first."""

    def open(self, device: Device) -> Outlet:
        return Ahead(Path(self.path))


@dataclass(frozen=True)
class Overwriting(Diary):
    """Forgets what it wrote before, unless that was its only line."""

    def open(self, device: Device) -> Outlet:
        path = Path(self.path)
        if path.is_file() and len(path.read_text().splitlines()) > 1:
            path.unlink()
        return Lines(path)


class Calm(Lines):
    """Goes on whatever happens."""

    def deliver(self, event: Event) -> None:
        with contextlib.suppress(OSError):
            super().deliver(event)


@dataclass(frozen=True)
class Swallowing(Diary):
    """Loses what is not taken."""

    def open(self, device: Device) -> Outlet:
        return Calm(Path(self.path))


class Once(Lines):
    """Believes that what it tried was done."""

    def deliver(self, event: Event) -> None:
        key = f"{self.path}{event.id}"
        if key in TRIED:
            return
        TRIED.add(key)
        super().deliver(event)


@dataclass(frozen=True)
class Forgetful(Diary):
    """Tries each event once."""

    def open(self, device: Device) -> Outlet:
        return Once(Path(self.path))


class Proud(Lines):
    """Cannot bear to be closed after a failure."""

    failed = False

    def deliver(self, event: Event) -> None:
        self.failed = True
        super().deliver(event)
        self.failed = False

    def close(self) -> None:
        if self.failed:
            raise RuntimeError("not now")


@dataclass(frozen=True)
class Touchy(Diary):
    """Raises in close."""

    def open(self, device: Device) -> Outlet:
        return Proud(Path(self.path))


class Rounded(Lines):
    """Rounds what everybody gets."""

    def deliver(self, event: Event) -> None:
        shares: Any = event.probabilities
        for label in shares:
            shares[label] = round(shares[label])
        super().deliver(event)


@dataclass(frozen=True)
class Rude(Diary):
    """Writes into the event."""

    def open(self, device: Device) -> Outlet:
        return Rounded(Path(self.path))


@dataclass(frozen=True)
class Borrowed(Diary):
    """Needs what no device has."""

    def open(self, device: Device) -> Outlet:
        import joblib

        assert joblib
        return super().open(device)


BAD: list[tuple[str, Sink]] = [
    ("delivers", Buffered()),
    ("delivers", Repeating()),
    ("in_order", Backwards()),
    ("in_order", Full()),
    ("reopened", Overwriting()),
    ("refusal", Swallowing()),
    ("redelivery", Forgetful()),
    ("closes", Touchy()),
    ("event_unchanged", Rude()),
    ("pi", Borrowed()),
]


NAMES = {name for name, _ in BAD} | {"declared", "json"}


def peer_of(sink: Sink) -> Any:
    """Return a file, which a folder replaces for some time."""

    @contextlib.contextmanager
    def file(folder: Path) -> Iterator[Peer]:
        path = folder / "diary.jsonl"

        def received() -> list[str]:
            lines = path.read_text().splitlines() if path.is_file() else []
            return [json.loads(line)["id"] for line in lines]

        @contextlib.contextmanager
        def refusing() -> Iterator[None]:
            path.rename(kept := folder / "kept")
            path.mkdir()
            yield
            path.rmdir()
            kept.rename(path)

        yield Peer(replace(sink, path=str(path)), received, refusing)  # type: ignore[type-var]

    return file


def test_a_good_one_fails_nothing(failing: Any) -> None:
    assert failing(Diary(), peers={"diary": peer_of(Diary())}) == {}


@pytest.mark.parametrize(("name", "bad"), BAD, ids=lambda one: str(one).split("(")[0])
def test_a_bad_one_fails_that_check_alone(failing: Any, name: str, bad: Sink) -> None:
    assert set(failing(bad, peers={"diary": peer_of(bad)})) == {name}


def test_every_check_has_a_bad_sink() -> None:
    assert {check.name for check in checks_for(Diary())} == NAMES


def test_without_a_peer_nothing_is_opened() -> None:
    """Somebody's broker may listen at the default address."""
    for check in checks_for(Borrowed()):
        if check.name not in ("declared", "json"):
            with pytest.raises(NotChecked, match=r"give peers=\{'diary': function\}"):
                check()


def test_a_peer_with_another_sink_is_refused() -> None:
    (check,) = [
        one
        for one in checks_for(Touchy(), peers={"diary": peer_of(Diary())})
        if one.name == "delivers"
    ]
    with pytest.raises(CheckFailed, match="a peer whose sink is a Touchy, received Diary"):
        check()
