"""Define a check: its name, what it requires, and a function that fails with an explanation."""

from __future__ import annotations

import re
import unittest
from collections.abc import Callable
from dataclasses import dataclass

from ..plugins.errors import one_line
from ..runtime.text import shorten

COLOURS = re.compile("\x1b\\[[0-9;]*m")


class CheckFailed(AssertionError):  # noqa: N818
    """A component does not keep to the contract.

    Attributes:
        expected: By the contract.
        received: From the component.
        todo: What its author can do.
    """

    def __init__(self, expected: str, received: str, todo: str) -> None:
        self.expected = expected
        self.received = shorten(COLOURS.sub("", received))
        self.todo = todo
        super().__init__(f"expected {expected}, received {self.received}. {todo}")


class NotChecked(unittest.SkipTest):
    """The check lacks something that it needs; pytest and unittest show it as skipped."""


@dataclass(frozen=True)
class Check:
    """Hold one requirement of the contract on one component.

    Attributes:
        name: Unique for that component.
        about: The requirement, in words.
        run: Checks it; raises CheckFailed or NotChecked.
        subject: Kind and name of the component, as in `extractor:loud`.
        slow: Whether it takes seconds.
    """

    name: str
    about: str
    run: Callable[[], None]
    subject: str = ""
    slow: bool = False

    @property
    def id(self) -> str:
        """Return `extractor:loud:streaming`."""
        return f"{self.subject}:{self.name}"

    def is_called(self, key: str) -> bool:
        """Say whether `key` is the name, the id, or `component:name`."""
        return f":{self.id}".endswith(f":{key}")

    def __call__(self) -> None:
        """Run the check; raises CheckFailed or NotChecked, and anything else is a failure too."""
        __tracebackhide__ = True
        try:
            self.run()
        except (CheckFailed, NotChecked) as known:
            raise known.with_traceback(None) from known.__cause__
        except (Exception, SystemExit) as error:
            raise CheckFailed(
                self.about,
                one_line(error),
                "The component itself raised this; `sertk --debug plugins check` shows a traceback",
            ) from error


def expect(holds: object, expected: str, received: object, todo: str) -> None:
    """Raise CheckFailed unless `holds` is true.

    Args:
        holds: The condition.
        expected: What the contract requires.
        received: What the component gave.
        todo: What its author can do.
    """
    __tracebackhide__ = True
    if not holds:
        raise CheckFailed(expected, str(received), todo)
