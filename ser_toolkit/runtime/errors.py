"""Define the one error class for what a user can fix."""

from __future__ import annotations


class SertkError(Exception):
    """Bad input or a missing part: one line that says what was expected, received, and what to do.

    The command line prints it without a traceback and exits with `exit_code`.

    Attributes:
        problem: What was expected and what was received.
        todo: What the user can do; may be empty.
        exit_code: 1, or 2 where an optional part is not installed.
    """

    exit_code = 1

    def __init__(self, problem: str, todo: str = "") -> None:
        self.problem = problem
        self.todo = todo
        super().__init__(f"{problem.rstrip('.')}. {todo}".rstrip() if todo else problem)


class AudioError(SertkError):
    """A file that cannot be used as speech: corrupt, empty, silent, too short, not audio."""


class MissingExtra(SertkError):  # noqa: N818
    """A command needs an optional part that is not installed."""

    exit_code = 2
