"""In whose code an error arose: a plugin's defect is told by the plugin's name."""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path

from .loading import Origin, installed, origin, placed, told
from .requirements import normalised
from .runtime.errors import SertkError

OWN = ("ser-toolkit", "sertk-edge")
"""What fails in these is a defect of ours, and deserves its traceback."""
REMOTE = re.compile(r'^ *File "(.+)", line (\d+)', re.MULTILINE)
"""A line of the traceback that joblib and concurrent.futures bring from another process."""


def blamed(error: BaseException) -> SertkError | None:
    """`error` in one line, with the plugin whose code it came through last; None where none was."""
    homes = _homes()
    for file, line in reversed(_places(error)):
        for home, source in homes.items():
            if file == home or home in file.parents:
                return SertkError(
                    f"{source.label} failed: {told(error)}{placed(file, line)}",
                    "SERTK_DEBUG=1 shows the traceback, which its author can use",
                )
    return None


def _places(error: BaseException) -> list[tuple[Path, int]]:
    """File and line of every call; those in a worker process are text by now."""
    here = traceback.extract_tb(error.__traceback__)
    found = [(Path(frame.filename), frame.lineno or 0) for frame in here]
    if type(error.__cause__).__name__ == "_RemoteTraceback":
        found += [(Path(file), int(line)) for file, line in REMOTE.findall(str(error.__cause__))]
    return found


def _homes() -> dict[Path, Origin]:
    """The file or the folder of each plugin that was imported."""
    homes: dict[Path, Origin] = {}
    for point in installed():
        source = origin(point)
        module = sys.modules.get(point.value.partition(":")[0].partition(".")[0])
        file = getattr(module, "__file__", None)
        if file is None or normalised(source.distribution) in OWN:
            continue
        path = Path(file)
        homes[path.parent if path.name == "__init__.py" else path] = source
    return homes
