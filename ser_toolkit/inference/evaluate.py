"""A run or a bundle on data that took no part in its training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..contracts.components import Utterance
from ..data.corpus import load_corpus
from ..data.split import hash_of, speaker_hash
from ..metrics.scores import Scores, compute_metrics, utterance_scores
from ..plugins.bundles import open_bundle
from ..plugins.registry import Plugins, load_plugins
from ..runtime.audio.decode import read_audio
from ..runtime.bundle.file import parse_bundle, read_bytes
from ..runtime.errors import SertkError
from ..training.run_dir import Run
from ..utils.progress import Callback


@dataclass(frozen=True, eq=False)
class Subject:
    """What is evaluated: its clips with their sides, and how it scores others.

    `name_of` gives a speaker's name as `plan` has it.
    """

    recipe: str
    labels: tuple[str, ...]
    plan: Mapping[str, Any]
    protocol: Mapping[str, Any]
    span_s: tuple[float, float] | None
    name_of: Callable[[str | None], str | None]
    score: Callable[[Sequence[Utterance], Callback], Scores]


def evaluate(
    path: Path,
    data: tuple[str, ...],
    reader: str | None,
    emotions: tuple[str, ...],
    mapping: Mapping[str, str] | None,
    callback: Callback,
    include_training: bool = False,
    public_key: bytes | None = None,
) -> dict[str, Any]:
    """Score clips of the test side and clips never seen; what trained or validated is left out.

    With `include_training` it is scored as well, and the figure is labelled so.
    """
    plugins = load_plugins()
    subject = open_subject(path, public_key, plugins)
    corpus = load_corpus(data, plugins, callback, subject.span_s, reader, emotions, mapping)
    known = _with_known_emotion(corpus.utterances, subject.labels, callback)
    clips = known if include_training else _unheard(known, subject.plan)
    counts = _counted(known, clips, subject)
    return {
        "recipe": subject.recipe,
        "synthetic": corpus.synthetic,
        **compute_metrics(subject.score(clips, callback)),
        "counts": counts,
        "protocol": _protocol(subject, clips, counts),
    }


def open_subject(path: Path, public_key: bytes | None, plugins: Plugins) -> Subject:
    """Return a run directory or a bundle."""
    if path.is_file():
        return _of_bundle(path, public_key, plugins)
    if public_key is not None:
        raise SertkError("a run directory has no signature", "Give a signed bundle")
    return _of_run(Run(path), plugins)


def _of_run(run: Run, plugins: Plugins) -> Subject:
    run.check()
    predictor = run.predictor(plugins)
    return Subject(
        predictor.assembly.recipe.name,
        run.labels,
        run.json("split.json"),
        run.metrics["protocol"],
        predictor.extractor.span_s,
        lambda speaker: speaker,
        predictor.scores,
    )


def _of_bundle(path: Path, public_key: bytes | None, plugins: Plugins) -> Subject:
    content = read_bytes(path)
    classifier = open_bundle(content, public_key, plugins=plugins)
    bundle = parse_bundle(content, public_key)

    def score(clips: Sequence[Utterance], callback: Callback) -> Scores:
        tracked = callback.track(clips, "Scoring", len(clips))
        windows = [
            classifier.windows(
                read_audio(item.clip.path, item.clip.start_s, item.clip.end_s, shown=item.name)
            )
            for item in tracked
        ]
        return utterance_scores(windows, clips, classifier.labels)

    training = bundle.manifest.training
    return Subject(
        training["recipe"],
        classifier.labels,
        bundle.split,
        training["protocol"],
        classifier.extractor.span_s,
        speaker_hash,
        score,
    )


def _with_known_emotion(
    utterances: Sequence[Utterance], labels: Sequence[str], callback: Callback
) -> list[Utterance]:
    known = [item for item in utterances if item.emotion in labels]
    foreign = ", ".join(sorted({item.emotion for item in utterances} - set(labels)))
    if not known:
        raise SertkError(
            f"the run knows {', '.join(labels)}, the data have {foreign}",
            "Rename emotions with --map",
        )
    if foreign:
        callback.warn(
            f"{len(utterances) - len(known)} clips left out, the network does not know: "
            f"{foreign} (rename with --map)"
        )
    return known


def _unheard(known: Sequence[Utterance], plan: Mapping[str, Any]) -> list[Utterance]:
    """Return clips of the test side, and clips that the run has never seen."""
    learnt = _learnt(plan)
    clips = [item for item in known if item.hash not in learnt]
    if not clips:
        raise SertkError(
            f"no clip to score: {len(known)} of {len(known)} clips trained this run",
            "Give data that the run has not seen; --include-training scores them all the same",
        )
    return clips


def _learnt(plan: Mapping[str, Any]) -> set[str]:
    return {clip["hash"] for clip in plan["clips"] if clip["side"] != "test"}


def _counted(
    known: Sequence[Utterance], clips: Sequence[Utterance], subject: Subject
) -> dict[str, int]:
    plan = subject.plan
    heard = {clip["speaker"] for clip in plan["clips"] if clip["side"] != "test"}
    learnt, seen = _learnt(plan), {clip["hash"] for clip in plan["clips"]}
    new = [item for item in clips if item.hash not in seen]
    trained = sum(item.hash in learnt for item in clips)
    return {
        "test_side": len(clips) - len(new) - trained,
        "never_seen": len(new),
        "never_seen_of_known_speakers": sum(subject.name_of(u.speaker) in heard for u in new),
        "trained_on": trained,
        "left_out_as_trained_on": len(known) - len(clips),
    }


def _protocol(
    subject: Subject, clips: Sequence[Utterance], counts: Mapping[str, int]
) -> dict[str, Any]:
    """Return the training's own hash where its whole test side was scored and nothing else."""
    others = [clip for clip in subject.plan["clips"] if clip["side"] != "test"]
    rows = [(clip["hash"], clip["emotion"], clip["side"]) for clip in others]
    rows += [(item.hash, item.emotion, "test") for item in clips]
    known, trained_on = counts["never_seen_of_known_speakers"], counts["trained_on"]
    trained = subject.protocol
    caveats = [] if trained["comparable"] else list(trained["caveats"])
    caveats += [f"{known} new clips are by speakers heard in training"] if known else []
    if trained_on:
        caveats.insert(0, f"{trained_on} clips took part in training: this figure flatters")
    return {
        "name": f"evaluate a {trained['name']} run",
        "hash": hash_of([(subject.labels, rows)]),
        "caveats": caveats,
        "comparable": trained["comparable"] and not trained_on,
    }
