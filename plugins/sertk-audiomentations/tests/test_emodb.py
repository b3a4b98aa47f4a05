"""A training on EMO-DB whose copies audiomentations made: twice the same, and all of it there."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import ser_toolkit as sertk
from ser_toolkit import Recipe, import_keras

pytestmark = [
    pytest.mark.slow,
    # Keras 3 reads its variables in a way that numpy 2 deprecates.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
# The letter of the emotion in a file's name.
EMOTIONS = {"W": "anger", "T": "sadness"}
SETTINGS = (
    "augmenter=audiomentations",
    "augmenter.transform=AddGaussianSNR",
    "augmenter.params={min_snr_db = 0, max_snr_db = 10}",
    "extractor=log_mel",
    "training.copies=1",
    "training.ema_momentum=0",
    "training.warmup_epochs=0",
)


def train(root: Path, out: Path, workers: int) -> None:
    some = list(EMOTIONS.values())
    sertk.train(root, emotions=some, epochs=5, seed=1, settings=SETTINGS, workers=workers, out=out)


def features(folder: Path) -> dict[str, bytes]:
    """What was computed of each clip and copy; names are hashes of all that it depends on."""
    return {path.name: path.read_bytes() for path in (folder / "cache/features").rglob("*.npz")}


def weights(folder: Path) -> list[bytes]:
    model = import_keras().saving.load_model(folder / "run/model.keras", compile=False)
    return [weight.tobytes() for weight in model.get_weights()]


def predictions(folder: Path) -> list[str]:
    return (folder / "run/predictions.csv").read_text("utf-8").splitlines()[1:]


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / "run" / name).read_text("utf-8"))


@pytest.fixture(scope="module")
def runs(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return two of the same, each with `cache` and `run` in it."""
    folders = [tmp_path_factory.mktemp("run") for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        # Nothing of the first is left for the second, and other processes make its copies.
        for workers, folder in enumerate(folders, start=1):
            patch.setenv("SERTK_CACHE", str(folder / "cache"))
            train(data_dir / "emodb", folder / "run", workers)
    return folders


def test_no_clip_is_lost_and_every_copy_is_another(runs: list[Path], data_dir: Path) -> None:
    plan = read(runs[0], "split.json")["clips"]
    names = [path.name for path in (data_dir / "emodb/wav").iterdir()]
    wanted = {name: EMOTIONS[name[5]] for name in names if name[5] in EMOTIONS}
    assert {Path(clip["path"]).name: clip["emotion"] for clip in plan} == wanted
    assert len(plan) == len(wanted) == 189
    copies = Counter(clip["side"] for clip in plan)["train"]
    # One of each clip, one more of each for training, and no copy that is as its clip is.
    first = features(runs[0])
    assert len(first) == len(plan) + copies == len(set(first.values()))


def test_the_same_seed_gives_the_same_features_weights_and_predictions(runs: list[Path]) -> None:
    first, second = runs
    assert features(second) == features(first)
    assert weights(second) == weights(first)
    assert predictions(second) == predictions(first)


def test_the_run_names_the_transform_and_has_learnt(runs: list[Path]) -> None:
    recipe = Recipe.from_toml((runs[0] / "run/recipe.toml").read_text("utf-8"))
    (used,) = recipe.augmenter
    params = {"min_snr_db": 0, "max_snr_db": 10}
    assert used.name == "audiomentations"
    assert used.params == {
        "version": 2,
        "p": 1.0,
        "transform": "AddGaussianSNR",
        "params": params,
    }
    metrics = read(runs[0], "metrics.json")
    assert len(predictions(runs[0])) == metrics["clips"] == metrics["sides"]["test"]
    assert 1.5 / 2 < metrics["uar"] <= 1, "clearly above chance"
