"""Define the contracts of training: clips, readers, augmenters, model builders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from ..runtime.component import AssetLoader, Component
from ..runtime.features.base import F32

if TYPE_CHECKING:
    import keras

Subset = Literal["train", "validation", "test"]
"""What a clip is used for."""


@dataclass(frozen=True)
class Clip:
    """One utterance in a corpus: its audio, its speaker, and the emotion that was asked for.

    Attributes:
        path: The audio file.
        relative: The path below the corpus folder, with '/', as reports show it.
        corpus: The name of its corpus, usually that of the reader.
        emotion: A word; known words are canonical (`happiness`, not `happy`).
        speaker: Name of the speaker within the corpus; None where it is unknown.
        text: The spoken text, or a code for it; None where it is unknown.
        start_s: Start within the file, in seconds.
        end_s: End within the file, in seconds; None is the end of the file.
        side: Its `Subset`, only where the corpus itself prescribes a split. Readers of third
            parties pass it by this name.
        channel: Which channel of the file: `mix` (the mean of all), `left`, `right`, or a number
            from 1 on.
        where: The line of a table that it comes from, for errors.
    """

    path: Path
    relative: str
    corpus: str
    emotion: str
    speaker: str | None = None
    text: str | None = None
    start_s: float = 0.0
    end_s: float | None = None
    side: Subset | None = None
    channel: str = "mix"
    where: str = ""


@dataclass(frozen=True)
class Utterance:
    """A clip whose audio was decoded and found usable.

    `speaker` carries the corpus name in front ("emodb/03"), because two corpora number their
    speakers alike.

    Attributes:
        clip: The clip that the reader returned.
        hash: The sha256 of its decoded samples.
        seconds: Its duration.
        other_speakers: Other speakers, named as `speaker` does, who have the same recording.
    """

    clip: Clip
    hash: str
    seconds: float
    other_speakers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return corpus and relative path, with the start where a file holds several clips."""
        start = f"@{self.clip.start_s:g}s" if self.clip.start_s else ""
        return f"{self.clip.corpus}/{self.clip.relative}{start}"

    @property
    def emotion(self) -> str:
        """Return the emotion of the clip, its true label."""
        return self.clip.emotion

    @property
    def speaker(self) -> str | None:
        """Return the speaker, unique over all corpora."""
        return None if self.clip.speaker is None else f"{self.clip.corpus}/{self.clip.speaker}"

    @property
    def text(self) -> str | None:
        """Return the text, unique over all corpora."""
        return None if self.clip.text is None else f"{self.clip.corpus}/{self.clip.text}"


@dataclass(frozen=True)
class Match:
    """Confidence of a reader that a folder is its corpus.

    Attributes:
        score: 0 to 1; the reader with the highest is chosen, and where two share it, none.
        why: The reason, in words.
    """

    score: float
    why: str


@dataclass(frozen=True)
class Reading:
    """Clips of a corpus, and what was left out.

    Attributes:
        clips: In an order that is the same in every run.
        skipped: Files left out, below the corpus folder, and why.
        notes: Remarks for the user.
        ignored: Names of columns that the reader does not use; the user is shown them.
    """

    clips: tuple[Clip, ...]
    skipped: Mapping[str, str]
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


class Reader(Component):
    """Find the clips of a corpus below a folder.

    A reader with `needs_folder = False` makes its corpus itself and is chosen by name
    (`--data NAME`); it gets a cache folder as `root`. A reader of a corpus that is not human
    speech sets `synthetic = True`, and all metrics are marked so.

    Attributes:
        needs_folder: Whether users must say where the corpus lies.
        synthetic: Whether its speech is synthetic.
        licence: Licence of the corpus; it goes into reports and bundles.
        citation: Paper that presents the corpus.
        homepage: Where the corpus is published.
    """

    needs_folder: ClassVar[bool] = True
    synthetic: ClassVar[bool] = False
    licence: str = ""
    citation: str = ""
    homepage: str = ""

    def recognises(self, root: Path) -> Match | None:
        """Return a match where the names below `root` are those of this corpus, else None."""
        raise NotImplementedError

    def read(self, root: Path) -> Reading:
        """Return all clips below `root`. Raises SertkError when there is none."""
        raise NotImplementedError


@dataclass(frozen=True)
class Augmenter(Component):
    """Alter the audio of a training clip without altering its emotion.

    `p` is the probability of being applied; the core draws it. Only the given generator may be
    used: same generator, same bytes.
    """

    p: float = field(default=1.0, kw_only=True)

    def prepare(self, load: AssetLoader) -> Augmenter:
        """Return this augmenter ready to run, with the bytes of its assets from `load(asset)`."""
        del load
        return self

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        """Return the altered audio, float32 (M,) of any length, full scale 1.

        Args:
            samples: float32 (N,), mono, never changed.
            rate_hz: Sampling rate.
            rng: Source of every random draw.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class FrameAugmenter(Component):
    """Alter a standardised training window, anew in every epoch.

    `p` is the probability of being applied; the core draws it.
    """

    p: float = field(default=1.0, kw_only=True)

    def augment_frames(self, frames: F32, rng: np.random.Generator) -> F32:
        """Return a new float32 array (T, F); `frames` is never changed, 0 is a column's mean."""
        raise NotImplementedError


class ModelBuilder(Component):
    """Build a Keras network for given input shapes."""

    def build(self, inputs: Mapping[str, tuple[int, ...]], n_classes: int) -> keras.Model:
        """Return an uncompiled model with one input per name, its last layer Dense with softmax.

        `inputs` maps input names to shapes without the batch: {"frames": (T, F)} for frame
        extractors. The last layer must be Dense(n_classes, activation="softmax"), because the
        calibrated temperature is folded into its weights.
        """
        raise NotImplementedError


def describe(component: Any) -> str:
    """Return the first line of a component's docstring."""
    return (type(component).__doc__ or "").strip().split("\n")[0]
