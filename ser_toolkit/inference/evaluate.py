"""A run or a bundle on data that took no part in its training."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..contracts.components import Utterance
from ..data.clip_audio import read_utterance
from ..data.corpus import load_corpus
from ..data.split import hash_of
from ..metrics.caveats import caveats_of
from ..metrics.scores import Scores, compute_metrics, utterance_scores
from ..runtime.audio.channels import Channel, parse_channel
from ..runtime.errors import SertkError
from ..runtime.features.base import F32
from ..runtime.inference.classifier import Classifier
from ..utils.progress import Callback
from ..utils.tables import Result

if TYPE_CHECKING:
    from .model import Model, Provenance

GROUP = 128


def evaluate(
    model: Model,
    data: tuple[str, ...],
    reader: str | None,
    emotions: tuple[str, ...],
    mapping: Mapping[str, str] | None,
    callback: Callback,
    include_training: bool = False,
    channel: Channel | None = None,
) -> Result:
    """Score clips of the test subset and clips never seen; what it was trained on is left out.

    Args:
        model: A run or a bundle.
        data: Folders and tables.
        reader: Who reads them, where it is not to be found out.
        emotions: Those that count; all, if empty.
        mapping: Renames emotions.
        callback: Receives warnings and progress.
        include_training: Score what it was trained on as well, and mark the metrics as such.
        channel: Channel of the files; None is that of its training.
    """
    # Any of them may read the data.
    model.plugins.load_rest()
    span_s = model.classifier.extractor.span_s
    chosen = model.channel if channel is None else parse_channel(channel)
    plugins = model.plugins
    corpus = load_corpus(data, plugins, callback, span_s, reader, emotions, mapping, channel=chosen)
    known = _with_known_emotion(corpus.utterances, model.labels, callback)
    provenance = model.provenance
    clips = known if include_training else _not_trained_on(known, provenance.plan)
    counts = _counted(known, clips, provenance)
    return Result(
        {
            "recipe": provenance.recipe,
            "synthetic": corpus.synthetic,
            **compute_metrics(score(model.classifier, clips, callback)),
            "counts": counts,
            "protocol": _protocol(model.labels, provenance, clips, counts),
        }
    )


def score(classifier: Classifier, clips: Sequence[Utterance], callback: Callback) -> Scores:
    """Score clips whose emotions the model has."""
    inputs = (
        classifier.inputs(read_utterance(item), item.name)
        for item in callback.track(clips, "Scoring", len(clips))
    )
    return utterance_scores(_probabilities(classifier, inputs), clips, classifier.labels)


def _probabilities(classifier: Classifier, inputs: Iterable[Mapping[str, F32]]) -> Iterator[F32]:
    """Yield window probabilities (W, n) per clip; the windows of several clips go in together."""
    waiting = iter(inputs)
    while group := list(itertools.islice(waiting, GROUP)):
        ends = np.cumsum([len(next(iter(one.values()))) for one in group])
        joined = {name: np.concatenate([one[name] for one in group]) for name in group[0]}
        yield from np.split(classifier.network(joined), ends[:-1])


def _with_known_emotion(
    utterances: Sequence[Utterance], labels: Sequence[str], callback: Callback
) -> list[Utterance]:
    known = [item for item in utterances if item.emotion in labels]
    foreign = ", ".join(sorted({item.emotion for item in utterances} - set(labels)))
    if not known:
        raise SertkError(
            f"the model has the labels {', '.join(labels)}, the data contains {foreign}",
            "Rename emotions with --map",
        )
    if foreign:
        callback.warn(
            f"{len(utterances) - len(known)} clips left out, the model has no label for: "
            f"{foreign} (rename with --map)"
        )
    return known


def _not_trained_on(known: Sequence[Utterance], plan: Mapping[str, Any]) -> list[Utterance]:
    """Return clips of the test subset, and clips that the model has never seen."""
    trained = _trained_on(plan)
    clips = [item for item in known if item.hash not in trained]
    if not clips:
        raise SertkError(
            f"no clip to score: all {len(known)} clips took part in training",
            "Give other data, or add --include-training to score them all the same",
        )
    return clips


def _trained_on(plan: Mapping[str, Any]) -> set[str]:
    return {clip["hash"] for clip in plan["clips"] if clip["side"] != "test"}


def _counted(
    known: Sequence[Utterance], clips: Sequence[Utterance], provenance: Provenance
) -> dict[str, int]:
    plan, name_of = provenance.plan, provenance.speaker_name
    speakers = {clip["speaker"] for clip in plan["clips"] if clip["side"] != "test"}
    others, seen = _trained_on(plan), {clip["hash"] for clip in plan["clips"]}
    new = [item for item in clips if item.hash not in seen]
    trained = sum(item.hash in others for item in clips)
    return {
        "test_side": len(clips) - len(new) - trained,
        "never_seen": len(new),
        "never_seen_of_known_speakers": sum(name_of(u.speaker) in speakers for u in new),
        "trained_on": trained,
        "left_out_as_trained_on": len(known) - len(clips),
    }


def _protocol(
    labels: tuple[str, ...],
    provenance: Provenance,
    clips: Sequence[Utterance],
    counts: Mapping[str, int],
) -> dict[str, Any]:
    """Return the training's own hash where its whole test subset was scored and nothing else."""
    others = [clip for clip in provenance.plan["clips"] if clip["side"] != "test"]
    rows = [(clip["hash"], clip["emotion"], clip["side"]) for clip in others]
    rows += [(item.hash, item.emotion, "test") for item in clips]
    known, trained_on = counts["never_seen_of_known_speakers"], counts["trained_on"]
    trained = provenance.protocol
    caveats = [] if trained["comparable"] else list(trained["caveats"])
    caveats += (
        [f"{known} new clips are by speakers of the training or validation set"] if known else []
    )
    if trained_on:
        caveats.insert(0, f"{trained_on} clips took part in training: these metrics are too high")
    caveats += caveats_of(clips, labels)
    return {
        "name": f"evaluate a {trained['name']} run",
        "hash": hash_of([(labels, rows)]),
        "caveats": caveats,
        "comparable": trained["comparable"] and not trained_on,
    }
