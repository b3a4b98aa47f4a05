"""A bundle or a run at work: audio in, probabilities out, by the code that trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ..audio.decode import Audio
from ..bundle.container import BundleError
from ..bundle.file import Bundle
from ..bundle.manifest import Manifest, Part, SpeechLevel
from ..component import Component, from_spec, parts_of
from ..errors import SertkError
from ..features.base import F32, Extractor, Joined, Stack
from ..features.normalizer import Normalizer
from ..features.window import Window
from .inputs import features, signal_of, utterance_score, window_times, windows
from .tflite import TfliteModel

Resolve = Callable[[str], Component]
CONTAINERS: tuple[type[Component], ...] = (Stack, Joined)


class Network(Protocol):
    """What gives probabilities for windows: TFLite for a bundle, Keras for a run."""

    def __call__(self, inputs: Mapping[str, F32]) -> F32:
        """Return probabilities (W, n) float32 of W windows, (W, …) per input."""

    def embed(self, inputs: Mapping[str, F32]) -> F32:
        """Return the input of the last Dense layer for each window: (W, D) float32."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """What a bundle or a run predicts with. One thread at a time may use it.

    Attributes:
        name: What people call it.
        labels: The emotions, in the order of the probabilities.
        extractor: Ready to run.
        window: What the network sees at once.
        normalizers: One per input of the network.
        network: Windows to probabilities.
        uncertain_below: The confidence below which a prediction counts as uncertain.
        speech_level: How loud the training speech was; None where that is not known.
    """

    name: str
    labels: tuple[str, ...]
    extractor: Extractor
    window: Window
    normalizers: Mapping[str, Normalizer]
    network: Network
    uncertain_below: float = 0.0
    speech_level: SpeechLevel | None = None

    def features(self, audio: Audio, shown: str = "the audio") -> dict[str, F32]:
        """Return what the extractor computes, before it is standardised."""
        return features(self.extractor, signal_of(audio, self.extractor, shown), self.window)

    def inputs(self, audio: Audio, shown: str = "the audio") -> dict[str, F32]:
        """Return what the network sees: standardised (W, …) arrays, W >= 1."""
        return self.standardised(self.features(audio, shown))

    def standardised(self, arrays: Mapping[str, F32]) -> dict[str, F32]:
        """Return what the network sees of what `features` gave."""
        return windows(self.extractor, self.window, self.normalizers, arrays)

    def score(self, arrays: Mapping[str, F32]) -> F32:
        """Return probabilities (W, n) of what `features` gave."""
        return self.network(self.standardised(arrays))

    def window_probabilities(self, audio: Audio, shown: str = "the audio") -> F32:
        """Return probabilities (W, n) float32 of every window of `audio`, W >= 1."""
        return self.network(self.inputs(audio, shown))

    def embed(self, audio: Audio, shown: str = "the audio") -> F32:
        """Return the input of the last Dense layer, its mean over the windows: (D,) float32."""
        return utterance_score(self.network.embed(self.inputs(audio, shown)))

    def uncertain(self, probabilities: F32) -> bool:
        """Say whether the highest probability (n,) is too low to name an emotion."""
        return bool(probabilities.max() < self.uncertain_below)

    def times(self, audio: Audio) -> list[tuple[float, float]]:
        """Return start and end in seconds of each window that `window_probabilities` scores."""
        return window_times(self.extractor, self.window, signal_of(audio, self.extractor))


@dataclass(frozen=True, eq=False, kw_only=True)
class BundleClassifier(Classifier):
    """The classifier of a bundle, with what its manifest tells."""

    manifest: Manifest
    network: TfliteModel


def build_classifier(bundle: Bundle, resolve: Resolve, threads: int = 1) -> BundleClassifier:
    """Return the classifier of a bundle; `resolve` gives the installed component of a name.

    Refuses with BundleError what would give other numbers than at export: an extractor that is
    not installed or has another version, a network that does not fit the manifest. Raises
    SertkError for a runtime that is not among those that the bundle was proven on.
    """
    manifest = bundle.manifest
    extractor = _extractor(manifest, resolve).prepare(bundle.load)
    if extractor.rate_hz != manifest.rate_hz:
        raise BundleError(
            f"the bundle is for {manifest.rate_hz} Hz, its extractor for {extractor.rate_hz} Hz",
            "Export it again",
        )
    network = TfliteModel(bundle.model, threads, [runtime.name for runtime in manifest.runtimes])
    if network.inputs != manifest.inputs or network.n_classes != len(manifest.labels):
        raise BundleError(
            f"the network has inputs {network.inputs} and {network.n_classes} outputs, the "
            f"manifest {dict(manifest.inputs)} and {len(manifest.labels)} labels",
            "Export it again",
        )
    return BundleClassifier(
        manifest.name,
        manifest.labels,
        extractor,
        manifest.window,
        bundle.normalizers,
        network=network,
        uncertain_below=manifest.thresholds["uncertain"],
        speech_level=manifest.speech_level,
        manifest=manifest,
    )


def _extractor(manifest: Manifest, resolve: Resolve) -> Extractor:
    by_name = {part.name: _installed(part, resolve) for part in manifest.parts}
    try:
        built = from_spec(manifest.extractor, _known(by_name), exact=True)
    except SertkError as error:
        raise BundleError(error.problem, error.todo) from error
    named = [(part.name, part.version) for part in manifest.parts]
    if [(part.name, part.version) for part in parts_of(built)] != named:
        raise BundleError("manifest.extractor and manifest.parts differ", "Export it again")
    if not isinstance(built, Extractor):
        raise BundleError(f"'{built.name}' is no extractor", "Export it again")
    return built


def _installed(part: Part, resolve: Resolve) -> Component:
    """Return the installed default of a part, of the version that the bundle was made with."""
    wanted = f"'{part.name}' version {part.version}"
    todo = f"Run `pip install {part.distribution}=={part.distribution_version}`"
    try:
        found = container(part.name) or resolve(part.name)
    except (SertkError, LookupError) as error:
        why = str(error) if isinstance(error, SertkError) else "it is not installed"
        raise BundleError(f"the bundle needs {wanted}: {why.split('. ')[0]}", todo) from error
    if found.version != part.version:
        raise BundleError(f"the bundle needs {wanted}, version {found.version} is installed", todo)
    return found


def container(name: str) -> Component | None:
    """Return a `stack` or `joined` that has no parts yet, else None.

    These have no default instance, because they refuse to be empty, so no plugin offers them.
    """
    for kind in CONTAINERS:
        if kind.name == name:
            bare: Component = object.__new__(kind)
            return bare
    return None


def _known(by_name: Mapping[str, Component]) -> Resolve:
    def resolve(name: str) -> Component:
        if name not in by_name:
            raise BundleError(f"manifest.parts lacks {name!r:.80}", "Export it again")
        return by_name[name]

    return resolve
