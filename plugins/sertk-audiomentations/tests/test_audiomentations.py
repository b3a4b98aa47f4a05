"""Every transform of the installed library: the same everywhere, and refused in words."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import audiomentations
import numpy as np
import pytest
from audiomentations.core.transforms_interface import BaseWaveformTransform

import ser_toolkit as sertk
from ser_toolkit import SertkError, configure
from sertk_audiomentations import LEFT_OUT, SERTK_RENAMED, Audiomentations
from sertk_audiomentations.library import NEEDS, NOT_TAKEN, RECORDED, defaults, transforms

RATE_HZ = 16_000
README = Path(__file__).parents[1] / "README.md"
PACKAGES = {**NEEDS, "Mp3Compression": "fast_mp3_augment"}
# They draw nothing.
FIXED = {"AdjustDuration", "Clip", "Normalize", "PolarityInversion", "Reverse", "Trim"}
# Nothing may be left of a clip that lies within a mask, or below a bit.
ZEROS = {"BitCrush", "TimeMask"}
ALTERS = {"AdjustDuration", "Normalize", "PolarityInversion", "Reverse"}


def speech(n_samples: int = 2 * RATE_HZ) -> np.ndarray:
    t = np.arange(n_samples) / RATE_HZ
    voice = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 12))
    noise = np.random.default_rng(5).standard_normal(n_samples)
    return (0.1 * voice * (1 + np.sin(8 * t)) + 0.003 * noise).astype(np.float32)


SPEECH = speech()


@pytest.fixture(scope="module")
def named() -> dict[str, Audiomentations]:
    """Every transform whose package is installed, with its defaults; recordings: other files."""
    for package in PACKAGES.values():
        pytest.importorskip(package, exc_type=ImportError)
    return {name: Audiomentations(name) for name in transforms() if name not in RECORDED}


def run(one, seed: int = 0, samples: np.ndarray = SPEECH) -> np.ndarray:
    return one.augment(samples, RATE_HZ, np.random.default_rng(seed))


def no_assets(wanted: object) -> bytes:
    raise AssertionError(f"{wanted} was asked for")


def test_every_transform_of_the_library_is_taken_or_named_with_a_reason() -> None:
    kinds = {
        name
        for name, kind in vars(audiomentations).items()
        if isinstance(kind, type) and issubclass(kind, BaseWaveformTransform)
    }
    compositions = {"Compose", "OneOf", "SomeOf"}
    assert compositions <= set(vars(audiomentations))
    assert set(transforms()) | set(LEFT_OUT) == kinds | compositions
    assert not set(transforms()) & set(LEFT_OUT)
    assert set(RECORDED) | set(PACKAGES) <= set(transforms())


def test_no_samples_stay_none(named) -> None:
    for name, one in named.items():
        assert run(one, samples=np.zeros(0, np.float32)).shape == (0,), name


def test_another_generator_gives_other_audio(named) -> None:
    for name, one in named.items():
        outs = {run(one, seed).tobytes() for seed in range(6)}
        assert (len(outs) == 1) == (name in FIXED), name
        altered = outs != {SPEECH.tobytes()}
        assert altered or name in FIXED - ALTERS, name


def test_parameters_that_are_the_defaults_build_the_same_transform(named) -> None:
    for name, one in named.items():
        params = {k: v for k, v in defaults(name).items() if v is not None}
        written = configure(Audiomentations(), {"transform": name, "params": params, "p": 0.5})
        assert run(written).tobytes() == run(one).tobytes(), name


def test_threads_that_run_together_do_not_disturb_each_other(named) -> None:
    names = ["AddGaussianSNR", "AddColorNoise", "SevenBandParametricEQ", "TimeMask"]
    jobs = [(named[name], seed) for seed in range(25) for name in names]
    alone = [run(one, seed).tobytes() for one, seed in jobs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda job: run(*job).tobytes(), jobs))
    assert together == alone


IN_A_CHILD = """
import hashlib, sys
import numpy as np
from sertk_audiomentations import Audiomentations
samples = np.load("x.npy")
for name in sys.argv[1:]:
    out = Audiomentations(name).augment(samples, 16000, np.random.default_rng(3))
    print(name, hashlib.sha256(out.tobytes()).hexdigest())
