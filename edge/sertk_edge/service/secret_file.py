"""Files with secrets: who else may read them."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

from .logs import log


def warn_if_exposed(path: Path) -> None:
    """Log where every user of this machine may read a file with a secret. Raises OSError."""
    if path.stat().st_mode & stat.S_IROTH:
        fix = f"run `chmod o-rwx {shlex.quote(str(path))}`"
        log("secret_file").warning(f"every user of this machine can read '{path}': {fix}")
