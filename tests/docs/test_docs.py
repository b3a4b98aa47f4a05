"""The documents are true: options, code, links and keys are those of the code."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import ser_toolkit
from ser_toolkit import cli
from ser_toolkit.builtin.synthetic import SyntheticReader
from ser_toolkit.contracts.recipe import Recipe, Training
from ser_toolkit.plugins.assemble import assemble
from ser_toolkit.plugins.registry import load_plugins
from ser_toolkit.runtime.component import fields_of, to_spec
from ser_toolkit.runtime.features.window import Window

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
GUIDE = "plugins/README.md"
# Pages whose code has tests of its own.
APART = (GUIDE, "docs/how-to.md")
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "plugins/*.md", "plugins/*/*.md", "edge/*.md")
    for path in ROOT.glob(pattern)
)
SLOW = "<!-- slow -->"
# What `sertk plugins new example` writes: its own README has its components and its command.
TEMPLATE = "example"


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, its first line's number, the line before it."""

    language: str
    text: str
    line: int
    before: str


def read(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks(page: str, *languages: str) -> list[Block]:
    lines, found = read(page).splitlines(), []
    fences = [number for number, line in enumerate(lines) if line.startswith("```")]
    for start, end in zip(fences[::2], fences[1::2], strict=True):
        language = lines[start].removeprefix("```").strip()
        if not languages or language in languages:
            before = next((line for line in reversed(lines[:start]) if line.strip()), "")
            found.append(Block(language, "\n".join(lines[start + 1 : end]), start + 2, before))
    return found


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)


def section(page: str, heading: str) -> str:
    """From a heading to the next one of its level or above."""
    level = heading.split(" ")[0]
    body = read(page).partition(f"\n{heading}\n")[2]
    assert body, f"{page} has no '{heading}'"
    return re.split(rf"\n#{{1,{len(level)}}} ", body)[0]


def first_cells(text: str) -> list[str]:
    """The first column of the tables in a text, without their heads."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [row.split("|")[1] for row in rows]


def keys(text: str) -> set[str]:
    """What stands in backticks in the first column of the tables."""
    return {key for cell in first_cells(text) for key in re.findall(r"`([^`]+)`", cell)}


# Code --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the paths of the documents lead to something: 48 clips of four speakers."""
    folder = tmp_path_factory.mktemp("docs")
    for clip in SyntheticReader(speakers=4, sentences=2).read(folder / "made").clips:
        target = folder / "path/to/corpus" / clip.emotion / str(clip.speaker) / clip.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip.path, target)
    shutil.copy(target, folder / "some.wav")
    return folder


def scripts(slow: bool) -> list[str]:
    """Pages with code for this run; a page whose code trains runs as a whole when slow."""
    found = []
    for page in PAGES:
        if page not in APART and (code := blocks(page, "python")):
            marks = {block.before == SLOW for block in code}
            found += [page] if slow in marks else []
    return found


def run_page(page: str, place: Path, with_slow: bool) -> None:
    """All its blocks in one process, one after another; errors name the line in the page."""
    code = [b for b in blocks(page, "python") if with_slow or b.before != SLOW]
    assert code
    padded, line = "", 1
    for block in code:
        padded += "\n" * (block.line - line) + block.text + "\n"
        line = block.line + block.text.count("\n") + 1
    source = f"exec(compile({padded!r}, {page!r}, 'exec'), {{'__name__': '__main__'}})"
    result = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", source],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", scripts(slow=False))
