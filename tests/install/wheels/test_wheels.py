"""The wheels in fresh environments: the base, what trains, what a Pi has; and on other Pythons.

The commands are those of README.md and edge/README.md, taken from there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from environments import EDGE, README, Page, Place

from ser_toolkit.builtin.synthetic import SyntheticReader

ROOT = Path(__file__).resolve().parents[3]
BUNDLE = ROOT / "tests/bundles/v1/synthetic-msf.sertk"
EMODB = {"anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness"}


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages call path/to/corpus, path/to/other, some.wav and another.wav."""
    folder = tmp_path_factory.mktemp("voices")
    corpora = {"corpus": SyntheticReader(4, 2), "other": SyntheticReader(2, 1, seed=1)}
    for name, reader in corpora.items():
        for clip in reader.read(folder / "made" / name).clips:
            target = folder / "path/to" / name / clip.emotion / str(clip.speaker) / clip.path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            clip.path.rename(target)
    shutil.rmtree(folder / "made")
    shutil.copy(target, folder / "some.wav")
    shutil.copy(next((folder / "path/to/corpus").rglob("*.wav")), folder / "another.wav")
    between_silences(target, folder / "heard.wav")
    return folder


def between_silences(clip: Path, out: Path) -> None:
    """Three seconds of nothing before and after a clip: longer than an emotion outlasts it."""
    samples, rate = soundfile.read(clip, dtype="float32")
    silence = np.zeros(3 * rate, np.float32)
    soundfile.write(out, np.concatenate((silence, samples, silence)), rate)


# The pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [README, EDGE], ids=lambda page: page.name)
def test_every_line_that_is_left_out_or_replaced_is_in_the_page(page: Page) -> None:
    lines = set(page.commands())
    assert not (set(page.not_run) | set(page.instead)) - lines
    assert not set(page.not_run) & set(page.instead)
    assert len(lines - set(page.not_run)) >= 10


def test_both_ways_to_install_name_the_same_distributions() -> None:
    ways = [line for line in README.commands() if line.startswith("pip install")]
    from_a_clone = set(re.findall(r"/(?:sertk-)?(\w+)(?= |$)", ways[0].replace("plugins/", "")))
    assert from_a_clone == set(re.findall(r"\{([\w,]+)\}", ways[1])[0].split(","))
    assert {"msf", "lstm", "corpora", "augment", "edge"} <= from_a_clone


# The base ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(wheels: Path, index: None, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An environment with the core alone, without an extra."""
    place = Place(tmp_path_factory.mktemp("base"))
    core = next(wheels.glob("ser_toolkit-*.whl"))
    place.bash(f"set -e; python3 -m venv v; v/bin/pip install --quiet {core}")
    return place


@pytest.mark.slow
def test_the_base_works_without_an_extra(base: Place) -> None:
    assert re.search(r"^  train ", base.bash("v/bin/sertk --help"), re.MULTILINE)
    assert re.search(r"^builtin +ser-toolkit ", base.bash("v/bin/sertk plugins"), re.MULTILINE)
    message = base.bash("v/bin/sertk doctor")
    assert re.search(r"^missing +tensorflow ", message, re.MULTILINE) and "broken" not in message
    assert "labels" in base.bash(f"v/bin/sertk bundle show {ROOT}/tests/bundles/v1/tiny.sertk")
    base.bash("set -e; v/bin/sertk plugins new mine --kind extractor; test -d sertk-mine/tests")
    installed = base.bash("v/bin/pip list --format freeze")
    assert not re.search(r"^(tensorflow|keras|librosa|scipy|sertk-)", installed, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("train --data synthetic", "ser-toolkit[train]"),
        ("crossval --data synthetic", "ser-toolkit[train]"),
        ("inspect {voices}/some.wav", "ser-toolkit[train]"),
        ("predict {bundle} {voices}/some.wav", "ai-edge-litert"),
    ],
)
def test_a_command_without_its_extra_says_which_line_to_run(
    base: Place, command: str, line: str, voices: Path
) -> None:
    output = base.bash(f"v/bin/sertk {command.format(voices=voices, bundle=BUNDLE)}", code=2)
    last = output.splitlines()[-1]
    assert re.search(rf'^Error: .*Run `pip install "?{re.escape(line)}"?`$', last), output


