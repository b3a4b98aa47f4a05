"""Every transform of the installed library: offered as it is, repeatable, harmless to its input."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import audiomentations
import numpy as np
import pytest
from audiomentations.core.transforms_interface import BaseWaveformTransform

from ser_toolkit import Recipe, SertkError, configure, from_spec, load_plugins, to_spec
from ser_toolkit.assemble import apply_setting, assemble
from ser_toolkit.assets import Assets
from ser_toolkit.runtime.component import fields_of
from sertk_audiomentations import LEFT_OUT, sertk_augmenters, sertk_recipes
from sertk_audiomentations.recordings import Recorded

RATE_HZ = 16_000
ALL = {one.name.partition(".")[2]: one for one in sertk_augmenters()}
RECORDED = {name: one for name, one in ALL.items() if isinstance(one, Recorded)}
NEEDS = {
    "Limiter": "numpy_audio_limiter",
    "LoudnessNormalization": "loudness",
    "Mp3Compression": "fast_mp3_augment",
    "RoomSimulator": "pyroomacoustics",
}
OTHER_DEFAULTS = {
    ("AdjustDuration", "duration_seconds"),
    ("RoomSimulator", "use_ray_tracing"),
    ("AddBackgroundNoise", "sounds_path"),
    ("AddShortNoises", "sounds_path"),
    ("ApplyImpulseResponse", "ir_path"),
}
# Parameters that hold code or a table of options, or that the library gives up.
NOT_OURS = {
    "part_transform",
    "noise_transform",
    "ray_tracing_options",
    "kwargs",
    "p",
    "lru_cache_size",
    "signal_gain_in_db_during_noise",
}
FIXED = {
    "AdjustDuration",
    "Clip",
    "Normalize",
    "PolarityInversion",
    "Reverse",
    "Trim",
}


def speech(n_samples: int = 2 * RATE_HZ) -> np.ndarray:
    t = np.arange(n_samples) / RATE_HZ
    voice = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 12))
    noise = np.random.default_rng(5).standard_normal(n_samples)
    return (0.1 * voice * (1 + np.sin(8 * t)) + 0.003 * noise).astype(np.float32)


SIGNALS = {
    "speech": speech(),
    "silence": np.zeros(8000, np.float32),
    "dc": np.full(8000, 0.5, np.float32),
    "full scale": np.sign(np.sin(np.arange(8000) / 20)).astype(np.float32),
    "one sample": np.array([0.25], np.float32),
    "short": speech(500),
    "nothing": np.zeros(0, np.float32),
}


# Those with recordings: test_recordings.py and test_conform.py.
@pytest.fixture(params=[name for name in ALL if name not in RECORDED])
def transform(request: pytest.FixtureRequest):
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param], exc_type=ImportError)
    return ALL[request.param]


def run(one, seed: int = 0, samples: np.ndarray = SIGNALS["speech"]) -> np.ndarray:
    return one.augment(samples, RATE_HZ, np.random.default_rng(seed))


def test_every_transform_of_the_library_is_offered_or_named_with_a_reason() -> None:
    kinds = {
        name
        for name, kind in vars(audiomentations).items()
        if isinstance(kind, type) and issubclass(kind, BaseWaveformTransform)
    }
    compositions = {"Compose", "OneOf", "SomeOf"}
    assert compositions <= set(vars(audiomentations))
    assert set(ALL) | set(LEFT_OUT) == kinds | compositions
    assert not set(ALL) & set(LEFT_OUT)


@pytest.mark.parametrize("name", ALL)
def test_parameters_and_defaults_are_the_librarys(name: str) -> None:
    signature = inspect.signature(getattr(audiomentations, name)).parameters
    theirs = {key: p.default for key, p in signature.items() if key not in NOT_OURS}
    ours = {key: value for key, value in fields_of(ALL[name]).items() if key != "p"}
    assert list(ours) == list(theirs)
    same = {key for key in ours if (name, key) not in OTHER_DEFAULTS}
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}


@pytest.mark.parametrize("signal", SIGNALS)
def test_any_signal_gives_finite_float32_and_is_left_alone(transform, signal: str) -> None:
    samples = SIGNALS[signal].copy()
    samples.flags.writeable = False
    out = run(transform, samples=samples)
    assert out.dtype == np.float32 and out.ndim == 1
    assert np.isfinite(out).all()
    assert not np.shares_memory(out, samples)
    assert np.array_equal(samples, SIGNALS[signal])
    assert len(out) > 0 or signal in ("nothing", "silence")


def test_same_generator_same_bytes_and_globals_as_they_were(transform) -> None:
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tobytes()
    first = run(transform)
    assert (random.getstate(), np.random.get_state()[1].tobytes()) == before
    random.seed(2)
    np.random.seed(2)
    assert run(transform).tobytes() == first.tobytes()


def test_another_generator_gives_other_audio(transform) -> None:
    outs = {run(transform, seed).tobytes() for seed in range(6)}
    assert (len(outs) == 1) == (transform.name.partition(".")[2] in FIXED)


def test_fields_are_the_whole_state(transform) -> None:
    half = configure(transform, {"p": 0.5})
    assert from_spec(json.loads(json.dumps(to_spec(half))), lambda name: transform) == half


def test_threads_that_run_together_do_not_disturb_each_other() -> None:
    names = ["AddGaussianSNR", "AddColorNoise", "SevenBandParametricEQ", "TimeMask"]
    jobs = [(ALL[name], seed) for seed in range(25) for name in names]
    alone = [run(one, seed).tobytes() for one, seed in jobs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda job: run(*job).tobytes(), jobs))
    assert together == alone


IN_A_CHILD = """
import hashlib, sys
import numpy as np
from sertk_audiomentations import sertk_augmenters
samples = np.load("x.npy")
for one in sertk_augmenters():
    if one.name in sys.argv:
        out = one.augment(samples, 16000, np.random.default_rng(3))
        print(one.name, hashlib.sha256(out.tobytes()).hexdigest())
