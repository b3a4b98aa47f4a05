"""Find commands in metadata: `sertk --help` imports no component and no plugin."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint

import click

from ..plugins.entry_points import BUILTIN_DISTRIBUTION, installed, origin
from ..plugins.errors import FIX, one_line
from ..plugins.hookspecs import COMMAND_GROUP
from ..plugins.sandbox import attempt
from ..runtime.errors import MissingExtra, SertkError
from .docstrings import docstring_of, is_hidden

EXTRAS = {
    **dict.fromkeys(("tensorflow", "keras", "librosa", "joblib", "matplotlib"), "train"),
    **dict.fromkeys(("sklearn", "scipy"), "train"),
}


class Commands(click.Group):
    """Take commands from the entry points of `sertk.commands`, and load them when typed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands; where two distributions share one, both in full."""
        return sorted(_by_name())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command by its name, or by `distribution:name`."""
        points = _by_name()
        if cmd_name in points:
            return _load(points[cmd_name])
        for point in points.values():
            if cmd_name == _full_name(point):
                return _load(point)
        shared = [name for name in points if name.endswith(f":{cmd_name}")]
        if shared:
            raise SertkError(
                f"command '{cmd_name}' is offered by "
                + " and ".join(name.rpartition(":")[0] for name in shared),
                f"Type sertk {' or sertk '.join(shared)}",
            )
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does; for an unknown command, say that it may come with a plugin."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = difflib.get_close_matches(name, self.list_commands(ctx), 1)
            meant = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"there is no command '{name}'.{meant} It may come with a plugin.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line per command; those of plugins are described without importing them."""
        points = {name: point for name, point in _by_name().items() if not is_hidden(point.value)}
        width = formatter.width - 6 - max(map(len, points), default=0)
        rows = [(name, _summary(points[name], width)) for name in sorted(points)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def missing_extra(error: ImportError) -> MissingExtra | None:
    """Return an error with the pip line for an optional library that could not be imported."""
    library = (error.name or "").split(".")[0]
    if library not in EXTRAS:
        return None
    return MissingExtra(
        f"this needs '{library}', which is not installed",
        f'Run `pip install "{BUILTIN_DISTRIBUTION}[{EXTRAS[library]}]"`',
    )


def _by_name() -> dict[str, EntryPoint]:
    points = installed(COMMAND_GROUP)
    names = [point.name for point in points]
    return {
        point.name if names.count(point.name) == 1 else _full_name(point): point for point in points
    }


def _full_name(point: EntryPoint) -> str:
    return origin(point).key


def _load(point: EntryPoint) -> click.Command:
    """Import one command; raise SertkError with the cause where it is broken."""
    loaded = attempt(point.load)
    if isinstance(loaded, click.Command):
        return loaded
    error = loaded if isinstance(loaded, BaseException) else None
    extra = missing_extra(error) if isinstance(error, ImportError) else None
    if extra is not None:
        raise extra from error
    cause = one_line(error) if error else f"{point.value} is not a click command"
    source = origin(point)
    raise SertkError(
        f"command '{point.name}' ({source.distribution} {source.version}) is broken: {cause}",
        FIX,
    ) from error


def _summary(point: EntryPoint, width: int) -> str:
    source = origin(point)
    if not source.is_builtin:
        package_summary = point.dist.metadata["Summary"] if point.dist else ""
        summary = docstring_of(point.value).rstrip(".") or package_summary
        return f"{summary or 'No description'} [{source.distribution}]"
    try:
        return _load(point).get_short_help_str(width)
    except SertkError as error:
        return f"({error.problem})"
