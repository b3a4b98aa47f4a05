"""What is drawn, computed and written of one recording, against independent references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_toolkit import api
from ser_toolkit.contracts.components import Utterance
from ser_toolkit.contracts.recipe import Recipe
from ser_toolkit.data.feature_store import Features, compute
from ser_toolkit.inspection.overview import LONGEST_S, write_pcm16
from ser_toolkit.inspection.panels import Image, Panel, Strips, Vector, Wave
from ser_toolkit.inspection.views import View, log_mel
from ser_toolkit.plugins.assemble import assemble
from ser_toolkit.plugins.assets import Assets
from ser_toolkit.plugins.registry import load_plugins
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features.base import Signal
from ser_toolkit.utils.progress import Callback

RATE_HZ = 16_000
COMBINED = """
name = "combined"
extractor = ["zcr", "rms"]
augmenter = [{ name = "notebook_noise", p = 0.1 }, { name = "shift", p = 0.1 }, "gain", "mask"]
model = { name = "tcn", channels = 4, dilations = [1] }
window = { length_frames = 60, hop_frames = 60 }
training = { epochs = 1, combine = "all" }
"""


class Received(Callback):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str, details: Any = ()) -> None:
        self.warnings.append(text)


@pytest.fixture(scope="session")
def clip(utterances: tuple[Utterance, ...]) -> Utterance:
    return utterances[0]


@pytest.fixture(scope="session")
def combined(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("recipe") / "combined.toml"
    path.write_text(COMBINED)
    return str(path)


@pytest.fixture(scope="session")
def found(
    clip: Utterance, combined: str, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What `inspect` tells of a clip and a recipe with all combinations of three augmenters."""
    folder = tmp_path_factory.mktemp("found")
    out = folder / "x.png"
    return api.inspect(clip.clip.path, recipe=combined, out=out, play_dir=folder, seed=5)


def look(recipe: str, signal: Signal, env: dict[str, str] | None = None) -> tuple[Panel, ...]:
    plugins = load_plugins(env=env or {})
    assembly = assemble(plugins.get("recipe", recipe), plugins)
    view = View(signal, assembly, assembly.extractor, plugins)
    return view.panels(Assets(()).load)


def sine(hz: float, seconds: float = 1.0, rate_hz: int = RATE_HZ) -> Signal:
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return Signal(0.5 * np.sin(2 * np.pi * hz * times), rate_hz)


def test_the_sounds_are_those_of_training(clip: Utterance, found: dict[str, Any]) -> None:
    """Every copy that a recipe with all combinations trains on, computed by the store."""
    names = ["notebook_noise", "shift", "gain"]
    names += ["notebook_noise+shift", "notebook_noise+gain", "shift+gain"]
    names += ["notebook_noise+shift+gain"]
    assert [item["name"] for item in found["augmentations"]] == names
    assert [Path(item["file"]).name for item in found["played"]] == [
        f"{number:02d}-{name}.wav" for number, name in enumerate(["original", *names])
    ]
    assert found["frame_augmentations"] == ["mask"]
    plugins = load_plugins(env={})
    assembly = assemble(Recipe.from_toml(COMBINED), plugins)
    wanted = Features(
        assembly.extractor, assembly.recipe.window, assembly.augmenters, 5, Assets(()).load, "all"
    )
    for item, copy in zip(found["played"][1:], (1, 2, 4, 3, 5, 6, 7), strict=True):
        samples = soundfile.read(item["file"], dtype="float32")[0]
        samples *= 10 ** (item["scaled_db"] / 20)
        results = assembly.extractor.frames(Signal(samples, RATE_HZ))  # type: ignore[attr-defined]
        trained = compute(wanted, clip, copy)["frames"]
        np.testing.assert_allclose(results[:, 1], trained[:, 1], atol=1e-4)


def test_the_same_seed_gives_the_same_bytes(clip: Utterance, tmp_path: Path) -> None:
    """And a probability of zero does not matter: an augmenter is shown to be seen."""
    settings = ("augmenter=shift", "augmenter.p=0")

    def files(name: str, seed: int) -> dict[str, bytes]:
        out, play = tmp_path / name / "x.png", tmp_path / name
        path = clip.clip.path
        api.inspect(path, recipe="compact", settings=settings, out=out, play_dir=play, seed=seed)
        return {path.name: path.read_bytes() for path in play.iterdir()}

    first, again, other = files("a", 1), files("b", 1), files("c", 2)
    assert first == again
    assert set(first) == {"x.png", "00-original.wav", "01-shift.wav"}
    assert first["01-shift.wav"] not in (first["00-original.wav"], other["01-shift.wav"])
    assert first["00-original.wav"] == other["00-original.wav"]


