"""The opened model: a run or a bundle that predicts, embeds and is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, overload

from ..data.split import speaker_hash
from ..plugins.bundles import check_bundle, classifier_of, plugins_of
from ..plugins.registry import Plugins, load_plugins
from ..runtime.audio.channels import MIX, Channel, parse_channel
from ..runtime.bundle.file import parse_bundle, read_bytes
from ..runtime.errors import SertkError
from ..runtime.features.base import F32
from ..runtime.features.window import Window
from ..runtime.inference.classifier import Classifier
from ..runtime.inference.prediction import FailedPrediction, Prediction
from ..training.run_dir import RunDirectory
from ..utils.progress import CallbackInput, receiver
from ..utils.tables import Result
from . import predict as prediction
from .predict import AudioInput, Errors


@dataclass(frozen=True, eq=False)
class Provenance:
    """What a model was trained on, as far as it must be known to evaluate it.

    Attributes:
        recipe: Its name.
        plan: The clips of its training by content, with their subsets (`split.json`).
        protocol: How it was tested.
        speaker_name: Gives a speaker's name as `plan` has it.
        channel: Which channel of its files.
    """

    recipe: str
    plan: Mapping[str, Any]
    protocol: Mapping[str, Any]
    speaker_name: Callable[[str | None], str | None]
    channel: str = MIX


@dataclass(frozen=True, eq=False)
class Model:
    """A run or a bundle that has been opened. One thread at a time may use it.

    Attributes:
        classifier: Audio to probabilities.
        provenance: What it was trained on.
        plugins: Those that are loaded, which may be the few that a bundle names.
        bundle: The bytes of a bundle, which worker processes open again; None for a run.
    """

    classifier: Classifier
    provenance: Provenance = field(repr=False)
    plugins: Plugins = field(repr=False)
    bundle: bytes | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Return what people call it."""
        return self.classifier.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the emotions, in the order of the probabilities."""
        return self.classifier.labels

    @property
    def rate_hz(self) -> int:
        """Return the sample rate that the features are computed at."""
        return self.classifier.extractor.rate_hz

    @property
    def window(self) -> Window:
        """Return what the network sees at once, in frames."""
        return self.classifier.window

    @property
    def channel(self) -> str:
        """Return the channel of files that it was trained on, and that it predicts from."""
        return self.provenance.channel

    @property
    def uncertain_below(self) -> float:
        """Return the confidence below which a prediction counts as uncertain."""
        return self.classifier.uncertain_below

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is a sequence of str
        self,
        audio: AudioInput,
        *,
        rate_hz: int | None = None,
        errors: Literal["raise"] = "raise",
        workers: int = 0,
        channel: Channel | None = None,
        callback: CallbackInput = "auto",
    ) -> Prediction: ...
    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is a sequence of str
        self,
        audio: AudioInput,
        *,
        rate_hz: int | None = None,
        errors: Literal["return"],
        workers: int = 0,
        channel: Channel | None = None,
        callback: CallbackInput = "auto",
    ) -> Prediction | FailedPrediction: ...
    @overload
    def predict(
        self,
        audio: Sequence[AudioInput],
        *,
        rate_hz: int | None = None,
        errors: Literal["raise"] = "raise",
        workers: int = 0,
        channel: Channel | None = None,
        callback: CallbackInput = "auto",
    ) -> list[Prediction]: ...
    @overload
    def predict(
        self,
        audio: Sequence[AudioInput],
        *,
        rate_hz: int | None = None,
        errors: Literal["return"],
        workers: int = 0,
        channel: Channel | None = None,
        callback: CallbackInput = "auto",
    ) -> list[Prediction | FailedPrediction]: ...
    def predict(
        self,
        audio: AudioInput | Sequence[AudioInput],
        *,
        rate_hz: int | None = None,
        errors: Errors = "raise",
        workers: int = 0,
        channel: Channel | None = None,
        callback: CallbackInput = "auto",
    ) -> Any:
        """Predict the emotion of a clip, or of each clip of a sequence.

        Args:
            audio: A file, an array (N,) or (N, channels), an `Audio`, or a sequence of these.
            rate_hz: Samples per second of arrays.
            errors: `"raise"`; or `"return"`, a `FailedPrediction` in the place of a prediction.
            workers: Processes that share the files of a sequence where a bundle predicts; 0 means
                one per core from 64 files on. A run has one, in which TensorFlow takes all cores.
            channel: `mix` (the mean), `left`, `right`, or a number from 1 on; None is the channel
                that it was trained on.
            callback: Receives progress, and what is wrong with files that are damaged.

        Raises:
            AudioError: For audio that cannot be used.
        """
        prediction.check_errors(errors)
        chosen, callback = self._channel(channel), receiver(callback)
        if prediction.is_single(audio):
            found = [prediction.predict_one(self.classifier, audio, rate_hz, errors, chosen)]
        else:
            clips = prediction.checked(audio)
            rows = prediction.predict_many(
                self.classifier, self.bundle, clips, rate_hz, errors, workers, chosen
            )
            found = list(callback.track(rows, "Predicting", len(clips)))
        if damaged := [one.warning for one in found if isinstance(one, Prediction) and one.warning]:
            callback.warn(f"{len(damaged)} of {len(found)} files are damaged", damaged)
        return found[0] if prediction.is_single(audio) else found

    def evaluate(
        self,
        data: str | Path | Sequence[str | Path],
        *,
        reader: str | None = None,
        emotions: Sequence[str] = (),
        mapping: Mapping[str, str] | None = None,
        include_training: bool = False,
        channel: Channel | None = None,
        callback: CallbackInput = "auto",
    ) -> Result:
        """Score clips of the test subset and clips never seen.

        Args:
            data: A folder, a table, or several of these.
            reader: Who reads `data`, where it is not to be found out.
            emotions: Those that count; all, if empty.
            mapping: Renames emotions.
            include_training: Score what it was trained on as well, and mark the metrics as such.
            channel: As for `predict`.
            callback: Receives warnings and progress.
        """
        from .evaluate import evaluate

        paths = [data] if isinstance(data, (str, Path)) else data
        return evaluate(
            self,
            tuple(map(str, paths)),
            reader,
            tuple(emotions),
            mapping,
            receiver(callback),
            include_training,
            channel,
        )

    def embed(
        self,
        audio: AudioInput | Sequence[AudioInput],
        *,
        rate_hz: int | None = None,
        channel: Channel | None = None,
    ) -> F32:
        """Return the input of the last Dense layer, its mean over the windows.

        Args:
            audio: As for `predict`.
            rate_hz: Samples per second of arrays.
            channel: As for `predict`.

        Returns:
            (D,) float32 for a clip, (N, D) for a sequence of N.
        """
        chosen = self._channel(channel)
        if prediction.is_single(audio):
            return prediction.embed_one(self.classifier, audio, rate_hz, chosen)
        return prediction.embed_many(self.classifier, prediction.checked(audio), rate_hz, chosen)

    def _channel(self, chosen: Channel | None) -> str:
        return self.channel if chosen is None else parse_channel(chosen)


def load(
    path: Path,
    public_key: bytes | None = None,
    threads: int | None = None,
    plugins: Plugins | None = None,
) -> Model:
    """Open a run directory or a bundle; a bundle is verified and self-tested first.

    Args:
        path: Where it is.
        public_key: In PEM; only a bundle that this key has signed is opened.
        threads: Of a bundle's interpreter, by default one.
        plugins: Where extractors come from; by default those that are needed are loaded.
    """
    if path.is_dir():
        if public_key is not None:
            raise SertkError("a run directory has no signature", "Give a signed bundle")
        if threads is not None:
            raise SertkError(
                "threads expects a bundle, received a run directory",
                "Leave it out: TensorFlow takes all cores",
            )
        return load_run(RunDirectory(path), plugins)
    if not path.exists():
        raise SertkError(f"there is no run directory or bundle '{path}'", "Check the path")
    return _load_bundle(read_bytes(path), public_key, threads or 1, plugins)


def load_run(run: RunDirectory, plugins: Plugins | None = None) -> Model:
    """Open the network of a finished run."""
    run.check()
    plugins = plugins or load_plugins()
    classifier, plan = run.classifier(plugins), run.json("split.json")
    metrics = run.metrics
    provenance = Provenance(
        metrics["recipe"], plan, metrics["protocol"], lambda name: name, run.channel
    )
    return Model(classifier, provenance, plugins)


def _load_bundle(
    content: bytes, public_key: bytes | None, threads: int, plugins: Plugins | None
) -> Model:
    bundle = parse_bundle(content, public_key)
    check_bundle(bundle, content, threads)
    plugins = plugins or plugins_of(bundle.manifest)
    classifier = classifier_of(bundle, plugins, threads)
    training = bundle.manifest.training
    recipe = str(training.get("recipe", bundle.manifest.name))
    protocol, channel = training.get("protocol", {}), str(training.get("channel", MIX))
    provenance = Provenance(recipe, bundle.split, protocol, speaker_hash, parse_channel(channel))
    return Model(classifier, provenance, plugins, content)
