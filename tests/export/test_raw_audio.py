"""One file from samples to probabilities, beside our own front end and Keras."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ser_toolkit.contracts.recipe import Recipe, Use
from ser_toolkit.export.converter import convert
from ser_toolkit.export.raw_audio import (
    RawAudioModel,
    check_network,
    make_raw_audio,
    sample_windows,
)
from ser_toolkit.export.raw_audio_graph import BORDER, check_border, graph_form, standardised
from ser_toolkit.export.tflite_graph import GraphTensor, Operator, operators
from ser_toolkit.plugins.assemble import assemble
from ser_toolkit.plugins.registry import load_plugins
from ser_toolkit.runtime.audio.decode import read_audio
from ser_toolkit.runtime.component import AssetLoader
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features.base import FrameExtractor, Signal, Stack, WindowExtractor
from ser_toolkit.runtime.features.normalizer import Normalizer, unaltered
from ser_toolkit.runtime.features.spectral import Deltas, LogMel, Mfcc, Pitch, Rms, Zcr
from ser_toolkit.runtime.features.window import Window
from ser_toolkit.runtime.inference.tflite import TfliteModel
from ser_toolkit.testing import relative_error
from ser_toolkit.training.keras_network import KerasNetwork
from ser_toolkit.training.run_dir import NETWORK, RunClassifier, RunDirectory

SETTINGS = (
    "extractor=log_mel,mfcc,rms,zcr",
    "extractor.mfcc.frame_length=1024",
    "extractor.mfcc.n_mfcc=12",
    "window.length_frames=100",
    "window.hop_frames=50",
    "model.channels=32",
    "training.copies=0",
    "training.batch_size=12",
)


# What has a graph form ---------------------------------------------------------------------------


def test_frames_of_a_stack_end_together() -> None:
    inner = Stack((LogMel(frame_length=512), Zcr(frame_length=256)))
    form = graph_form(Stack((Mfcc(frame_length=2048), inner, Rms(frame_length=1024))))
    kinds = [(part.extractor.name, part.offset) for part in form.parts]
    assert kinds == [("mfcc", 0), ("log_mel", 1536), ("zcr", 1792), ("rms", 1024)]


@dataclasses.dataclass(frozen=True)
class Louder(LogMel):
    name: ClassVar[str] = "louder"

    def prepare(self, load: AssetLoader) -> Louder:
        return self


@dataclasses.dataclass(frozen=True)
class Peak(WindowExtractor):
    name: ClassVar[str] = "peak"
    rate_hz: int = 16000
    frame_length: int = 512
    hop_length: int = 256


@pytest.mark.parametrize(
    ("extractor", "words"),
    [
        (Pitch(), "'pitch' has no such form"),
        (Louder(), "'louder' has no such form"),
        (Deltas(LogMel()), "'deltas' remembers earlier windows"),
        (Peak(), "'peak' gives features of a whole window"),
        (Stack((LogMel(), Pitch())), "'pitch' has no such form"),
        (Stack((LogMel(), Stack((Deltas(Rms()),)))), "'deltas' remembers"),
    ],
)
def test_the_part_without_a_form_is_named(extractor: Any, words: str) -> None:
    with pytest.raises(SertkError, match=words) as caught:
        graph_form(extractor)
    assert "log_mel, mfcc, rms, zcr" in caught.value.todo


def test_a_spectrum_needs_a_power_of_two() -> None:
    with pytest.raises(SertkError, match=r"a power of two .* received 400") as caught:
        graph_form(Stack((LogMel(), Mfcc(frame_length=400, n_mels=40))))
    assert "extractor.mfcc.frame_length=512" in caught.value.todo
    graph_form(Stack((Rms(frame_length=400), Zcr(frame_length=400))))


# The features ------------------------------------------------------------------------------------

FRONT_ENDS: tuple[FrameExtractor, ...] = (
    LogMel(),
    LogMel(log="db", mel_scale="slaney", norm="slaney", precision="single"),
    LogMel(frame_length=1024, hop_length=160, n_mels=40, floor=1e-4, norm="unit_sum"),
    LogMel(frame_length=256, hop_length=300, n_mels=20),
    Mfcc(n_mfcc=40),
    Rms(frame_length=400, hop_length=160),
    Zcr(frame_length=400, hop_length=161),
    Stack((Mfcc(frame_length=2048), LogMel(), Zcr(), Rms(frame_length=1024))),
)


@pytest.fixture(scope="module")
def sound() -> Any:
    """A chord that fades into silence, with a little noise and a stretch of zeros."""
    time_s = np.arange(20000) / 16000
    tones = sum(np.sin(2 * np.pi * hz * time_s) for hz in (110, 440, 2500))
    noise = 1e-3 * np.random.default_rng(3).standard_normal(len(time_s))
    samples = (0.2 * tones * np.exp(-2 * time_s) + noise).astype(np.float32)
    samples[9000:12000] = 0
    return samples


@pytest.mark.parametrize("extractor", FRONT_ENDS, ids=lambda e: f"{e.name}-{e.frame_length}")
def test_graph_gives_the_frames(extractor: FrameExtractor, sound: Any) -> None:
    wanted = extractor.frames(Signal(sound, 16000))
    count = len(wanted)
    part = sound[: extractor.sample_count(count)]
    normalizer = unaltered(wanted.shape[1])
    given = np.asarray(standardised(graph_form(extractor), normalizer, part, count))
    assert given.shape == (1, *wanted.shape)
    assert relative_error(given[0], wanted) <= 2e-4


def test_graph_standardises(sound: Any) -> None:
    extractor, part = Rms(), sound[: 512 + 9 * 256]
    normalizer = Normalizer(np.array([0.25], np.float32), np.array([0.5], np.float32))
    given = np.asarray(standardised(graph_form(extractor), normalizer, part, 10))
    wanted = (extractor.frames(Signal(part, 16000)) - 0.25) / 0.5
    assert relative_error(given[0], wanted) <= 1e-5


def test_samples_behind_windows(sound: Any) -> None:
    extractor = Stack((Mfcc(frame_length=1024), Zcr()))
    window, signal = Window(length_frames=20, hop_frames=7), Signal(sound, 16000)
    pieces = sample_windows(extractor, window, signal)
    wanted = window.cut(extractor.frames(signal))
    assert len(pieces) == len(wanted) > 5
    given = [extractor.frames(Signal(piece, 16000)) for piece in pieces]
    assert relative_error(np.concatenate(given), np.concatenate(wanted)) <= 1e-4


def test_a_short_clip_is_repeated() -> None:
    window, signal = Window(length_frames=4), Signal(np.arange(500) / 500, 16000)
    (piece,) = sample_windows(Rms(), window, signal)
    assert len(piece) == 512 + 3 * 256
    np.testing.assert_array_equal(piece, np.tile(signal.samples, 3)[: len(piece)])


# The converter -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dense_first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Operator, ...]:
    """A graph whose network begins with a dense layer, behind two features of equal frames."""
    from ser_toolkit.training.backend import import_keras

    keras = import_keras()
    layers, start = keras.layers, keras.Input((20, 84), name="frames")
    pooled = layers.GlobalAveragePooling1D()(layers.Dense(8, activation="relu")(start))
    network = keras.Model(start, layers.Dense(3, activation="softmax")(pooled))
    run = RunDirectory(tmp_path_factory.mktemp("dense"))
    network.save(run.path / NETWORK)
    plugins = load_plugins()
    features = (Use("log_mel"), Use("mfcc"))
    recipe = Recipe("dense", "", features, Use("tcn"), window=Window(20, 10))
    normalizer = Normalizer(np.full(84, -5, np.float32), np.full(84, 3, np.float32))
    assembly = assemble(recipe, plugins)
    labels = ("anger", "joy", "neutral")
    classifier = RunClassifier(
        "dense",
        labels,
        assembly.extractor,
        recipe.window,
        {"frames": normalizer},
        network=KerasNetwork(network),
        assembly=assembly,
    )
    return operators(make_raw_audio(run, classifier, (), "float32").content)


def test_scale_stays_out_of_the_first_layer(dense_first: Sequence[Operator]) -> None:
    check_border(dense_first)
    named = [op.outputs[0].name.startswith(BORDER) for op in dense_first]
    assert dense_first[named.index(True)].name == "MAXIMUM"
    before = [op.name for op in dense_first[: named.index(True)]]
    assert {"SUB", "MUL"} <= set(before)


def test_equal_frames_share_one_spectrum(dense_first: Sequence[Operator]) -> None:
    assert [op.name for op in dense_first].count("RFFT2D") == 1


def operator(name: str) -> Operator:
    return Operator("ADD", 1, (), (GraphTensor(name, (1,), "float32"),))


def test_merged_graphs_are_refused() -> None:
    check_border([operator("frontend/Log"), operator(f"{BORDER};x"), operator("network/dense")])
    for names in (
        ("frontend/Log", "network/dense"),
        ("frontend/Log", "network/dense;frontend/mul", BORDER),
        ("frontend/Log", "StatefulPartitionedCall:0", BORDER, "network/dense"),
    ):
        with pytest.raises(SertkError, match="merged the front end"):
            check_border([operator(name) for name in names])


def test_a_network_of_other_frames_is_refused() -> None:
    from ser_toolkit.training.backend import import_keras

    keras = import_keras()
    start = keras.Input((20, 84), name="frames")
    network = keras.Model(start, keras.layers.Flatten()(start))
    check_network(network, (20, 84), "int8")
    with pytest.raises(SertkError, match=r"expects \[\(20, 84\)\], the front end gives \(20, 64\)"):
        check_network(network, (20, 64), "float32")


def test_recurrent_layers_stay_float() -> None:
    from ser_toolkit.training.backend import import_keras

    keras = import_keras()
    start = keras.Input((20, 84), name="frames")
    looped = keras.layers.Bidirectional(keras.layers.GRU(4))(start)
    network = keras.Model(start, keras.layers.Dense(3, activation="softmax")(looped))
    check_network(network, (20, 84), "float32")
    with pytest.raises(SertkError, match="recurrent layers cannot be int8"):
        check_network(network, (20, 84), "int8")


# The file ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Made:
    """A run, what predicts from it in Python, and windows of its corpus."""

    run: RunDirectory
    classifier: RunClassifier
    windows: Any

    @property
    def samples(self) -> int:
        return self.classifier.extractor.sample_count(100)

    def wanted(self, windows: Any) -> Any:
        """Our own front end and Keras."""
        return self.classifier.network.model.predict(self.frames(windows), verbose=0)

    def frames(self, windows: Any) -> Any:
        """What our own front end gives to the network."""
        extractor, normalizer = self.classifier.extractor, self.classifier.normalizers["frames"]
        assert isinstance(extractor, FrameExtractor)
        frames = [extractor.frames(Signal(window, 16000)) for window in windows]
        return np.stack([normalizer.apply(one)[0] for one in frames])


def windows_of(paths: Sequence[Path], samples: int) -> Any:
    """The first window of each file that fills one."""
    sounds = [read_audio(path).samples for path in paths]
    return np.stack([sound[:samples] for sound in sounds if len(sound) >= samples])


@pytest.fixture(scope="module")
def made(small_corpus: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    import ser_toolkit as sertk

    out = tmp_path_factory.mktemp("runs") / "front"
    run = sertk.train(small_corpus, epochs=25, settings=SETTINGS, workers=1, seed=1, out=out)
    classifier = run.classifier(load_plugins())
    files = sorted(small_corpus.rglob("*.wav"))
    return Made(run, classifier, windows_of(files, classifier.extractor.sample_count(100)))


def margin(probabilities: Any) -> Any:
    """How far the answer is ahead of the next."""
    ranked = np.sort(probabilities, axis=1)
    return ranked[:, -1] - ranked[:, -2]


@pytest.fixture(scope="module")
def float_file(made: Made) -> RawAudioModel:
    return make_raw_audio(made.run, made.classifier, (), "float32")


@pytest.fixture(scope="module")
def int8_file(made: Made) -> RawAudioModel:
    return make_raw_audio(made.run, made.classifier, list(made.windows), "int8")


@pytest.mark.slow
def test_float_file_answers_as_python(made: Made, float_file: RawAudioModel) -> None:
    answers = TfliteModel(float_file.content)({"samples": made.windows})
    wanted = made.wanted(made.windows)
    assert len(wanted) > 20
    assert margin(wanted).mean() > 0.2  # a network that has learnt something
    np.testing.assert_allclose(answers, wanted, atol=1e-4)
    assert float_file.max_difference < 1e-4
    assert float_file.agreement == 1


@pytest.mark.slow
def test_real_speech(made: Made, float_file: RawAudioModel, data_dir: Path) -> None:
    """An int8 network knows the ranges of what it was calibrated on, so that is speech as well."""
    windows = windows_of(sorted((data_dir / "emodb/wav").glob("*.wav"))[::5], made.samples)
    known, new = windows[::2], windows[1::2]
    wanted = made.wanted(new)
    sure = margin(wanted) > 0.1
    assert sure.sum() > 30
    exact = TfliteModel(float_file.content)({"samples": new})
    np.testing.assert_allclose(exact, wanted, atol=1e-4)
    small = make_raw_audio(made.run, made.classifier, list(known), "int8")
    close = TfliteModel(small.content)({"samples": new})
    agree = close.argmax(1) == wanted.argmax(1)
    alone = convert(made.run.file(NETWORK), "int8", {"frames": made.frames(known)})
    without_front_end = TfliteModel(alone.content)({"frames": made.frames(new)})
    assert np.abs(close - without_front_end).mean() < 0.02
    assert agree[sure].mean() >= 0.95
    assert np.abs(close - wanted).mean() < 0.05


@pytest.mark.slow
def test_front_end_of_an_int8_file_stays_float(int8_file: RawAudioModel) -> None:
    found = operators(int8_file.content)
    names = [op.outputs[0].name for op in found]
    border = next(index for index, name in enumerate(names) if name.startswith(BORDER))
    front = {t.dtype for op in found[: border + 1] for t in (*op.inputs, *op.outputs)}
    assert front == {"float32", "complex64", "int32", "bool"}
    back = [op for op in found[border + 1 :] if op.name in ("CONV_2D", "FULLY_CONNECTED")]
    assert len(back) > 5
    assert {t.dtype for op in back for t in (op.inputs[0], op.inputs[1], *op.outputs)} == {"int8"}
    # tflite-runtime has no such kernel.
    assert {t.dtype for op in found if op.name == "SQRT" for t in op.inputs} == {"float32"}


@pytest.mark.slow
def test_what_goes_in_and_out(
    made: Made, float_file: RawAudioModel, int8_file: RawAudioModel
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    for file in (float_file, int8_file):
        interpreter = Interpreter(model_content=file.content)
        (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
        assert (taken["dtype"], given["dtype"]) == (np.float32, np.float32)
        assert tuple(taken["shape"]) == (1, made.samples) == (1, file.samples)
        assert tuple(given["shape"]) == (1, len(file.labels))
        assert file.rate_hz == 16000
        assert file.labels == made.run.labels
        assert not {"CUSTOM", "FlexRFFT"} & {op.name for op in operators(file.content)}


@pytest.mark.slow
def test_the_file_says_what_it_is(float_file: RawAudioModel) -> None:
    with zipfile.ZipFile(io.BytesIO(float_file.content)) as archive:
        assert archive.read("labels.txt").decode().split("\n") == list(float_file.labels)
    assert b"1.648 s of mono audio at 16000 Hz; one window every 0.800 s" in float_file.content


@pytest.mark.slow
def test_int8_is_smaller_and_near(
    made: Made, float_file: RawAudioModel, int8_file: RawAudioModel
) -> None:
    assert len(int8_file.content) < len(float_file.content)
    assert int8_file.agreement >= 0.9
    answers = TfliteModel(int8_file.content)({"samples": made.windows})
    difference = np.abs(answers - made.wanted(made.windows)).max()
    assert difference == pytest.approx(int8_file.max_difference, abs=1e-3)
    assert difference > 1e-4  # it is quantized indeed


@pytest.mark.slow
def test_silence_and_full_scale(float_file: RawAudioModel, int8_file: RawAudioModel) -> None:
    loud = np.sign(np.sin(np.arange(float_file.samples) / 9))
    windows = np.stack([np.zeros_like(loud), loud]).astype(np.float32)
    for file in (float_file, int8_file):
        answers = TfliteModel(file.content)({"samples": windows})
        np.testing.assert_allclose(answers.sum(1), 1, atol=1e-3)


@pytest.mark.slow
def test_wrong_windows(made: Made) -> None:
    short, silent = np.zeros(100, np.float32), np.full(26368, np.nan, np.float32)
    cases: list[tuple[Any, str, str]] = [
        ((), "int8", "needs calibration windows, received none"),
        ((), "float16", "mode expects one of float32, int8, received 'float16'"),
        ([short], "int8", r"windows of \(26368,\) samples expected"),
        ([silent], "int8", "not numbers"),
    ]
    for calibration, mode, words in cases:
        with pytest.raises(SertkError, match=words):
            make_raw_audio(made.run, made.classifier, calibration, mode)


def test_a_run_without_a_graph_form(small_run: tuple[RunDirectory, Path]) -> None:
    classifier = small_run[0].classifier(load_plugins())
    with pytest.raises(SertkError, match="'pitch' has no such form"):
        make_raw_audio(small_run[0], classifier, (), "float32")


@pytest.mark.slow
def test_a_damaged_network(made: Made, tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"no network")
    with pytest.raises(SertkError, match=r"float32 file .* model\.keras cannot be loaded"):
        make_raw_audio(RunDirectory(tmp_path), made.classifier, (), "float32")


@pytest.mark.slow
def test_quantize_writes_and_measures_the_file(
    made: Made, small_corpus: Path, tmp_path: Path
) -> None:
    """With the same metrics as every other form, from the sound of the run's clips on."""
    import ser_toolkit as sertk

    out = tmp_path / "x.sertk"
    found = sertk.quantize(
        made.run, mode="float32", out=out, data=small_corpus, with_frontend=True, force=True
    )
    (row,) = found["frontend"]
    assert found["tflite"] == [str(tmp_path / "x.tflite")] and row["mode"] == "float32"
    assert row["bytes"] == (tmp_path / "x.tflite").stat().st_size
    # Clips that fill no window are repeated here as samples and there as frames.
    for side in ("validation", "test"):
        assert row[side]["clips"] == found["keras"][side]["clips"]
        assert row[side]["agreement"] >= 0.5
    network = TfliteModel((tmp_path / "x.tflite").read_bytes())
    np.testing.assert_allclose(
        network({"samples": made.windows[:4]}), made.wanted(made.windows[:4]), atol=1e-3
    )


@pytest.mark.slow
def test_quantize_needs_sound_for_the_front_end(made: Made, tmp_path: Path) -> None:
    import ser_toolkit as sertk

    with pytest.raises(sertk.SertkError, match="needs the sound of the run's clips"):
        sertk.quantize(made.run, out=tmp_path / "x.sertk", with_frontend=True)


def test_quantize_refuses_what_has_no_graph_form(
    small_run: tuple[Any, Path], tmp_path: Path
) -> None:
    import ser_toolkit as sertk

    run, corpus = small_run
    with pytest.raises(sertk.SertkError, match="'pitch' has no such form"):
        sertk.quantize(run, out=tmp_path / "x.sertk", data=corpus, with_frontend=True)
    assert not (run.path / "quantization.json").exists()
