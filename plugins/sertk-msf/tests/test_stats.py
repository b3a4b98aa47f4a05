"""The 191 statistics against direct loops over the formulas of Wu, Falk and Chan (2011)."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from scipy import stats as scipy_stats

import sertk_msf
from ser_toolkit import (
    Functionals,
    Joined,
    SertkError,
    Signal,
    features,
    from_spec,
)
from ser_toolkit.dsp import resample
from ser_toolkit.testing import relative_error
from sertk_msf import Msf, MsfStats
from sertk_msf.stats import measures

RATE_HZ = 16000
STATS = MsfStats()
HOP_S = 0.064


def values_of(samples):
    signal = Signal(np.asarray(samples, np.float32), RATE_HZ)
    values = STATS.arrays(signal)["msf_stats"]
    assert values.dtype == np.float32
    return values


def named(samples):
    return dict(zip(STATS.columns, values_of(samples).tolist(), strict=True))


def noise(seconds=3.0, level=0.1, seed=1):
    return level * np.random.default_rng(seed).standard_normal(int(seconds * RATE_HZ))


def tone(carrier_hz, modulation_hz, seconds=3.0):
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    envelope = 1 + np.cos(2 * np.pi * modulation_hz * time_s)
    return 0.2 * envelope * np.sin(2 * np.pi * carrier_hz * time_s)


def speechlike():
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    buzz = sum(np.sin(2 * np.pi * k * 140 * time_s) / k for k in range(1, 25))
    syllables = np.maximum(0, np.sin(2 * np.pi * 3 * time_s)) * np.exp(-time_s / 2)
    return 0.1 * buzz * syllables + noise(3.0, 1e-3)


def energies_of(samples):
    """E(i, j), (T, 19, 5)"""
    logs = STATS.of.frames(Signal(np.asarray(samples, np.float32), RATE_HZ))
    return np.exp(logs.astype(np.float64)).reshape(-1, 19, 5)


@pytest.fixture(params=["speechlike", "noise", "tone", "emodb"])
def samples(request):
    made = {"speechlike": speechlike(), "noise": noise(1.0), "tone": tone(500, 16)}
    if request.param in made:
        return made[request.param]
    folder = request.getfixturevalue("data_dir") / "emodb"
    found, rate_hz = soundfile.read(sorted(folder.rglob("*.wav"))[100], dtype="float32")
    return resample(found, rate_hz, RATE_HZ)


def by_loops(frame):
    """Return the 23 measures of one normalised frame E[i - 1][j - 1], term by term."""
    rows, columns = range(1, 20), range(1, 6)
    energy = {(i, j): frame[i - 1][j - 1] for i in rows for j in columns}
    out = {}
    for j in columns:
        out[f"phi1_m{j}"] = sum(energy[i, j] for i in rows) / 19
    for j in (1, 3, 5):
        product = 1.0
        for i in rows:
            product *= energy[i, j] ** (1 / 19)
        out[f"phi2_m{j}"] = np.log(product / out[f"phi1_m{j}"])
        weighted = sum(i * energy[i, j] for i in rows)
        out[f"phi3_m{j}"] = weighted / sum(energy[i, j] for i in rows)
    for group, members in enumerate(
        ([1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], range(13, 19)), 1
    ):
        total = [sum(energy[i, j] for i in members) for j in columns]
        out[f"phi4_g{group}"] = sum(j * total[j - 1] for j in columns) / sum(total)
        line = np.polyfit(list(columns), np.log(total), 1)
        misses = [np.log(total[j - 1]) - np.polyval(line, j) for j in columns]
        out[f"phi5_g{group}"] = line[0]
        out[f"phi6_g{group}"] = np.sqrt(sum(miss**2 for miss in misses) / 5)
    return out


def test_191_columns_with_one_name_each():
    columns = STATS.columns
    assert len(columns) == len(set(columns)) == 95 + 46 + 50
    assert columns[0] == "msf_a01_m1_log_mean"
    assert columns[95:97] == ("phi1_m1_mean", "phi1_m2_mean")
    assert columns[95 + 23] == "phi1_m1_variance"
    assert columns[141] == "log_a01_std"
    assert columns[-1] == "log_all_slope"


def test_each_value_is_that_of_its_formula(samples):
    energies = energies_of(samples)
    shares = [frame / frame.sum() for frame in energies]
    loops = [by_loops(frame) for frame in shares]
    expected = {}
    for i in range(1, 20):
        for j in range(1, 6):
            mean = np.mean([frame[i - 1, j - 1] for frame in shares])
            expected[f"msf_a{i:02d}_m{j}_log_mean"] = np.log(mean)
    for name in loops[0]:
        expected[f"{name}_mean"] = np.mean([frame[name] for frame in loops])
        expected[f"{name}_variance"] = np.var([frame[name] for frame in loops])
    totals = {f"log_a{i:02d}": energies[:, i - 1, :].sum(axis=1) for i in range(1, 20)}
    totals |= {f"log_m{j}": energies[:, :, j - 1].sum(axis=1) for j in range(1, 6)}
    totals["log_all"] = energies.sum(axis=(1, 2))
    times_s = np.arange(len(energies)) * HOP_S
    for name, total in totals.items():
        expected[f"{name}_std"] = np.std(np.log(total))
        expected[f"{name}_slope"] = scipy_stats.linregress(times_s, np.log(total)).slope
    found = named(samples)
    assert expected.keys() == found.keys()
    for kind in {name.rsplit("_", 1)[1] for name in expected}:
        alike = [name for name in expected if name.endswith(f"_{kind}")]
        ours, wanted = (np.array([values[name] for name in alike]) for values in (found, expected))
        assert relative_error(ours, wanted) <= 1e-5, kind


def test_measures_of_a_frame_worked_out_by_hand():
    frame = np.ones((1, 19, 5))
    frame[0, 0, 0] = 2.0
    found = dict(zip([c[:-5] for c in STATS.columns[95:118]], measures(frame)[0], strict=True))
    assert found["phi1_m1"] == pytest.approx(20 / 19)
    assert found["phi1_m2"] == 1
    assert found["phi2_m1"] == pytest.approx(np.log(2) / 19 - np.log(20 / 19))
    assert found["phi2_m3"] == pytest.approx(0)
    assert found["phi3_m1"] == pytest.approx((190 + 1) / 20)
    assert found["phi3_m5"] == pytest.approx(10)
    assert found["phi4_g1"] == pytest.approx((5 + 4 * (2 + 3 + 4 + 5)) / 21)
    assert found["phi4_g4"] == pytest.approx(3)
    assert found["phi5_g1"] == pytest.approx(-2 * np.log(5 / 4) / 10)
    assert found["phi5_g2"] == found["phi6_g2"] == pytest.approx(0)


def test_modulated_tone_is_found_where_it_is():
    """An 8 Hz modulation of a 1077 Hz carrier: acoustic band 11, modulation band 2."""
    carrier_hz = STATS.of.centre_hz[10]
    assert carrier_hz == pytest.approx(1077, abs=0.5)
    assert STATS.of.modulation_hz[1] == pytest.approx(8)
    found = values_of(tone(carrier_hz, 8.0))
    grid = found[:95].reshape(19, 5)
    assert np.unravel_index(grid.argmax(), grid.shape) == (10, 1)
    values = dict(zip(STATS.columns, found, strict=True))
    # Group 3 holds bands 9-12: the centroid of what its bands let through is near band 2.
    assert values["phi4_g3_mean"] == pytest.approx(2, abs=0.4)
    assert values["phi1_m2_mean"] > 2 * values["phi1_m3_mean"]


def test_white_noise_is_flat_and_a_tone_is_not():
    flat, peaked = named(noise()), named(tone(1077, 8.0))
    for band in (1, 3, 5):
        assert -2.5 < flat[f"phi2_m{band}_mean"] < 0
    assert peaked["phi2_m3_mean"] < -3
    # Wide bands let through more of white noise and of its fast modulations.
    assert flat["phi3_m5_mean"] > 10
    assert flat["phi4_g4_mean"] > peaked["phi4_g3_mean"]


def test_gain_changes_nothing():
    expected = pytest.approx(values_of(speechlike()), rel=2e-2, abs=5e-3)
    for gain in (0.25, 4.0):
        assert values_of(gain * speechlike()) == expected, gain


def test_growing_level_is_a_slope():
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    found = named(noise(4.0) * np.exp(0.8 * time_s))
    # Energies grow with the square of the amplitude; the start of the filters adds a little.
    assert found["log_all_slope"] == pytest.approx(1.6, abs=0.25)
    assert found["log_m5_slope"] == pytest.approx(1.6, abs=0.25)


def test_a_click_and_a_single_frame_give_finite_values():
    for samples in (np.eye(1, 48128, 20000)[0], noise()[:1024]):
        assert np.isfinite(values_of(samples)).all()


def test_silence_is_the_floor_everywhere():
    found = named(np.zeros(16000))
    assert found["msf_a01_m1_log_mean"] == pytest.approx(-np.log(95))
    assert found["phi3_m1_mean"] == pytest.approx(10)
    assert found["phi4_g1_mean"] == pytest.approx(3)
    assert found["log_all_std"] == pytest.approx(0)


def test_short_audio_is_lengthened_to_one_frame():
    short = noise()[:3000]
    expected = np.append(short, np.zeros(1096))
    np.testing.assert_array_equal(values_of(short), values_of(expected))
    found = named(short)
    still = [n for n in found if n.endswith(("_variance", "_std", "_slope"))]
    assert len(still) == 23 + 50
    assert all(found[name] == 0 for name in still)


def test_stands_on_the_grid_of_the_recipe():
    assert MsfStats.takes_short
    assert (STATS.rate_hz, STATS.frame_length, STATS.hop_length) == (16000, 1024, 256)
    assert STATS.of.centre_hz == pytest.approx(Msf().centre_hz)


def test_refuses_what_does_not_fit():
    with pytest.raises(SertkError, match="16000 Hz, received 8000"):
        STATS.arrays(Signal(np.zeros(8000), 8000))
    with pytest.raises(ValueError, match="16000 Hz expected, received 8000"):
        MsfStats(of=Msf())
    with pytest.raises(ValueError, match="19 acoustic and 5 modulation"):
        MsfStats(of=Msf(rate_hz=16000, n_acoustic=23))


def recipe_named(name):
    (recipe,) = [recipe for recipe in sertk_msf.sertk_recipes() if recipe.name == name]
    return recipe


def test_recipe_uses_the_extractor_on_one_grid():
    recipe = recipe_named("msf")
    assert [use.name for use in recipe.extractor] == ["msf", "mfcc", "zcr", "rms"]
    assert {use.params["hop_length"] for use in recipe.extractor} == {256}
    assert {use.params["rate_hz"] for use in recipe.extractor} == {16000}
    msf = Msf(**recipe.extractor[0].params)
    assert msf.centre_hz == pytest.approx(Msf().centre_hz)


def test_statistics_recipe_joins_651_numbers():
    recipe = recipe_named("msf-stats")
    installed = {e.name: e for e in (Functionals(), sertk_msf.Msf(), sertk_msf.MsfStats())}
    specs = [{"name": use.name, **use.params} for use in recipe.extractor]
    joined = Joined(tuple(from_spec(spec, installed.__getitem__) for spec in specs))
    assert len(joined.columns) == len(set(joined.columns)) == 651
    seconds = joined.sample_count(recipe.window.length_frames) / joined.rate_hz
    assert seconds == pytest.approx(3, abs=0.02)
    arrays = features(joined, Signal(np.sin(np.arange(60000) ** 1.1), 16000), recipe.window)
    assert {name: values.shape for name, values in arrays.items()} == {
        "functionals": (2, 460),
        "msf_stats": (2, 191),
    }
    short = features(joined, Signal(np.sin(np.arange(5000)), 16000), recipe.window)
    alone = joined.arrays(Signal(np.sin(np.arange(5000)), 16000))
    np.testing.assert_array_equal(short["functionals"][0], alone["functionals"])
