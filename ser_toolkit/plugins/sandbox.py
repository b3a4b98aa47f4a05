"""Run the code of plugins so that what it raises, prints or sets stays within it."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
HANDLERS = (signal.SIGINT, signal.SIGTERM)


def attempt(action: Callable[[], T], doing: str = "") -> T | BaseException:
    """Run foreign code and return what it returns or raises, except the user's own interrupt.

    An interrupt is raised with `doing`, such as "importing plugin 'msf' (sertk-msf 0.1.0)".
    """
    try:
        return action()
    except KeyboardInterrupt as stop:
        if not doing:
            raise
        raise KeyboardInterrupt(f"interrupted while {doing}") from stop
    except BaseException as error:
        return error


@contextlib.contextmanager
def captured() -> Iterator[io.StringIO]:
    """Capture what foreign code prints, since standard output may be piped as JSON.

    In the main thread, output of C code and of children is kept from standard output too, and
    warnings that were turned into errors and handlers of Ctrl-C are restored.
    """
    text = io.StringIO()
    with contextlib.ExitStack() as stack:
        # Other threads of a daemon go on writing meanwhile.
        if threading.current_thread() is threading.main_thread():
            stack.enter_context(_stdout_kept())
            stack.enter_context(_process_kept())
        stack.enter_context(contextlib.redirect_stdout(text))
        stack.enter_context(contextlib.redirect_stderr(text))
        yield text


@contextlib.contextmanager
def _stdout_kept() -> Iterator[None]:
    """Send what C code or a child writes to descriptor 1 to standard error."""
    with contextlib.ExitStack() as stack:
        # It may be closed, or stand for a pipe that nobody reads.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stdout.flush()
            elsewhere = _error_or_nothing()
            stack.callback(os.close, elsewhere)
            kept = os.dup(1)
            stack.callback(os.close, kept)
            os.dup2(elsewhere, 1)
            stack.callback(os.dup2, kept, 1)
        yield


def _error_or_nothing() -> int:
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


@contextlib.contextmanager
def _process_kept() -> Iterator[None]:
    """Restore handlers and error filters: libraries may silence their own warnings for good."""
    handlers = {number: signal.getsignal(number) for number in HANDLERS}
    filters = list(warnings.filters)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        if any(new[0] == "error" and new not in filters for new in warnings.filters):
            warnings.filters[:] = filters  # type: ignore[index]
