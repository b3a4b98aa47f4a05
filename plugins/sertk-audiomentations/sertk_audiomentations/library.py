"""Read the transforms of the installed library, and check the parameters that a recipe gives."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Mapping
from typing import Any, Literal

# A name, and why no recipe can hold it.
LEFT_OUT = {
    "Lambda": "needs a function, and a recipe holds no code",
    "Compose": "the recipe's own list of augmenters applies them in order",
    "OneOf": "the recipe's own list of augmenters, each with its p, takes its place",
    "SomeOf": "the recipe's own list of augmenters, each with its p, takes its place",
}
# A transform that mixes in recordings, and the parameter that gets their folder.
RECORDED = {
    "AddBackgroundNoise": "sounds_path",
    "AddShortNoises": "sounds_path",
    "ApplyImpulseResponse": "ir_path",
}
# `p` is the augmenter's; others hold code or a table of options, or are deprecated.
NOT_TAKEN = {
    *("p", "kwargs", "lru_cache_size", "signal_gain_in_db_during_noise"),
    *("part_transform", "noise_transform", "ray_tracing_options"),
}
# One of its lengths must be given; ray tracing draws from a generator that cannot be seeded.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "AdjustDuration": {"duration_seconds": 3.0},
    "RoomSimulator": {"use_ray_tracing": False},
}
NEEDS = {
    "Limiter": "numpy_audio_limiter",
    "LoudnessNormalization": "loudness",
    "RoomSimulator": "pyroomacoustics",
}
EXTRAS = (*NEEDS.values(), "fast_mp3_augment")
SLOWEST = 0.5


def transforms() -> tuple[str, ...]:
    """Return the names of all transforms that a recipe may name."""
    import audiomentations
    from audiomentations.core.transforms_interface import BaseWaveformTransform

    kinds = vars(audiomentations).items()
    names = [n for n, k in kinds if isinstance(k, type) and issubclass(k, BaseWaveformTransform)]
    return tuple(sorted(set(names) - set(LEFT_OUT)))


def kind_of(transform: str) -> Any:
    """Return the library's class; raise ValueError for a name that it does not have."""
    import audiomentations

    if why := LEFT_OUT.get(transform):
        raise ValueError(f"{transform} is left out: {why}")
    names = transforms()
    if transform not in names:
        near = difflib.get_close_matches(transform, names, 3) or names
        raise ValueError(f"transform expects one of {', '.join(near)}, received {transform!r}")
    return getattr(audiomentations, transform)


def defaults(transform: str) -> dict[str, Any]:
    """Return the parameters that a recipe may give, with their default values."""
    parameters = inspect.signature(kind_of(transform)).parameters
    hidden = {*NOT_TAKEN, RECORDED.get(transform)}
    values = {key: item.default for key, item in parameters.items() if key not in hidden}
    return {**values, **DEFAULTS.get(transform, {})}


def arguments(transform: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the class, without its recordings."""
    if "duration_samples" in params:  # instead of the seconds
        return dict(params)
    return {**DEFAULTS.get(transform, {}), **params}


def check(transform: str, params: Mapping[str, Any]) -> None:
    """Raise ValueError for parameters that the library accepts wrongly, or refuses unclearly."""
    known = defaults(transform)
    choices = typing.get_type_hints(kind_of(transform).__init__)
    for key, value in params.items():
        if key not in known:
            has = ", ".join(known) or "none"
            raise ValueError(f"{transform} has no parameter '{key}'; it has: {has}")
        allowed = typing.get_args(choices.get(key))
        if typing.get_origin(choices.get(key)) is Literal and value not in allowed:
            one_of = ", ".join(map(str, allowed))
            raise ValueError(f"{transform}.{key} expects one of {one_of}, received {value!r}")
        _check_kind(f"{transform}.{key}", value, known[key])
    _check_seedable(transform, params)


def _check_kind(where: str, value: Any, default: Any) -> None:
    """Compare with the type of the default: the library computes with a text until it fails."""
    wanted = _kind(0 if default is None else default)
    if _kind(value) != wanted:
        raise ValueError(f"{where} expects {wanted}, received {value!r}")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return "a text" if isinstance(value, str) else "something else"


def _check_seedable(transform: str, params: Mapping[str, Any]) -> None:
    """Refuse parameters with which C++ code draws from its own generator."""
    given = {**defaults(transform), **params}
    if transform == "RoomSimulator" and given["use_ray_tracing"]:
        raise ValueError("use_ray_tracing draws from a generator that cannot be seeded")
    slow = given["min_rate"] < SLOWEST if transform == "TimeStretch" else False
    if slow and given["method"] == "signalsmith_stretch":
        raise ValueError(
            f"min_rate of {SLOWEST} or more expected (slower, the stretcher draws phases from a "
            f"generator that cannot be seeded), received {given['min_rate']}"
        )


def needed_package(transform: str, params: Mapping[str, Any]) -> str | None:
    """Return the package that the library imports for this transform alone."""
    if transform == "Mp3Compression":
        return str(params.get("backend", "fast-mp3-augment")).replace("-", "_")
    return NEEDS.get(transform)
