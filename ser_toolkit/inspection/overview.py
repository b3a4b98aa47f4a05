"""Inspect one recording: its levels, its features, and every augmentation of it."""

from __future__ import annotations

import re
import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..contracts.components import Augmenter, FrameAugmenter
from ..contracts.recipe import Recipe
from ..data.feature_store import apply_chain, clip_rng
from ..plugins.assemble import Assembly, assemble, open_recipe
from ..plugins.assets import Assets
from ..plugins.registry import Plugins, load_plugins
from ..plugins.settings import RecipeSettings
from ..runtime.audio.decode import Audio, check_speech, content_hash, read_audio
from ..runtime.audio.recording import BLOCK_FRAMES, open_audio
from ..runtime.component import AssetLoader
from ..runtime.errors import SertkError
from ..runtime.features.base import F32, Extractor, Signal
from ..runtime.inference.inputs import signal_of
from ..utils.files import atomic, cache_dir
from ..utils.progress import Callback
from .panels import Sheet
from .views import Sound, View, parameters

LONGEST_S = 30.0
MOST_COMBINATIONS = 64
FULL_SCALE_16 = 32767 / 32768
DPI = 120
USABLE = "usable (neither empty nor too short nor silent, all samples are numbers)"


@dataclass(frozen=True)
class Chain:
    """Augmenters applied one after another, each for certain, with the generator of `number`."""

    number: int
    parts: tuple[Augmenter, ...]

    @property
    def name(self) -> str:
        """Return the names of the parts."""
        return "+".join(part.name for part in self.parts)

    def sound(self, signal: Signal, rng: np.random.Generator, load: AssetLoader) -> Sound:
        """Return the augmented recording, drawn as in training for this copy.

        Args:
            signal: The recording.
            rng: Source of every random draw.
            load: Loader of the augmenters' assets.

        Raises:
            SertkError: Where the result is empty or not finite.
        """
        certain = [replace(part, p=1.0).prepare(load) for part in self.parts]
        samples = apply_chain(certain, signal.samples, signal.rate_hz, rng)
        if not len(samples) or not np.isfinite(samples).all():
            raise SertkError(
                f"augmenter '{self.name}' gave samples that are not finite, or none",
                "This is a fault of the augmenter",
            )
        detail = parameters(self.parts[0]) if len(self.parts) == 1 else ""
        return Sound(self.name, detail, samples)


def inspect(
    file: Path,
    recipe: str | Recipe | None,
    out: Path | None,
    play_dir: Path | None,
    settings: RecipeSettings,
    seed: int,
    callback: Callback,
) -> dict[str, Any]:
    """Draw a recording into one picture, write its sounds, and return its facts.

    Args:
        file: The recording.
        recipe: Recipe whose extractors and augmenters are drawn; None takes the default recipe's
            extractors and every installed augmenter.
        out: The picture, a PNG file; None derives its name from `file`.
        play_dir: Folder for the recording and each augmentation as WAV; None writes none.
        settings: Settings of the recipe.
        seed: Seed of the augmentations.
        callback: Receiver of messages and progress.

    Raises:
        AudioError: For a recording without speech.
        SertkError: For a bad option.
    """
    out = out or Path(f"{file.stem}-inspect.png")
    if out.suffix.lower() != ".png":
        raise SertkError(f"--out expects a .png file, received '{out.name}'")
    audio = read_audio(file, shown=file.name)
    check_speech(audio, file.name)
    plugins = load_plugins()
    assembly, assets = _assembly(recipe, settings, plugins)
    load = assets.load
    extractor = assembly.extractor.prepare(load)
    signal = _used_signal(audio, extractor, file.name, callback)
    if recipe is None:
        chains, frame_augmenters = _installed(plugins, load, callback)
    else:
        chains, frame_augmenters = _of_recipe(assembly, callback), list(assembly.frame_augmenters)
    key = content_hash(audio)
    tracked = callback.track(chains, "Augmenting", len(chains))
    sounds = [chain.sound(signal, clip_rng(seed, chain.number, key), load) for chain in tracked]
    numbered = [
        (one, clip_rng(seed, number, key)) for number, one in enumerate(frame_augmenters, 1)
    ]
    view = View(signal, assembly, extractor, plugins)
    cells = (*view.cells(sounds), *view.augmented_frames(numbered))
    title = _title(file, audio, assembly, signal)
    _save(Sheet(title, len(signal) / signal.rate_hz, view.panels(load), cells), out)
    return {
        **_facts(file, audio, assembly, extractor),
        "drawn_s": len(signal) / signal.rate_hz,
        "augmentations": [_sound_facts(sound, signal.rate_hz) for sound in sounds],
        "frame_augmentations": [augmenter.name for augmenter in frame_augmenters],
        "played": _play(signal, sounds, play_dir) if play_dir else [],
        "picture": str(out),
    }