def test_without_a_recipe_every_installed_augmenter_is_shown(
    clip: Utterance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERTK_PLUGINS", "")
    found = api.inspect(clip.clip.path, out=tmp_path / "x.png")
    names = [item["name"] for item in found["augmentations"]] + found["frame_augmentations"]
    assert sorted(names) == sorted(a.name for a in load_plugins().all("augmenter"))
    assert {"noise", "gain", "mask", "tempo"} <= set(names)


def test_the_spectrogram_is_that_of_librosa(clip: Utterance) -> None:
    librosa = pytest.importorskip("librosa")
    samples = soundfile.read(clip.clip.path, dtype="float32")[0]
    picture = look("compact", Signal(samples, RATE_HZ))[1]
    assert isinstance(picture, Image)
    power = librosa.feature.melspectrogram(
        y=samples, sr=RATE_HZ, n_fft=1024, hop_length=160, n_mels=128, fmax=8000, center=False
    )
    expected = librosa.power_to_db(power, ref=np.max, top_db=None, amin=1e-12)
    assert np.abs(picture.values - expected).max() <= 1e-3 * np.abs(expected).max()
    assert picture.start_s == pytest.approx(0.032 - 0.005)
    assert picture.step_s == pytest.approx(0.01)


@pytest.mark.parametrize("hz", [500, 1000, 4000])
def test_a_tone_lies_at_its_tick(hz: int) -> None:
    picture = look("compact", sine(hz))[1]
    assert isinstance(picture, Image)
    (place,) = (at for at, name in picture.ticks if name == str(hz))
    assert abs(picture.values.mean(axis=1).argmax() - place) <= 1


def test_a_click_is_at_the_same_time_in_every_panel() -> None:
    samples = np.random.default_rng(0).normal(0, 1e-4, 2 * RATE_HZ)
    samples[RATE_HZ : RATE_HZ + 80] += 0.5
    timed = [panel for panel in look("msf", Signal(samples, RATE_HZ)) if panel.on_time]
    loudness = {p.title: p.values for p in timed if isinstance(p, Image) and "MFCC" not in p.title}
    assert len(loudness) == 2
    for panel in timed:
        if isinstance(panel, Image) and panel.title in loudness:
            level = panel.values.sum(axis=0)
            found_s = panel.start_s + panel.step_s * (level.argmax() + 0.5)
            assert found_s == pytest.approx(1.0, abs=0.1)
        if isinstance(panel, Strips):
            (curve,) = (curve for curve in panel.curves if curve.name == "rms")
            assert curve.times_s[curve.values.argmax()] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 22_050, 24_414, 44_100, 48_000])
def test_every_rate_has_a_spectrogram(rate_hz: int) -> None:
    mel = log_mel(rate_hz)
    assert (mel.n_mels, mel.fmax_hz) == (128, min(8000, rate_hz / 2))
    assert 0.06 <= mel.frame_length / rate_hz <= 0.13


def test_what_else_the_recipe_has_is_drawn() -> None:
    compact, msf = look("compact", sine(300)), look("msf", sine(300))
    assert [type(panel) for panel in compact] == [Wave, Image, Image, Image, Strips]
    names = [[c.name for c in p.curves] for p in (*compact, *msf) if isinstance(p, Strips)]
    assert names == [["pitch", "voicing"], ["zcr", "rms"]]


