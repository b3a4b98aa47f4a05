"""What a test gives to the kit, given wrongly: it is said, and the component is not blamed."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit import hookimpl
from ser_toolkit.builtin import readers
from ser_toolkit.builtin.augmenters import Mask
from ser_toolkit.builtin.dense import Mlp
from ser_toolkit.builtin.readers import FolderReader
from ser_toolkit.contracts.components import Augmenter
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.events import Device, Event, Outlet, Sink
from ser_toolkit.testing import Check, CheckFailed, Peer, checks_for, sertk_checks


class Received(Outlet):
    taken: list[str] = []  # noqa: RUF012

    def deliver(self, event: Event) -> None:
        self.taken.append(event.id)


class Ear(Sink):
    """Hears."""

    name = "ear"

    def open(self, device: Device) -> Outlet:
        return Received()


def write(folder: Path) -> None:
    """Write nothing."""


def yields(folder: Path) -> Iterator[Peer]:
    yield Peer(Ear(), list, contextlib.nullcontext)


MISUSES: tuple[tuple[dict[str, Any], str], ...] = (
    (
        {"corpora": {"foldrs": write}},
        "corpora has 'foldrs', and no reader .* Did you mean 'fol",
    ),
    ({"corpora": {"lab": write}}, "corpora has 'lab', .* There are: folders"),
    ({"peers": {"ear": contextlib.contextmanager(yields)}}, "peers has 'ear', .* Leave it out"),
    ({"inputs": {"frames": {"frames": (2, 3)}}}, "inputs has 'frames', and no model"),
    ({"inputs": {"frames": (2, 3)}}, r"inputs\['frames'\] expects .*, received \(2, 3\)"),
    ({"inputs": {"mlp": {"frames": (2, None)}}}, r"inputs\['mlp'\] expects"),
    ({"corpora": write}, 'corpora expects {"reader": a function .*, received <function write'),
    ({"corpora": {"folders": "clips"}}, r"corpora\['folders'\] expects .*, received 'clips'"),
    ({"peers": [write]}, "peers expects"),
    ({"peers": {"ear": yields}}, "a function that yields. Write @contextlib.contextmanager"),
    ({"assets": b"weights"}, "assets expects a list of bytes.* received b'weights'"),
    ({"assets": ["weights"]}, "assets expects a list of bytes.* received 'weights'"),
    ({"assets": None}, "assets expects a list of bytes.* received None"),
    ({"plugins": []}, r"plugins expects a function, received \[\]"),
)


def test_what_fits_nothing_is_refused() -> None:
    for given, expected_text in MISUSES:
        with pytest.raises(SertkError, match=expected_text):
            list(checks_for(FolderReader(), **given))
        with pytest.raises(SertkError, match=expected_text):
            marked(given)


def marked(given: dict[str, Any]) -> Any:
    return sertk_checks(Mask(), FolderReader(), **given)


def test_several_subjects_share_what_is_given() -> None:
    assert sertk_checks(Mlp(), FolderReader(), corpora={"folders": write}, inputs={"mlp": {}})


def test_something_has_to_be_checked() -> None:
    with pytest.raises(SertkError, match="expects something to check, received nothing"):
        sertk_checks()
    with pytest.raises(SertkError, match=r"expected_failures expects {.*, received \['zeros'\]"):
        sertk_checks(Mask(), expected_failures=["zeros"])  # type: ignore[arg-type]


def check_of(subject: Any, name: str, **given: Any) -> Check:
    (found,) = (check for check in checks_for(subject, **given) if check.name == name)
    return found


def failing(folder: Path) -> None:
    raise KeyError("speaker")


def plain(folder: Path) -> Peer:
    return Peer(Ear(), list, contextlib.nullcontext)


@contextlib.contextmanager
def other(folder: Path) -> Iterator[str]:
    yield "ear"


@contextlib.contextmanager
def broken(folder: Path) -> Iterator[Peer]:
    raise OSError("no broker here")
    yield plain(folder)


@contextlib.contextmanager
def deaf(folder: Path) -> Iterator[Peer]:
    yield Peer(Ear(), lambda: None, contextlib.nullcontext)  # type: ignore[arg-type, return-value]


@contextlib.contextmanager
def lax(folder: Path) -> Iterator[Peer]:
    def refusing() -> Iterator[None]:
        yield

    yield Peer(Ear(), lambda: Received.taken, refusing)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("peer", "expected_text"),
    [
        (plain, "to give a context manager, received Peer. Write @contextlib.contextmanager"),
        (other, "to give a Peer, received 'ear'. Yield Peer"),
        (broken, "to start a peer, received OSError: no broker here"),
        (deaf, "to give a list of ids, received TypeError"),
        (lax, "refusing of peers['ear'] to give a context manager, received generator"),
    ],
)
def test_a_peer_that_is_none_is_no_fault_of_the_sink(
    peer: Callable[..., Any], expected_text: str
) -> None:
    with pytest.raises(CheckFailed) as failed:
        check_of(Ear(), "delivers" if peer is not lax else "refusal", peers={"ear": peer})()
    assert expected_text in str(failed.value) and "component itself" not in str(failed.value)


def test_a_corpus_that_is_not_written_is_no_fault_of_the_reader() -> None:
    with pytest.raises(CheckFailed) as failed:
        check_of(FolderReader(), "files", corpora={"folders": failing})()
    output_text = str(failed.value)
    assert (
        "expected corpora['folders'] to write a corpus into a folder, received KeyError"
        in output_text
    )
    assert "Fix that function of the test" in output_text


def module(**contents: Any) -> types.ModuleType:
    made = types.ModuleType("kit_made")
    for name, value in contents.items():
        if isinstance(value, types.FunctionType):
            value.__module__ = "kit_made"
        setattr(made, name, value)
    return made


def frame_augmenters() -> list[Augmenter]:
    return []


@pytest.mark.parametrize(
    ("contents", "expected_text"),
    [
        ({}, "received nothing. Write a function sertk_extractors"),
        (
            {"augmenters": frame_augmenters},
            "received 'augmenters', which is never called. Call it sertk_augm",
        ),
        (
            {"sertk_augmenter": frame_augmenters},
            "received 'sertk_augmenter', which is never called",
        ),
        ({"sertk_augmenters": frame_augmenters}, "sertk_augmenters lacks @hookimpl"),
    ],
)
def test_a_module_without_hooks_fails_with_what_to_do(
    contents: dict[str, Any], expected_text: str
) -> None:
    with pytest.raises(CheckFailed) as failed:
        check_of(module(**contents), "hooks")()
    assert expected_text in str(failed.value)


def test_a_hook_that_nobody_calls_is_seen_beside_one_that_is_called() -> None:
    @hookimpl
    def sertk_readers() -> list[Any]:
        return [FolderReader()]

    found = module(sertk_readers=sertk_readers, augmenters=frame_augmenters, readers=readers)
    check_of(found, "hooks")()
    found = module(sertk_readers=sertk_readers, sertk_augmenter=frame_augmenters)
    with pytest.raises(CheckFailed, match="'sertk_augmenter', which is never called"):
        check_of(found, "hooks")()


def test_a_broken_plugin_is_told_by_its_hooks_and_not_by_what_is_given() -> None:
    checks = list(checks_for(module(sertk_readers=frame_augmenters), corpora={"lab": write}))
    assert {check.name for check in checks} == {"hooks", "light"}


def test_what_a_module_says_of_itself_says_nothing_of_others() -> None:
    @hookimpl
    def sertk_augmenters() -> list[Any]:
        return [Mask()]

    expected_text = module(
        sertk_augmenters=sertk_augmenters, SERTK_EXPECTED_FAILURES={"zeros": "so"}
    )
    (params,) = (sertk_checks(expected_text, Mask(p=0.5)).args[1],)
    expected = [param.id for param in params if any(m.name == "xfail" for m in param.marks)]
    assert expected == ["augmenter:mask:zeros"]
