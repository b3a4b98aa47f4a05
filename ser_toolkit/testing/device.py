"""Check a component in a process of its own, in which imports fail as they do on a device."""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..runtime.component import Asset, Component, fields_of
from ..runtime.events import Sink
from ..runtime.features.base import F32, FrameExtractor, WindowExtractor
from ..utils.worker import WorkerError, read_arrays, run_module, write_arrays
from . import signals
from .assets import loaded
from .blocking import NOT_ON_A_DEVICE
from .check import Check, CheckFailed, NotChecked
from .compare import close
from .frames import Frames
from .given import Given
from .sinks import check_there
from .windows import Windows, check_shapes, shapes

TIMEOUT_S = 120.0
SECONDS = 2
BLOCKED = ", ".join(NOT_ON_A_DEVICE)


def device_checks(component: Component, given: Given) -> Iterator[Check]:
    """Yield `pi`, for a component with `edge_ready`."""
    if component.edge_ready:
        yield Check(
            "pi",
            f"works where none of these can be imported: {BLOCKED}",
            partial(_pi, component, given),
        )


def imports(module: str, command: str = "") -> list[str]:
    """Return the heavy modules in a fresh process after an import and after its hooks or --help."""
    home = sys.modules.get(module)
    if home is None:
        raise NotChecked(f"{module} is not a module that can be imported elsewhere")
    job = {"task": "imports", "module": place(home), "command": command}
    with tempfile.TemporaryDirectory(prefix="sertk-check-") as name:
        folder = Path(name)
        try:
            _run(folder, job)
        except WorkerError as failed:
            raise CheckFailed(
                f"{module} to be imported in a fresh process",
                failed.cause,
                "Let it import what it needs by itself",
            ) from failed
        heavy: list[str] = json.loads((folder / "found.json").read_text("utf-8"))
    return heavy


def place(module: ModuleType) -> dict[str, str | None]:
    """Return name and file of a module, by which another process finds it."""
    return {"name": module.__name__, "file": getattr(module, "__file__", None)}


def encoded(value: Any) -> Any:
    """Return a field as JSON for `device_worker.decoded`; components name their class."""
    if isinstance(value, Component):
        return {
            "class": _class(type(value)),
            "fields": {key: encoded(item) for key, item in fields_of(value).items()},
        }
    if isinstance(value, Asset):
        return {"asset": dataclasses.asdict(value)}
    if isinstance(value, tuple):
        return {"tuple": [encoded(item) for item in value]}
    if isinstance(value, Mapping):
        return {"mapping": {key: encoded(item) for key, item in value.items()}}
    return value


def _class(kind: type) -> dict[str, Any]:
    if "<locals>" in kind.__qualname__:
        raise CheckFailed(
            "a class at the top of a module",
            f"{kind.__qualname__}, made inside a function",
            "Move it to the top, or no other process (nor a device) can find it",
        )
    return {"module": place(sys.modules[kind.__module__]), "name": kind.__qualname__}


def _pi(component: Component, given: Given) -> None:
    if isinstance(component, FrameExtractor):
        _frames(Frames(component, given))
    elif isinstance(component, WindowExtractor):
        _windows(Windows(component, given))
    elif isinstance(component, Sink):
        _sink(component, given)
    else:
        _elsewhere(component, given, {"task": "build"})


def _frames(under: Frames) -> None:
    samples = signals.voice(under.component.rate_hz, SECONDS * under.component.rate_hz)
    samples = samples if len(samples) > under.component.frame_length else under.samples(4)
    samples = signals.paused(samples)
    # The device computed nothing before, this process something else.
    under.ready.frames(under.signal(under.samples(4, seed=1)))
    here = {"frames": under.ready.frames(under.signal(samples))}
    _check_equal(_device_arrays(under.component, under.given, samples), here)


def _windows(under: Windows) -> None:
    samples = under.samples()
    under.ready.arrays(under.signal(under.samples(seed=1)))
    here = under.ready.arrays(under.signal(samples))
    _check_equal(_device_arrays(under.component, under.given, samples), here)


def _check_equal(there: Mapping[str, F32], here: Mapping[str, F32]) -> None:
    check_shapes(there, shapes(here), " on the device")
    for name, values in here.items():
        close(
            np.atleast_2d(there[name]),
            np.atleast_2d(values),
            "the same numbers on the device as in training",
            "Compute one way only: a network trained with one and run with another predicts wrong",
        )


def _device_arrays(component: Component, given: Given, samples: F32) -> dict[str, F32]:
    arrays: dict[str, F32] = {}
    _elsewhere(component, given, {"task": "extract"}, samples, arrays)
    return arrays


def _sink(component: Sink, given: Given) -> None:
    with given.peer(component) as peer:
        _elsewhere(peer.sink, given, {"task": "deliver"})
        check_there(peer, signals.events(3), "from a device", "Deliver there as you do here")


def _elsewhere(
    component: Component,
    given: Given,
    job: dict[str, Any],
    samples: F32 | None = None,
    arrays: dict[str, F32] | None = None,
) -> None:
    """Do a job with a component in the other process, which adds to `arrays` what it computes."""
    with tempfile.TemporaryDirectory(prefix="sertk-check-") as name:
        folder = Path(name)
        for index, content in enumerate(loaded(component, given.load)):
            (folder / f"{index}.asset").write_bytes(content)
        if samples is not None:
            write_arrays(folder / "samples.npz", {"samples": samples})
        try:
            _run(folder, {**job, "component": encoded(component)})
        except WorkerError as failed:
            raise CheckFailed(
                f"it to work where none of {BLOCKED} can be imported",
                failed.cause,
                "Do without, import it only in the functions of training, or write edge_ready: "
                "ClassVar[bool] = False",
            ) from failed
        if arrays is not None:
            arrays |= read_arrays(folder / "answer.npz")


def _run(folder: Path, job: dict[str, Any]) -> None:
    text = json.dumps({**job, "path": sys.path})
    (folder / "job.json").write_text(text, "utf-8")
    run_module("ser_toolkit.testing.device_worker", folder, TIMEOUT_S)
