"""An option of `sertk serve-edge` for every setting; click does flag > environment > file."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .settings import SECTIONS, WrongUsageError
from .settings_loader import PREFIX, SinkChoice, defaults_of, plain_type, sink_of

Decorator = Callable[..., Any]
if TYPE_CHECKING:
    SinkParam = click.ParamType[SinkChoice]
else:
    # click 8.1 has no parameter for it.
    SinkParam = click.ParamType


class OneLineErrors(click.Command):
    """A command that says what is wrong in one line, where click says it in four."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            todo = "`sertk serve-edge --help` lists the options"
            raise WrongUsageError(_problem(error).rstrip("."), todo) from error


class SinkType(SinkParam):
    """NAME[,KEY=VALUE…]; several in one variable are separated by semicolons."""

    name = "sink"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> SinkChoice:
        """Parse a text; those of the file are parsed already."""
        del param, ctx
        found: SinkChoice = sink_of(value) if isinstance(value, str) else value
        return found

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split a variable into sinks."""
        return [text for text in rv.split(";") if text.strip()]


class AnyPath(click.Path):
    """A path as it is written: click would look at it, and fail at a null byte from a file."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return it; who uses it says what is wrong with it."""
        del param, ctx
        return Path(value)


class Names(click.types.StringParamType):
    """Texts; several in one variable are separated by commas."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split a variable into texts."""
        return [text.strip() for text in rv.split(",") if text.strip()]


def setting_options(command: Decorator) -> Decorator:
    """Add an option for every setting: its name, type and help come from the field."""
    for option in reversed(list(_options())):
        command = option(command)
    return command


def read_config(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Take the settings of a file as the defaults of the options that come after it."""
    del param
    if value is not None and ctx.auto_envvar_prefix:
        ctx.default_map = defaults_of(value)
    return value


def flag_of(section: str, field: dataclasses.Field[Any]) -> str:
    """Return the flag of a field: --section-field, unless it has a name of its own."""
    return str(field.metadata["flag"] or f"--{section}-{field.name}".replace("_", "-"))


def variable_of(section: str, name: str) -> str:
    """Return the environment variable of a field."""
    return f"{PREFIX}_{section}_{name}".upper()


def variables_of(command: click.Command) -> set[str]:
    """Return every environment variable that a command reads."""
    return {
        f"{PREFIX}_{param.name}".upper()
        for param in command.params
        if not isinstance(param, click.Option) or param.allow_from_autoenv
    }


def paths_of(command: click.Command, values: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield the options that hold a path, with it."""
    for option in command.params:
        if isinstance(option, click.Option) and isinstance(
            value := values.get(str(option.name)), Path
        ):
            yield option.opts[0], value


def _problem(error: click.UsageError) -> str:
    """Return what is wrong; of a variable with its name, where click names the option."""
    if not isinstance(error, click.BadParameter) or not error.ctx or not error.param:
        return error.format_message()
    name = str(error.param.name)
    if error.ctx.get_parameter_source(name) is not ParameterSource.ENVIRONMENT:
        return error.format_message()
    return f"invalid value for '{PREFIX}_{name.upper()}': {error.message}"


def _options() -> Iterator[Decorator]:
    for section, kind in SECTIONS.items():
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            if field.metadata["flag"] != "-":
                yield _option(section, field, hints[field.name])


def _option(section: str, field: dataclasses.Field[Any], hint: Any) -> Decorator:
    flag, name = flag_of(section, field), f"{section}_{field.name}"
    about = field.metadata["about"] + _default(field.default)
    if plain_type(hint) is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=about)
    if typing.get_origin(hint) is tuple:
        return click.option(flag, name, multiple=True, type=Names(), metavar="NAME", help=about)
    return click.option(flag, name, type=_type(hint), default=None, help=about)


def _default(value: Any) -> str:
    return "" if value in (None, "", (), False, -1) else f" [default: {value}]"


def _type(hint: Any) -> Any:
    if typing.get_origin(hint) is typing.Literal:
        return click.Choice(typing.get_args(hint))
    kind = plain_type(hint)
    return AnyPath() if kind is Path else kind