def _used_signal(audio: Audio, extractor: Extractor, shown: str, callback: Callback) -> Signal:
    """Return the part of a recording that the recipe uses, 30 s at most."""
    first_s = (extractor.span_s or (0.0, 0.0))[0]
    end = round((first_s + LONGEST_S) * audio.rate_hz)
    if _used_samples(audio, extractor) > round(LONGEST_S * extractor.rate_hz):
        callback.warn(f"only {LONGEST_S:g} s of '{shown}' are drawn and played")
    return signal_of(Audio(audio.samples[:end], audio.rate_hz), extractor, shown)


def _save(sheet: Sheet, out: Path) -> None:
    figure = sheet.draw()
    with atomic(out) as target:
        figure.savefig(target, format="png", dpi=DPI, metadata={"Software": None})


def _assembly(
    recipe: str | Recipe | None, settings: RecipeSettings, plugins: Plugins
) -> tuple[Assembly, Assets]:
    assets = Assets((cache_dir() / "assets",))
    for key in settings.keys:
        if recipe is None and key.startswith("augmenter"):
            raise SertkError(
                f"'{key}' sets an augmenter of a recipe, and no recipe is given",
                "Add --recipe NAME; without it every augmenter is shown with its defaults",
            )
    chosen = settings.apply(open_recipe(recipe, plugins), plugins, assets)
    return assemble(chosen, plugins), assets


def _installed(
    plugins: Plugins, load: AssetLoader, callback: Callback
) -> tuple[list[Chain], list[FrameAugmenter]]:
    """Return every installed augmenter alone, without those that lack a file or a package."""
    audio = [a for a in plugins.all("augmenter") if isinstance(a, Augmenter)]
    ready = [a for a in audio if _is_ready(a, load, callback)]
    return _alone(ready), [a for a in plugins.all("augmenter") if isinstance(a, FrameAugmenter)]


def _is_ready(augmenter: Augmenter, load: AssetLoader, callback: Callback) -> bool:
    try:
        augmenter.prepare(load)
    except SertkError as error:
        callback.note(f"'{augmenter.name}' is not shown: {error.problem}")
        return False
    return True


def _of_recipe(assembly: Assembly, callback: Callback) -> list[Chain]:
    """Return every augmenter alone, and the combinations where the recipe trains on all of them."""
    chains = _alone(assembly.augmenters)
    if assembly.recipe.training.combine == "all":
        combined = [n for n in range(1, assembly.augmented_copies + 1) if n & (n - 1)]
        if len(combined) > MOST_COMBINATIONS:
            callback.warn(f"{MOST_COMBINATIONS} of {len(combined)} combinations are shown")
        for number in sorted(combined, key=lambda n: (n.bit_count(), n))[:MOST_COMBINATIONS]:
            parts = [a for bit, a in enumerate(assembly.augmenters) if number >> bit & 1]
            chains.append(Chain(number, tuple(parts)))
    return chains


def _alone(augmenters: Sequence[Augmenter]) -> list[Chain]:
    # The bit of an augmenter is the number of the copy that has it alone.
    return [Chain(1 << bit, (augmenter,)) for bit, augmenter in enumerate(augmenters)]


