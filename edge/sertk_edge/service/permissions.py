"""Whether the user of a service can get at files: by their modes, and past what systemd hides."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
TEMPORARY = (Path("/tmp"), Path("/var/tmp"))


@dataclass(frozen=True)
class Who:
    """A user by its numbers; `uid` -1 is one that systemd makes up."""

    uid: int = -1
    gids: tuple[int, ...] = ()

    @classmethod
    def named(cls, name: str) -> Who:
        """A user of this machine. Raises KeyError for nobody."""
        entry = pwd.getpwnam(name)
        return cls(entry.pw_uid, tuple(os.getgrouplist(name, entry.pw_gid)))

    @classmethod
    def made_up(cls, group: str) -> Who:
        """In no group but this one, if there is such a group."""
        try:
            return cls(gids=(grp.getgrnam(group).gr_gid,))
        except KeyError:
            return cls()


def barrier(path: Path, who: Who) -> Path | None:
    """The first folder that `who` cannot enter on the way to `path`, or the file itself.

    None if all can be read; a link is followed.
    """
    return next((step for step in _steps(path) if not _allows(step, who)), None)


def lies_in(path: Path, folders: tuple[Path, ...]) -> bool:
    """Whether the path, as written or behind links, lies in one of the folders."""
    return any(step in folders for step in _steps(path))


def _steps(path: Path) -> Iterator[Path]:
    """Folders from the root on and the path, as written and as it really is."""
    for way in dict.fromkeys((path.absolute(), path.resolve())):
        yield from reversed(way.parents)
        yield way


def _allows(step: Path, who: Who) -> bool:
    try:
        found = step.stat()
    except OSError:
        return False
    if who.uid == 0:
        return True
    wanted = stat.S_IXOTH if stat.S_ISDIR(found.st_mode) else stat.S_IROTH
    shift = 6 if found.st_uid == who.uid else 3 if found.st_gid in who.gids else 0
    return bool(found.st_mode & (wanted << shift))