def test_code_runs(page: str, place: Path) -> None:
    run_page(page, place, with_slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", scripts(slow=True))
def test_code_that_trains_runs(page: str, place: Path) -> None:
    run_page(page, place, with_slow=True)


# Commands ----------------------------------------------------------------------------------------


def command_lines() -> list[tuple[str, str]]:
    return [
        (page, line.strip().removeprefix("$ "))
        for page in PAGES
        for block in blocks(page, "bash", "console", "")
        for line in block.text.replace("\\\n", " ").splitlines()
        if re.match(r"\s*(\$ )?(\w+=\S* )*sertk ", line)
    ]


def leaf(words: list[str]) -> tuple[click.Command, list[str], click.Context]:
    """The command that words name, its own words, and the context of its group."""
    context = click.Context(cli.sertk, info_name="sertk")
    command: click.Command = cli.sertk
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    return command, words, context


def accept(line: str, config: Path) -> None:
    """Parse a command line as click does; what it names as --config is another file."""
    words = shlex.split(line, comments=True)
    words = words[words.index("sertk") + 1 :]
    if ">" in words:
        words = words[: words.index(">")]
    if "--config" in words:
        words[words.index("--config") + 1] = str(config)
    command, rest, context = leaf(words)
    command.make_context(context.info_name, rest, parent=context.parent)


def test_every_command_is_accepted(tmp_path: Path) -> None:
    config, refused = tmp_path / "edge.toml", []
    config.touch()
    for page, line in command_lines():
        try:
            accept(line, config)
        except click.ClickException as error:
            refused.append(f"{page}: {line}: {error.message}")
    assert refused == []
    pages = {page for page, _ in command_lines()}
    assert {"README.md", "docs/cli.md", "docs/recipes.md", GUIDE} <= pages
    with pytest.raises(click.NoSuchOption):
        accept("sertk train --no-such-option", config)


def leaves(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from leaves(found, f"{path} {name}")
    else:
        yield path, command


def own_leaves() -> list[tuple[str, click.Command]]:
    return [(path, one) for path, one in leaves(cli.sertk, "sertk") if path.split()[1] != TEMPLATE]


def test_every_option_is_documented() -> None:
    for path, command in own_leaves():
        heading = "## " + " ".join(path.split(" ")[:2])
        text = section("docs/cli.md", heading)
        if path == "sertk crossval":
            text += section("docs/cli.md", "## sertk train").replace("--fold", "")
        for param in command.params:
            for name in param.opts:
                if isinstance(param, click.Option):
                    assert re.search(rf"{name}(?![\w-])", text), f"{heading}: {name} is missing"
        shown = set(re.findall(r"(?<![\w-])--[a-z-]+", "".join(first_cells(text))))
        group = [one for where, one in own_leaves() if f"## {where}".startswith(heading)]
        existing = {name for one in group for param in one.params for name in param.opts}
        assert shown <= existing, f"{heading}: {shown - existing} do not exist"


def test_options_of_the_group_and_every_variable_are_documented() -> None:
    text = read("docs/cli.md")
    for param in cli.sertk.params:
        assert any(f"`{name}`" in text for name in param.opts)
    source = "".join(path.read_text("utf-8") for path in (ROOT / "ser_toolkit").rglob("*.py"))
    variables = set(re.findall(r"[\"'](SERTK_[A-Z]+)[\"']", source))
    # Names in the modules of plugins.
    variables -= {"SERTK_HOOK_API", "SERTK_RENAMED"}
    assert variables and all(name in text for name in variables)


# Keys --------------------------------------------------------------------------------------------


def test_every_key_of_a_recipe_is_documented() -> None:
    tables = {"## [window]": Window, "## [training]": Training}
    for heading, kind in tables.items():
        text = section("docs/recipes.md", heading)
        fields = {field.name: field.default for field in dataclasses.fields(kind)}
        assert keys(text) == set(fields)
        for row in (line for line in text.splitlines() if line.startswith("| `")):
            name, default = re.findall(r"\| `(\w+)` \| ([^|]+) \|", row)[0]
            value = tomllib.loads(f"value = {default.strip().strip('`')}")["value"]
            assert value == fields[name], f"{heading} {name}"


def test_every_recipe_in_the_documents_assembles() -> None:
    whole = [
        block
        for page in PAGES
        for block in blocks(page, "toml")
        if block.text.startswith('name = "')
    ]
    assert whole
    for block in whole:
        assemble(Recipe.from_toml(block.text), load_plugins())


def test_parts_of_recipes_in_the_documents_assemble() -> None:
    parts = [
        block
        for page in PAGES
        for block in blocks(page, "toml")
        if block.text.startswith(("[[extractor]]", "[[augmenter]]"))
    ]
    assert len(parts) >= 2
    for block in parts:
        table = {"name": "x", "model": "tcn", "extractor": ["rms"], **tomllib.loads(block.text)}
        assemble(Recipe.from_dict(table), load_plugins())


def test_the_defaults_of_augmenters_are_documented() -> None:
    rows = {
        name: row
        for row in section("docs/data.md", "## Augmenters").splitlines()
        for name in re.findall(r"^\| `(\w+)` \|", row)
    }
    # That of audiomentations has a page of its own.
    installed = [one for one in load_plugins().all("augmenter") if one.name != TEMPLATE]
    ours = {one.name: one for one in installed if one.name != "audiomentations"}
    assert set(rows) == set(ours)
    for name, one in ours.items():
        cell = rows[name].split("|")[4].replace("−", "-")
        shown = dict(re.findall(r"`(\w+)` ([-\w.]+)", cell))
        params = {key: value for key, value in fields_of(one).items() if key != "p"}
        assert {key: tomllib.loads(f"v = {text}")["v"] for key, text in shown.items()} == params


def test_every_feature_and_parameter_is_documented() -> None:
    plugins = load_plugins()
    text = read("docs/features.md") + read("plugins/sertk-msf/README.md")
    common = {"rate_hz", "frame_length", "hop_length", "name", "version"}
    for extractor in (one for one in plugins.all("extractor") if one.name != TEMPLATE):
        assert f"\n### {extractor.name}\n" in text
        for field in set(to_spec(extractor)) - common:
            assert f"`{field}`" in text or f"`{field} =" in text, f"{extractor.name}.{field}"


def documented(heading: str) -> set[str]:
    return keys(section("docs/run-directory.md", heading))


@pytest.mark.slow
def test_every_key_of_metrics_is_documented_and_exists(small_run: tuple[Any, Path]) -> None:
    run, corpus = small_run
    text = section("docs/run-directory.md", "## metrics.json").partition("\n### ")[0]
    assert keys(text) == set(run.metrics)
    for row in (line for line in text.splitlines() if line.startswith("| `")):
        key, meaning = re.findall(r"^\| `(\w+)` \| (.*) \|$", row)[0]
        inner = run.metrics[key]
        if key in ("protocol", "audit", "ci95", "parameters", "sides"):
            for name in inner.keys() - {"train-test", "validation-test", "train-validation"}:
                assert f"`{name}`" in meaning, f"{key}.{name}"
    for part in ("speakers", "duplicate_audio", "texts"):
        assert part in run.metrics["audit"]["train-test"]
    scored = ser_toolkit.evaluate(run, corpus)
    own = documented("### Of `sertk evaluate --out`")
    assert own | {"recipe", "synthetic", "protocol"} <= set(scored)
    assert set(scored) - own <= set(run.metrics)
    for name in (*scored["counts"], *scored["protocol"]):
        assert f"`{name}`" in section("docs/run-directory.md", "### Of `sertk evaluate --out`")


@pytest.mark.slow
def test_every_file_of_a_run_is_documented(small_run: tuple[Any, Path]) -> None:
    run, _ = small_run
    tree = blocks("docs/run-directory.md", "")[0].text
    for path in run.path.rglob("*"):
        picture = path.suffix == ".svg" and "each as .svg" in tree
        assert (f"{path.stem}.png" if picture else path.name) in tree, path.name
    history = (run.path / "history.csv").read_text("utf-8").splitlines()[0].split(",")
    split = run.json("split.json")
    text = section("docs/run-directory.md", "## The files")
    for name in (*history, *split, *split["clips"][0]):
        assert f"`{name}`" in text, name


@pytest.mark.slow
def test_every_key_of_a_cross_validation_is_documented(place: Path, tmp_path: Path) -> None:
    run = ser_toolkit.crossval(
        place / "path/to/corpus",
        protocol="kfold:2",
        settings=("extractor=rms", "model.channels=8", "training.copies=0"),
        epochs=1,
        workers=1,
        out=tmp_path / "run",
    )
    text = section("docs/run-directory.md", "## metrics.json").partition("\n### ")[0]
    own = documented("### Of a cross-validation")
    removed = {"temperature", "uncertain_below", "best_epoch", "epochs", "interrupted"}
    removed |= {"sides", "layers", "speech_level"}
    assert set(run.metrics) == ((keys(text) - removed) | own) - {"quantized"}
    text = section("docs/run-directory.md", "### Of a cross-validation")
    assert all(f"`{name}`" in text for name in (*removed, *run.metrics["folds"][0]))


def test_every_public_name_exists_and_arguments_of_train_are_documented() -> None:
    for name in ser_toolkit.__all__:
        assert getattr(ser_toolkit, name) is not None
    arguments = set(inspect.signature(ser_toolkit.train).parameters)
    assert keys(section("docs/python.md", "## Train, look, predict")) == arguments


# Links and shape ---------------------------------------------------------------------------------


def anchors(page: str) -> set[str]:
    """As GitHub makes them from headings."""
    heads = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", head.lower()) for head in heads]
    return {head.replace(" ", "-") for head in plain}


def test_relative_links_lead_somewhere() -> None:
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)\s]+)\)", prose(page))]
    assert len(links) > 200
    for page, link in links:
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            there = anchors(target.resolve().relative_to(ROOT).as_posix())
            assert anchor in there, f"{page}: {link}"