"""


def test_another_process_gives_the_same_bytes(named, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", SPEECH)
    command = [sys.executable, "-c", IN_A_CHILD, *named]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    mine = {n: hashlib.sha256(run(one, 3).tobytes()).hexdigest() for n, one in named.items()}
    assert dict(line.split() for line in done.stdout.splitlines()) == mine


def test_components_travel_to_worker_processes() -> None:
    from joblib import Parallel, delayed

    one = Audiomentations("AddGaussianSNR", {"min_snr_db": 1.0, "max_snr_db": 2.0})
    there = Parallel(n_jobs=2)(delayed(run)(one, seed) for seed in range(4))
    for seed, out in enumerate(there):
        assert out.tobytes() == run(one, seed).tobytes()


def test_the_ratio_is_the_one_that_was_asked_for() -> None:
    one = Audiomentations("AddGaussianSNR", {"min_snr_db": 12.0, "max_snr_db": 12.0})
    samples = SPEECH
    noise = run(one).astype(np.float64) - samples
    ratio_db = 10 * np.log10(np.square(samples, dtype=np.float64).mean() / np.square(noise).mean())
    assert ratio_db == pytest.approx(12.0, abs=0.2)


def test_what_makes_no_sense_is_a_line_for_the_user(named) -> None:
    wrong = (
        ("AddGaussianNose", {}, "expects one of AddGaussianNoise"),
        ("Nonsense", {}, "AddBackgroundNoise, AddColorNoise"),
        ("Lambda", {}, "a recipe holds no code"),
        ("AddGaussianSNR", {"snr": 5.0}, "has no parameter 'snr'; it has: min_snr_db, max_snr_db"),
        ("AddGaussianSNR", {"min_snr_db": "loud"}, "expects a number"),
        ("AddGaussianSNR", {"min_snr_db": 50.0}, "min_snr_db"),
        ("BandPassFilter", {"zero_phase": 1}, "expects true or false"),
        ("Padding", {"mode": "wobble"}, "expects one of silence, wrap, reflect"),
        ("GainTransition", {"duration_unit": "hours"}, "expects one of fraction"),
        ("TimeStretch", {"min_rate": 0.3}, "cannot be seeded"),
        ("RoomSimulator", {"use_ray_tracing": True}, "cannot be seeded"),
    )
    for transform, params, expected_text in wrong:
        with pytest.raises(SertkError) as caught:
            configure(Audiomentations(), {"transform": transform, "params": params})
        assert expected_text in str(caught.value) and "\n" not in str(caught.value), transform
    for transform in transforms():
        for param in (NOT_TAKEN | set(RECORDED.values())) - {"kwargs"}:
            with pytest.raises(ValueError, match=f"no parameter '{param}'"):
                Audiomentations(transform, {param: 0.5})


def test_a_package_that_is_missing_is_named(named, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, package in PACKAGES.items():
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            for call in (named[name].prepare, lambda _, name=name: run(named[name])):
                with pytest.raises(SertkError, match=r"sertk-audiomentations\[extras\]"):
                    call(no_assets)


# The library gives its other backends up.
@pytest.mark.filterwarnings("ignore:The .* backend is deprecated:DeprecationWarning")
def test_a_backend_is_named_by_its_own_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for backend in ("lameenc", "pydub"):
        monkeypatch.setitem(sys.modules, backend, None)
        params = {"backend": backend, "preserve_delay": backend == "lameenc"}
        with pytest.raises(SertkError, match=f"pip install {backend}`"):
            Audiomentations("Mp3Compression", params).prepare(no_assets)


def recipe_file(folder: Path, augmenter: str) -> Path:
    file = folder / "x.toml"
    stages = 'name = "x"\nextractor = "rms"\nmodel = "tcn"\n'
    file.write_text(f"{stages}augmenter = [{{ {augmenter} }}]\n", "utf-8")
    return file


def wav(folder: Path) -> Path:
    import soundfile

    soundfile.write(folder / "x.wav", SPEECH, RATE_HZ)
    return folder / "x.wav"


def test_a_recipe_and_settings_reach_the_transform(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, 'name = "audiomentations", transform = "Trim", p = 0.5')
    settings = (
        "augmenter.transform=AddGaussianSNR",
        "augmenter.params={min_snr_db = 5.0, max_snr_db = 20}",
    )
    out = tmp_path / "x.png"
    found = sertk.inspect(wav(tmp_path), recipe=str(recipe), settings=settings, out=out)
    assert [one["name"] for one in found["augmentations"]] == ["audiomentations"]
    with pytest.raises(SertkError, match="AddGaussianSNR has no parameter 'snr'"):
        wrong = (settings[0], "augmenter.params={snr = 5.0}")
        sertk.inspect(wav(tmp_path), recipe=str(recipe), settings=wrong, out=out)


def test_a_recipe_with_an_old_name_is_told_what_to_write(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, 'name = "audiomentations.AddGaussianSNR", min_snr_db = 5.0')
    with pytest.raises(SertkError) as caught:
        sertk.inspect(wav(tmp_path), recipe=str(recipe), out=tmp_path / "x.png")
    assert "'audiomentations.AddGaussianSNR'" in caught.value.problem
    assert caught.value.todo == SERTK_RENAMED["audiomentations.*"]
    assert all(key in caught.value.todo for key in ("transform", "params", "recordings"))


def test_the_readme_lists_every_transform_with_its_parameters() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", README.read_text("utf-8"), re.MULTILINE))
    assert set(rows) == set(transforms()) | set(LEFT_OUT)
    for name in transforms():
        assert set(re.findall(r"`(\w+)`", rows[name])) == set(defaults(name)), name
    for name, reason in LEFT_OUT.items():
        assert reason in rows[name]


def test_a_short_clip_is_repeated_while_it_is_transformed(named) -> None:
    for n_samples in (300, 7_999):
        short = SPEECH[1_000 : 1_000 + n_samples] + np.float32(0.2)
        np.testing.assert_array_equal(run(named["Reverse"], samples=short), short[::-1])
        shifted = run(named["Shift"], 3, short)
        assert sorted(shifted.tolist()) == pytest.approx(sorted(short.tolist()), abs=0.3)
    for name, one in named.items():
        assert run(one, 1, SPEECH[:1_600]).any() or name in ZEROS, name


def test_the_level_of_a_short_clip_is_its_own(named) -> None:
    """Percentiles and levels are those of the clip, and not of what it is lengthened with."""
    short = SPEECH[1_000:2_600]
    clipped = Audiomentations(
        "ClippingDistortion", {"min_percentile_threshold": 20, "max_percentile_threshold": 20}
    )
    low, high = np.percentile(short, [10, 90])
    assert run(clipped, samples=short).min() == pytest.approx(low, rel=0.05)
    assert run(clipped, samples=short).max() == pytest.approx(high, rel=0.05)