# What trains -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(
    wheels: Path, voices: Path, index: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Place, str]:
    """Where the commands of the README have been run, and what they said."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(voices, folder, dirs_exist_ok=True)
    shutil.copytree(wheels, folder / "dist")
    place = Place(folder)
    return place, place.bash(README.script())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_commands_of_the_readme_run(trained: tuple[Place, str]) -> None:
    place, output = trained
    print(output)
    for name in ("runs/first/metrics.json", "small.sertk", "mine.toml", "sounds"):
        assert (place.folder / name).exists(), name
    uar = [line for line in output.splitlines() if line.startswith("UAR ")]
    assert len(uar) >= 4


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_stranger_writes_installs_trains_quantizes_and_serves(
    trained: tuple[Place, str], voices: Path
) -> None:
    place, _ = trained
    given = os.environ.get("SERTK_DATA")
    corpus = Path(given, "emodb") if given else voices / "path/to/corpus"
    clip = min(corpus.rglob("*.wav"))
    between_silences(clip, place.folder / "spoken.wav")
    place.bash(f"""
        set -e
        . ~/sertk/bin/activate
        mkdir stranger
        cd stranger
        sertk plugins new loud --kind extractor
        pip install --quiet ./sertk-loud
        sertk train --plugin loud --data {corpus} --out runs/loud
        sertk quantize runs/loud --out loud.sertk
        sertk serve-edge loud.sertk --source ../spoken.wav \\
          --gate energy --smoothing-uncertain-below 0 > heard
        sertk bundle show --json loud.sertk > shown
        """)
    shown = json.loads((place.folder / "stranger/shown").read_text("utf-8"))
    assert [part["distribution"] for part in shown["parts"]] == ["sertk-loud"]
    labels = EMODB if given else {folder.name for folder in corpus.iterdir()}
    assert set(shown["labels"]) == labels
    lines = (place.folder / "stranger/heard").read_text("utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    kinds = [event["kind"] for event in events]
    assert (kinds[0], kinds[-1]) == ("started", "ended") and set(kinds[1:-1]) <= {"changed"}
    assert {event["label"] for event in events} <= labels
    over_s = 3 + soundfile.info(clip).duration
    assert 3 < events[0]["offset_s"] < events[-1]["offset_s"] and over_s < events[-1]["offset_s"]


# What a Pi has -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def on_a_pi(
    voices: Path, index: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Place, str]:
    """Where the commands of the guide have been run: a clone, a home, and an `opt` and `etc`."""
    folder = tmp_path_factory.mktemp("clone")
    for source in (ROOT / "ser_toolkit", ROOT / "edge", *ROOT.glob("plugins/*/")):
        shutil.copytree(source, folder / source.relative_to(ROOT))
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder)
    shutil.copy(BUNDLE, folder / "voice.sertk")
    (folder / "home").mkdir()
    shutil.copy(voices / "heard.wav", folder / "home")
    (folder / "etc/sertk").mkdir(parents=True)
    (folder / "etc/sertk/edge.toml").write_text(EDGE.blocks("toml")[0], "utf-8")
    # What belongs to root on a Pi belongs to us in this folder.
    script = EDGE.script().replace("sudo ", "")
    for place in ("/opt/sertk", "/etc/sertk"):
        script = script.replace(place, f"{folder}{place}")
    place = Place(folder)
    return place, place.bash(script)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_commands_of_the_guide_for_a_pi_run(on_a_pi: tuple[Place, str]) -> None:
    place, output = on_a_pi
    print(output)
    events = (place.folder / "home/events").read_text("utf-8").splitlines()
    kinds = [json.loads(line)["kind"] for line in events]
    assert (kinds[0], kinds[-1]) == ("started", "ended")
    assert re.search(r"^self-test +passed", output, re.MULTILINE)
    assert "serve-edge" in (place.folder / "home/unit").read_text("utf-8")


@pytest.mark.slow
def test_a_pi_has_no_heavy_library_and_every_light_plugin_loads(
    on_a_pi: tuple[Place, str], wheels: Path
) -> None:
    place, _ = on_a_pi
    venv = place.folder / "opt/sertk/venv/bin"
    place.bash(f"{venv}/pip install --quiet {wheels}/sertk_lstm-*.whl {wheels}/sertk_corpora-*.whl")
    listed = place.bash(f"{venv}/pip list --format freeze")
    installed = {line.partition("==")[0] for line in listed.splitlines()}
    heavy = {"tensorflow", "keras", "librosa", "scipy", "scikit-learn", "matplotlib", "numba"}
    assert {"ser-toolkit", "sertk-edge", "sertk-msf", "sertk-lstm"} <= installed
    assert not heavy & installed
    message = place.bash(f"SERTK_STRICT=1 {venv}/sertk plugins")
    assert "broken" not in message and re.search(r"msf +sertk-msf", message)
