"""Make imports fail as they do on a device."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

NOT_ON_A_DEVICE = (
    "tensorflow",
    "keras",
    "librosa",
    "scipy.signal",
    "sklearn",
    "matplotlib",
    "joblib",
    "pandas",
    "numba",
    "torch",
)
"""The modules that `edge_ready` components must not import."""


class Blocker(MetaPathFinder):
    """Refuse some modules and their submodules, before all other finders."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return None, so that others look for it; raise where the module is refused."""
        if is_in(name, self.names):
            raise ModuleNotFoundError(f"'{name}' is not on a device, and blocked here", name=name)
        return None


def is_in(module: str, names: Sequence[str]) -> bool:
    """Say whether a module is one of `names`, or lies in one."""
    return any(module == name or module.startswith(f"{name}.") for name in names)


@contextlib.contextmanager
def blocked(*names: str) -> Iterator[None]:
    """Make imports of `names` fail (default: `NOT_ON_A_DEVICE`), even of loaded modules."""
    wanted = names or NOT_ON_A_DEVICE
    hidden = {name: sys.modules.pop(name) for name in [*sys.modules] if is_in(name, wanted)}
    attributes = [_detach(name) for name in wanted]
    blocker = Blocker(wanted)
    sys.meta_path.insert(0, blocker)
    try:
        yield
    finally:
        sys.meta_path.remove(blocker)
        for parent, attribute, module in filter(None, attributes):
            setattr(parent, attribute, module)
        sys.modules.update(hidden)


def _detach(name: str) -> tuple[ModuleType, str, object] | None:
    """Remove a module from its package, where `from scipy import signal` finds it."""
    package, _, attribute = name.rpartition(".")
    parent = sys.modules.get(package)
    if parent is None or attribute not in vars(parent):
        return None
    module = getattr(parent, attribute)
    delattr(parent, attribute)
    return parent, attribute, module