def test_every_part_of_the_core_is_in_the_tree() -> None:
    tree = section("docs/architecture.md", "## The tree").partition("edge/sertk_edge/")[0]
    core = ROOT / "ser_toolkit"
    packages = [f"{path.parent.name}/" for path in core.glob("*/__init__.py")]
    modules = [path.name for path in core.glob("*.py") if not path.name.startswith("__")]
    assert len(packages) > 10
    assert [name for name in (*packages, *modules) if name not in tree] == []


def test_paths_of_the_architecture_exist() -> None:
    paths = re.findall(r"`([\w/]+\.py)`", section("docs/architecture.md", "## The tree"))
    assert len(paths) > 8
    for path in paths:
        assert (ROOT / path).exists() or (ROOT / "ser_toolkit" / path).exists(), path


def test_the_layers_are_those_that_lint_checks() -> None:
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = contracts[0]["layers"]
    shown = next(b for b in blocks("docs/architecture.md", "") if b.text.startswith("cli\n"))
    assert shown.text.splitlines() == [layer.replace("ser_toolkit.", "") for layer in layers]


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= 200


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", read("Makefile"), re.MULTILINE))
    named = {
        word
        for page in PAGES
        for word in re.findall(r"(?:`|\n|\n\S*=\S* )make ([a-z0-9-]+)", read(page))
    }
    assert {"demo", "test"} <= named <= targets


def test_modules_that_documents_name_exist() -> None:
    for page in PAGES:
        for name in set(re.findall(r"from (ser_toolkit[\w.]*) import", read(page))):
            importlib.import_module(name)