def _facts(file: Path, audio: Audio, assembly: Assembly, extractor: Extractor) -> dict[str, Any]:
    """Return the facts of the whole file; level and peak are those of the mono mix."""
    channels, clipped = _raw(file)
    used = _used_samples(audio, extractor)
    window = assembly.recipe.window
    frames = extractor.frame_count(max(used, extractor.frame_length))
    wide = np.square(audio.samples, dtype=np.float64).mean()
    return {
        "file": file.name,
        "recipe": assembly.recipe.name,
        "rate_hz": audio.rate_hz,
        "channels": channels,
        "duration_s": audio.duration_s,
        "peak_dbfs": _db(float(np.abs(audio.samples).max())),
        "rms_dbfs": _db(float(np.sqrt(wide))),
        "clipped": clipped,
        "speech": USABLE,
        "extractor_rate_hz": extractor.rate_hz,
        "used_from_s": (extractor.span_s or (0.0,))[0],
        "used_s": used / extractor.rate_hz,
        "frames": frames,
        "hop_s": extractor.hop_length / extractor.rate_hz,
        "windows": len(window.starts(frames)),
        "window_s": extractor.sample_count(window.length_frames) / extractor.rate_hz,
    }


def _used_samples(audio: Audio, extractor: Extractor) -> int:
    """Return the number of samples that the extractor gets of the file, without resampling it."""
    start_s, end_s = extractor.span_s or (0.0, audio.duration_s)
    first = int(start_s * audio.rate_hz)
    last = min(len(audio.samples), first + round((end_s - start_s) * audio.rate_hz))
    return max(0, round((last - first) * extractor.rate_hz / audio.rate_hz))


def _raw(file: Path) -> tuple[int, float]:
    """Return the number of channels, and the share of clipped 16-bit samples in any of them."""
    clipped = total = n_channels = 0
    with open_audio(file) as sound:
        while len(block := sound.read(BLOCK_FRAMES)):
            clipped += int((np.abs(block) >= FULL_SCALE_16).sum())
            total, n_channels = total + block.size, block.shape[1]
        return n_channels, clipped / max(1, total)


def _db(amplitude: float) -> float:
    return float(20 * np.log10(max(amplitude, 1e-10)))


def _sound_facts(sound: Sound, rate_hz: int) -> dict[str, Any]:
    return {
        "name": sound.name,
        "parameters": sound.detail,
        "duration_s": len(sound.samples) / rate_hz,
        "peak_dbfs": _db(float(np.abs(sound.samples).max())),
    }


def _title(file: Path, audio: Audio, assembly: Assembly, signal: Signal) -> str:
    return (
        f"{file.name}: {audio.duration_s:.2f} s, {audio.rate_hz / 1000:g} kHz; "
        f"recipe {assembly.recipe.name} at {signal.rate_hz / 1000:g} kHz"
    )


def _play(signal: Signal, sounds: Sequence[Sound], folder: Path) -> list[dict[str, Any]]:
    """Write every sound as a WAV file, the recording first, attenuated where it would clip."""
    written = []
    for number, sound in enumerate([Sound("original", "", signal.samples), *sounds]):
        path = folder / f"{number:02d}-{_file_name(sound.name)}.wav"
        scaled_db = write_pcm16(path, sound.samples, signal.rate_hz)
        written.append({"file": str(path), "scaled_db": scaled_db})
    return written


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.+-]", "-", name)


def write_pcm16(path: Path, samples: F32, rate_hz: int) -> float:
    """Write samples (N,) as a mono 16-bit WAV file; return their attenuation in dB.

    Samples within full scale are written unscaled, to the nearest of the 16-bit steps.

    Args:
        path: The file.
        samples: float32 (N,), full scale 1.
        rate_hz: Sampling rate.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    gain = 1.0 if peak <= 1 else FULL_SCALE_16 / peak
    steps = np.clip(np.rint(samples.astype(np.float64) * gain * 32768), -32768, 32767)
    with atomic(path) as file, wave.open(file, "wb") as sound:
        sound.setparams((1, 2, rate_hz, 0, "NONE", "not compressed"))
        sound.writeframes(steps.astype("<i2").tobytes())
    return _db(1 / gain) if gain < 1 else 0.0
