"""Define components: frozen dataclasses whose fields are JSON values and are their whole state."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from .errors import SertkError
from .validate import Make, check_fields


@dataclasses.dataclass(frozen=True)
class Asset:
    """Bytes that belong to a component; they travel in the bundle as `assets/<sha256>`.

    Attributes:
        name: What people call it, such as `weights.npz`; never a path.
        sha256: Of the bytes, as 64 hexadecimal digits; it is checked whenever they are read.
        size: Their number.
    """

    name: str
    sha256: str
    size: int


AssetLoader = Callable[[Asset], bytes]
"""A function that returns the bytes of an asset, checked against its sha256."""


class Component:
    """Base of everything that a plugin offers.

    Subclasses are frozen dataclasses. A field holds a JSON value, an `Asset`, or another component,
    and has a default.

    Attributes:
        name: What users type. No colon.
        version: Bumped by any change that alters a number; what was made with another is refused.
        edge_ready: Whether it works on a device: with the standard library, numpy, soxr and
            soundfile, and dependencies of its distribution that have a wheel for aarch64.
    """

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    edge_ready: ClassVar[bool] = False


def fields_of(component: Component) -> dict[str, Any]:
    """Return the values of a component's fields, in order of declaration."""
    fields = dataclasses.fields(typing.cast(Any, component))
    return {field.name: getattr(component, field.name) for field in fields}


def to_spec(component: Component) -> dict[str, Any]:
    """Return the JSON values from which `from_spec` builds an equal component."""
    values = {key: _to_json(value) for key, value in fields_of(component).items()}
    return {"name": component.name, "version": component.version, **values}


def from_spec(
    spec: Mapping[str, Any], resolve: Callable[[str], Component], exact: bool = False
) -> Component:
    """Build a component from `to_spec` output or from hand-written parameters.

    A `version` in the spec that differs from the installed one is refused: the numbers would differ
    without anybody noticing.

    Args:
        spec: `name`, `version` and parameters.
        resolve: Finds the default instance by name.
        exact: Whether the version must be there.

    Raises:
        SertkError: For another version, an unknown parameter or a wrong type.
    """
    params = dict(spec)
    component = resolve(str(params.get("name", "")))
    if "name" not in fields_of(component):
        params.pop("name", None)
    version = params.pop("version", None if exact else component.version)
    if version != component.version:
        raise SertkError(
            f"'{component.name}' version {version} expected, version {component.version} installed",
            "Install the plugin version that this file was made with, or train again",
        )
    return configure(component, params, resolve)


def configure(
    component: Component,
    params: Mapping[str, Any],
    resolve: Callable[[str], Component] | None = None,
) -> Component:
    """Return a copy of a component with some parameters set.

    Args:
        component: What is copied.
        params: The parameters to set.
        resolve: Finds components that parameters name; None refuses such parameters.

    Raises:
        SertkError: For an unknown parameter or a wrong type.
    """
    values = configure_fields(type(component), params, component.name, resolve)
    try:
        changed: Component = dataclasses.replace(typing.cast(Any, component), **values)
    except (ValueError, TypeError) as error:
        raise SertkError(f"'{component.name}': {error}") from error
    return changed


def configure_fields(
    kind: type,
    params: Mapping[str, Any],
    where: str,
    resolve: Callable[[str], Component] | None = None,
) -> dict[str, Any]:
    """Return parameters with the types that a dataclass declares.

    Args:
        kind: The dataclass.
        params: The parameters, as JSON or TOML gives them.
        where: What errors call the table.
        resolve: As in `configure`.
    """
    return check_fields(kind, params, where, _maker(resolve))


def _maker(resolve: Callable[[str], Component] | None) -> Make | None:
    """Return a function that builds the components inside another; None where none can be found."""
    if resolve is None:
        return None
    return lambda table, hint: (
        from_spec(table, resolve) if "name" in table and hint is not Asset else None
    )


def parts_of(component: Component) -> Iterator[Component]:
    """Yield a component and the components inside it, outermost first."""
    yield component
    for item in _items(component):
        if isinstance(item, Component):
            yield from parts_of(item)


def assets_of(component: Component) -> Iterator[Asset]:
    """Yield every asset of a component and of the components inside it."""
    for part in parts_of(component):
        yield from (item for item in _items(part) if isinstance(item, Asset))


def _items(component: Component) -> Iterator[Any]:
    """Yield the values of the fields, those in tuples one by one."""
    for value in fields_of(component).values():
        yield from value if isinstance(value, tuple) else (value,)


def _to_json(value: Any) -> Any:
    if isinstance(value, Component):
        return to_spec(value)
    if isinstance(value, Asset):
        return dataclasses.asdict(value)
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _to_json(item) for key, item in value.items()}
    return value
