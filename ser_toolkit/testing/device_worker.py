"""Do the jobs of `device`, in a process: `python -m ser_toolkit.testing.device_worker FOLDER`."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..utils.worker import read_arrays, serve_folder, write_arrays
from .blocking import NOT_ON_A_DEVICE, blocked


def work(folder: Path) -> None:
    """Do the job in the folder."""
    job = json.loads((folder / "job.json").read_text("utf-8"))
    sys.path.extend(entry for entry in job["path"] if entry not in sys.path)
    if job["task"] == "imports":
        (folder / "found.json").write_text(json.dumps(imported(job)), "utf-8")
        return
    if job["task"] == "read":
        (folder / "found.json").write_text(json.dumps(read(job)), "utf-8")
        return
    with blocked():
        {"build": build, "extract": extract, "deliver": deliver}[job["task"]](job, folder)


def imported(job: dict[str, Any]) -> list[str]:
    """Return the heavy modules that are loaded after an import, the hooks and --help."""
    module = load(job["module"])
    for call in calls(module, job["command"]):
        # Other checks find what these raise.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception, SystemExit):
            call()
    return [name for name in NOT_ON_A_DEVICE if name in sys.modules]


def calls(module: ModuleType, command: str) -> list[Callable[[], object]]:
    """Return `--help` of a command, or the hooks."""
    if command:
        main = getattr(module, command).main
        return [partial(main, ["--help"], prog_name=command, standalone_mode=False)]
    found = (getattr(module, name) for name in dir(module) if name.startswith("sertk_"))
    return [hook for hook in found if callable(hook)]


def read(job: dict[str, Any]) -> list[str] | None:
    """Return the clips that a reader reads; None where its class cannot be imported here."""
    from .order import key

    try:
        reader = decoded(job["component"])
    except Exception:
        # The class of a script or a notebook exists only in that process.
        return None
    return [key(clip) for clip in reader.read(Path(job["root"])).clips]


def build(job: dict[str, Any], folder: Path) -> None:
    """Import the class and make an instance."""
    del folder
    decoded(job["component"])


def extract(job: dict[str, Any], folder: Path) -> None:
    """Compute the arrays of an extractor."""
    from ..runtime.features.base import FrameExtractor, Signal

    contents = [path.read_bytes() for path in sorted(folder.glob("*.asset"))]
    from .assets import loader_of

    extractor = decoded(job["component"]).prepare(loader_of(contents))
    samples = np.array(read_arrays(folder / "samples.npz")["samples"])
    signal = Signal(samples, extractor.rate_hz)
    if isinstance(extractor, FrameExtractor):
        write_arrays(folder / "answer.npz", {"frames": extractor.frames(signal)})
    else:
        write_arrays(folder / "answer.npz", extractor.arrays(signal))


def deliver(job: dict[str, Any], folder: Path) -> None:
    """Deliver three events."""
    from . import signals

    del folder
    outlet = decoded(job["component"]).open(signals.DEVICE)
    for event in signals.events(3):
        outlet.deliver(event)
    outlet.close()


def decoded(value: Any) -> Any:
    """Return the value that `device.encoded` encoded."""
    from ..runtime.component import Asset

    if not isinstance(value, dict):
        return tuple(map(decoded, value)) if isinstance(value, list) else value
    if "class" in value:
        fields = {key: decoded(item) for key, item in value["fields"].items()}
        return find(value["class"])(**fields)
    if "asset" in value:
        return Asset(**value["asset"])
    if "tuple" in value:
        return tuple(map(decoded, value["tuple"]))
    return {key: decoded(item) for key, item in value["mapping"].items()}


def find(where: dict[str, Any]) -> Any:
    """Return a class by its module and its name in it."""
    found: Any = load(where["module"])
    for name in where["name"].split("."):
        found = getattr(found, name)
    return found


def load(where: dict[str, str]) -> ModuleType:
    """Import a module by its name, or by its file where the path lacks it, as a test's."""
    name, file = where["name"], where["file"]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not file or not f"{name}.".startswith(f"{error.name}."):
            raise
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"{file} cannot be imported", name=name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    serve_folder(work)