def test_modulation_of_a_tone_is_strongest_in_its_block() -> None:
    times = np.arange(3 * RATE_HZ) / RATE_HZ
    tone = 0.3 * (1 + np.sin(2 * np.pi * 16 * times)) * np.sin(2 * np.pi * 1000 * times)
    (panel,) = (p for p in look("msf", Signal(tone, RATE_HZ)) if p.title.startswith("MSF"))
    assert isinstance(panel, Image)
    assert [name for _, name in panel.ticks] == ["4 Hz", "8 Hz", "16 Hz", "32 Hz", "64 Hz"]
    strongest = panel.values[:, panel.values.shape[1] // 2].argmax()
    bounds = [-0.5, *panel.cuts, len(panel.values) - 0.5]
    assert bounds[2] < strongest < bounds[3]


def test_an_extractor_that_is_not_installed_has_no_panel() -> None:
    panels = look("compact", sine(300), env={"SERTK_PLUGINS": ""})
    assert [type(panel) for panel in panels] == [Wave, Image, Image, Strips]


def test_vectors_of_a_window_extractor_are_drawn() -> None:
    panel = Vector("x", np.arange(8, dtype=np.float32).reshape(2, 4), ("a_0", "a_1", "b_0", "$b"))
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    panel.draw(axes)
    heights = np.concatenate([patch.get_data().values for patch in axes.patches])
    np.testing.assert_allclose(heights, [2, 3, 4, 5])
    assert [text.get_text() for text in axes.texts] == ["a", "b", "$b"]


def test_of_a_long_file_the_beginning_is_drawn_and_that_is_said(
    combined: str, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    samples = np.random.default_rng(0).normal(0, 0.1, 8000 * 40)
    soundfile.write(path, samples, 8000)
    results = Received()
    found = api.inspect(
        path, recipe=combined, settings=("augmenter=gain",), out=tmp_path / "x.png",
        play_dir=tmp_path / "s", callback=results,
    )  # fmt: skip
    assert results.warnings == ["only 30 s of 'long.wav' are drawn and played"]
    assert (found["duration_s"], found["drawn_s"]) == (40, LONGEST_S)
    assert found["frames"] == 1 + (40 * RATE_HZ - 512) // 256
    lengths = [soundfile.info(item["file"]).duration for item in found["played"]]
    assert lengths == [LONGEST_S, LONGEST_S]


def test_any_file_name_is_drawn(clip: Utterance, combined: str, tmp_path: Path) -> None:
    path = tmp_path / "$\\frac{ 名 é.wav"
    path.write_bytes(clip.clip.path.read_bytes())
    found = api.inspect(path, recipe=combined, out=tmp_path / "x.png", settings=("augmenter=gain",))
    assert (tmp_path / "x.png").is_file()
    assert found["file"] == path.name


def test_the_shortest_speech_is_drawn(combined: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", sine(300, 0.05).samples, RATE_HZ)
    out, settings = tmp_path / "x.png", ("augmenter=gain",)
    found = api.inspect(tmp_path / "short.wav", recipe=combined, out=out, settings=settings)
    assert (found["frames"], found["windows"]) == (2, 1)


def test_the_picture_is_a_picture(found: dict[str, Any]) -> None:
    from matplotlib.image import imread

    picture = imread(found["picture"])[..., :3]
    assert picture.shape[1] == 1560
    assert 1500 < picture.shape[0] < 3500
    assert 0.2 < (picture.min(axis=-1) < 0.9).mean() < 0.8
    # Colours, so spectrograms are on it; and a margin that nothing runs into.
    assert (np.ptp(picture, axis=-1) > 0.3).mean() > 0.1
    assert (picture[:, -3:] == 1).all()
    assert (picture[:, :3] == 1).all()


def test_sixteen_bit_samples_survive_exactly(tmp_path: Path) -> None:
    steps = np.array([-32768, -32767, -1, 0, 1, 12345, 32767], np.int16)
    assert write_pcm16(tmp_path / "a.wav", (steps / 32768).astype(np.float32), 8000) == 0
    samples, rate_hz = soundfile.read(tmp_path / "a.wav", dtype="int16")
    np.testing.assert_array_equal(samples, steps)
    assert (rate_hz, soundfile.info(tmp_path / "a.wav").subtype) == (8000, "PCM_16")


@pytest.mark.parametrize("peak", [1.0, -1.0, 1.00001, -1.5, 3.0])
def test_nothing_ever_wraps(peak: float, tmp_path: Path) -> None:
    samples = np.array([0.0, 0.5 * peak, peak, -0.25], np.float32)
    softer_db = write_pcm16(tmp_path / "a.wav", samples, 8000)
    written = soundfile.read(tmp_path / "a.wav")[0] * 10 ** (softer_db / 20)
    np.testing.assert_allclose(written, samples, atol=5e-5 * max(1, abs(peak)))
    assert (softer_db > 0) == (abs(peak) > 1)


def test_an_augmenter_that_gives_rubbish_is_named(clip: Utterance, tmp_path: Path) -> None:
    deafening = '[{ name = "gain", db_min = 1000, db_max = 1000 }]'
    recipe = tmp_path / "loud.toml"
    recipe.write_text(COMBINED.replace(COMBINED.splitlines()[3], f"augmenter = {deafening}"))
    with (
        np.errstate(all="ignore"),
        pytest.raises(SertkError, match="augmenter 'gain' gave samples that are not finite"),
    ):
        api.inspect(clip.clip.path, recipe=str(recipe), out=tmp_path / "never.png")
    assert not (tmp_path / "never.png").exists()