"""


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    there = [name for name, package in NEEDS.items() if importlib.util.find_spec(package)]
    names = [name for name in ALL if name not in RECORDED and (name in there or name not in NEEDS)]
    np.save(tmp_path / "x.npy", SIGNALS["speech"])
    command = [sys.executable, "-c", IN_A_CHILD, *(ALL[name].name for name in names)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    mine = {ALL[n].name: hashlib.sha256(run(ALL[n], 3).tobytes()).hexdigest() for n in names}
    assert dict(line.split() for line in done.stdout.splitlines()) == mine


def test_components_travel_to_worker_processes() -> None:
    from joblib import Parallel, delayed

    one = configure(ALL["AddGaussianSNR"], {"min_snr_db": 1.0, "max_snr_db": 2.0})
    there = Parallel(n_jobs=2)(delayed(run)(one, seed) for seed in range(4))
    for seed, out in enumerate(there):
        assert out.tobytes() == run(one, seed).tobytes()


def test_the_ratio_is_the_one_that_was_asked_for() -> None:
    one = configure(ALL["AddGaussianSNR"], {"min_snr_db": 12.0, "max_snr_db": 12.0})
    samples = SIGNALS["speech"]
    noise = run(one).astype(np.float64) - samples
    ratio_db = 10 * np.log10(np.square(samples, dtype=np.float64).mean() / np.square(noise).mean())
    assert ratio_db == pytest.approx(12.0, abs=0.2)


@pytest.mark.parametrize(
    ("name", "params", "told"),
    [
        ("AddGaussianSNR", {"snr": 5.0}, "has no parameter 'snr'"),
        ("AddGaussianSNR", {"min_snr_db": "loud"}, "expects float"),
        ("AddGaussianSNR", {"min_snr_db": 50.0}, "min_snr_db"),
        ("Padding", {"mode": "wobble"}, "expects one of silence, wrap, reflect"),
        ("TimeStretch", {"min_rate": 0.3}, "nobody can seed"),
        ("RoomSimulator", {"use_ray_tracing": True}, "nobody can seed"),
    ],
)
def test_what_makes_no_sense_is_a_line_for_the_user(name: str, params: dict, told: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], exc_type=ImportError)
    with pytest.raises(SertkError) as caught:
        configure(ALL[name], params)
    assert told in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NEEDS)
def test_a_package_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, NEEDS[name], None)
    with pytest.raises(SertkError, match=r"sertk-audiomentations\[extras\]"):
        ALL[name].prepare(no_assets)
    with pytest.raises(SertkError, match=r"sertk-audiomentations\[extras\]"):
        run(ALL[name])


def no_assets(wanted: object) -> bytes:
    raise AssertionError(f"{wanted} was asked for")


# The library gives its other backends up.
@pytest.mark.filterwarnings("ignore:The .* backend is deprecated:DeprecationWarning")
@pytest.mark.parametrize("backend", ["lameenc", "pydub"])
def test_a_backend_is_named_by_its_own_package(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, backend, None)
    params = {"backend": backend, "preserve_delay": backend == "lameenc"}
    with pytest.raises(SertkError, match=f"pip install {backend}`"):
        configure(ALL["Mp3Compression"], params).prepare(no_assets)


def test_a_recipe_and_settings_reach_the_transform(tmp_path: Path) -> None:
    text = """
name = "x"
extractor = "rms"
model = "tcn"
augmenter = [{ name = "audiomentations.AddGaussianSNR", min_snr_db = 5.0, p = 0.5 }]
"""
    plugins = load_plugins()
    recipe = Recipe.from_toml(text)
    for key in ("augmenter.max_snr_db=20", "augmenter.audiomentations.AddGaussianSNR.p=0.25"):
        recipe = apply_setting(recipe, key, plugins, Assets((tmp_path,)))
    (one,) = assemble(recipe, plugins).augmenters
    assert fields_of(one) == {"min_snr_db": 5.0, "max_snr_db": 20.0, "p": 0.25}


def test_its_recipe_assembles_and_goes_to_toml_and_back() -> None:
    (recipe,) = sertk_recipes()
    assembly = assemble(recipe, load_plugins())
    assert len(assembly.augmenters) == 4 and len(assembly.masks) == 2
    pinned = assembly.recipe
    assert assemble(Recipe.from_toml(pinned.to_toml()), load_plugins()).recipe == pinned


def test_looking_around_imports_nothing_heavy() -> None:
    code = (
        "import sertk_audiomentations as s, sys; s.sertk_augmenters(); s.sertk_recipes()\n"
        "print([m for m in ('audiomentations', 'librosa', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_readme_lists_every_transform_with_its_parameters() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE))
    assert set(rows) == set(ALL) | set(LEFT_OUT)
    for name, one in ALL.items():
        params = [key for key in fields_of(one) if key != "p"]
        assert re.findall(r"`(\w+)`", rows[name]) == params, name
    for name, reason in LEFT_OUT.items():
        assert reason in rows[name]
