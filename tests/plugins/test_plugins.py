"""Loading, looking up and choosing plugins, with packages written to disk and imported."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

from ser_toolkit.contracts.recipe import ComponentSpec
from ser_toolkit.plugins import loader
from ser_toolkit.plugins.assemble import default_recipe
from ser_toolkit.plugins.entry_points import Loaded, installed, origin
from ser_toolkit.plugins.errors import Broken
from ser_toolkit.plugins.registry import Plugins, load_plugins
from ser_toolkit.runtime.errors import SertkError

PREAMBLE = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
from ser_toolkit.contracts.components import Augmenter, ModelBuilder, Reader
from ser_toolkit.plugins.hookspecs import hookimpl
from ser_toolkit.contracts.recipe import Recipe, ComponentSpec
from ser_toolkit.runtime.events import Sink
from ser_toolkit.runtime.features.base import FrameExtractor

def named(base, label):
    return dataclass(frozen=True)(type("Made", (base,), {"name": label, "__annotations__": {}}))()

def recipe(label):
    return Recipe(label, "A recipe of a test", (ComponentSpec("mfcc"),), ComponentSpec("tcn"))
"""
BASES = {
    "reader": "Reader",
    "augmenter": "Augmenter",
    "extractor": "FrameExtractor",
    "model": "ModelBuilder",
    "sink": "Sink",
}
Make = Callable[..., Plugins]


def hooks(**offers: str) -> str:
    """The source of a plugin that offers components of each kind by name, comma-separated."""
    parts = [PREAMBLE]
    for kind, names in offers.items():
        items = [
            f"recipe({name!r})" if kind == "recipe" else f"named({BASES[kind]}, {name!r})"
            for name in names.split(",")
        ]
        parts.append(f"@hookimpl\ndef sertk_{kind}s():\n    return [{', '.join(items)}]\n")
    return "\n".join(parts)


def install(folder: Path, plugin: str, source: str, distribution: str = "") -> None:
    """Write a module and the metadata of its distribution, as an installer would."""
    distribution = distribution or f"acme-{plugin}"
    module = f"seam_{folder.name}_{distribution}_{plugin}".replace("-", "_")
    (folder / f"{module}.py").write_text(textwrap.dedent(source))
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    points = info / "entry_points.txt"
    before = points.read_text() if points.exists() else "[sertk]\n"
    points.write_text(f"{before}{plugin} = {module}\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(f"seam_{tmp_path.name}")]:
        del sys.modules[name]


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def load(folder: Path, warnings: list[str]) -> Make:
    """Load the built-ins and what was installed into `folder`."""

    def find() -> list[EntryPoint]:
        ours = [point for point in installed() if origin(point).distribution == "ser-toolkit"]
        here = [point for dist in distributions(path=[str(folder)]) for point in dist.entry_points]
        return sorted(here, key=lambda point: origin(point).key) + ours

    def load(env: dict[str, str] | None = None, only: list[str] | None = None) -> Plugins:
        return load_plugins(only, env or {}, find, warnings.append)

    return load


def test_the_built_ins_are_a_plugin_like_any_other(load: Make) -> None:
    found = load()
    assert [plugin.key for plugin in found.loaded] == ["ser-toolkit:builtin"]
    assert {"zcr", "rms", "mfcc", "log_mel"} <= {one.name for one in found.all("extractor")}
    assert {"folders", "table", "synthetic"} <= {one.name for one in found.all("reader")}
    assert {"noise", "mask"} <= {one.name for one in found.all("augmenter")}
    assert found.get("model", "tcn") in found.all("model")
    assert found.get("recipe", "compact") in found.all("recipe")
    assert found.all("sink") == ()


def test_a_lookup_gives_the_plugin_that_a_component_comes_from(folder: Path, load: Make) -> None:
    install(folder, "tone", hooks(extractor="pitchy"), "acme-tone")
    found = load()
    offer = found.component("extractor", "pitchy")
    assert (offer.plugin.plugin, offer.plugin.distribution) == ("tone", "acme-tone")
    assert offer.plugin.version == "1.0"
    assert offer.edge_ready
    for name in ("pitchy", "acme_tone:pitchy", "tone:pitchy", "acme-tone:pitchy"):
        assert found.get("extractor", name) is offer.component


def test_an_unknown_name_lists_the_nearest_first(load: Make) -> None:
    with pytest.raises(SertkError, match=r"there is no extractor 'mfc'\. Known: mfcc, ") as caught:
        load().get("extractor", "mfc")
    assert "broken" not in str(caught.value)


def test_a_name_that_is_like_no_other_comes_with_the_pip_line_of_its_plugin(
    folder: Path, load: Make
) -> None:
    with pytest.raises(SertkError, match=r"Known: .* Perhaps `pip install sertk-echo` brings it"):
        load().get("extractor", "echo")
    install(folder, "echo", hooks(sink="x"), "sertk-echo")
    with pytest.raises(SertkError, match="Known: ") as caught:
        load().get("extractor", "echo")
    assert "pip" not in str(caught.value)


def test_only_the_hook_that_is_asked_for_runs(folder: Path, load: Make) -> None:
    source = hooks(extractor="fine") + "\n@hookimpl\ndef sertk_models():\n    return 1 / 0\n"
    install(folder, "half", source)
    found = load()
    assert found.get("extractor", "fine").name == "fine"
    assert found.broken == ()
    with pytest.raises(SertkError, match=r"plugin 'half' .* ZeroDivisionError"):
        found.get("model", "half:x")
    assert [broken.plugin for broken in found.broken] == ["half"]
    with pytest.raises(SertkError, match="It may be in a broken plugin: 'half'"):
        found.get("extractor", "fine")


def test_each_breakage_is_warned_of_once(folder: Path, load: Make, warnings: list[str]) -> None:
    install(folder, "one", "raise RuntimeError('no\\nluck')")
    install(folder, "two", hooks() + "\n@hookimpl\ndef sertk_readers():\n    return None\n")
    found = load()
    found.call_all()
    assert found.all("reader")
    assert [line.split(" is broken: ")[0] for line in warnings] == [
        "plugin 'one' (acme-one 1.0)",
        "plugin 'two' (acme-two 1.0)",
    ]
    assert "RuntimeError: no luck" in warnings[0]
    assert "sertk_readers expects a list, received NoneType" in warnings[1]


def test_a_broken_plugin_that_was_asked_for_is_not_warned_of(
    folder: Path, load: Make, warnings: list[str]
) -> None:
    install(folder, "one", "raise RuntimeError")
    found = load(only=["acme-one"])
    assert warnings == []
    with pytest.raises(SertkError, match=r"plugin 'one' .* is broken: RuntimeError") as caught:
        found.get("sink", "one")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_only_limits_third_parties_by_plugin_or_distribution(folder: Path, load: Make) -> None:
    for name in ("a", "b", "c"):
        install(folder, name, hooks(sink=name))
    loaded = [plugin.plugin for plugin in load(only=["a", "acme_b"]).loaded]
    assert loaded == ["a", "b", "builtin"]
    assert [p.plugin for p in load({"SERTK_PLUGINS": " c , b"}, only=["a", "b"]).loaded] == [
        "b",
        "builtin",
    ]
    assert [p.plugin for p in load({"SERTK_PLUGINS": ""}).loaded] == ["builtin"]


def test_the_rest_is_loaded_later_and_nothing_twice(
    folder: Path, load: Make, warnings: list[str]
) -> None:
    for name in ("a", "b"):
        install(folder, name, hooks(sink=name))
    install(folder, "broken", "1 / 0")
    found = load(only=["b"])
    first = found.get("sink", "b")
    assert [plugin.plugin for plugin in found.loaded] == ["b", "builtin"] and warnings == []
    for _ in range(2):
        found.load_rest()
        assert [plugin.plugin for plugin in found.loaded] == ["a", "b", "builtin"]
        assert len(warnings) == 1 and warnings[0].startswith("plugin 'broken'")
    assert found.get("sink", "b") is first and found.get("sink", "a").name == "a"


def test_strict(folder: Path, load: Make) -> None:
    install(folder, "one", "raise RuntimeError")
    with pytest.raises(SertkError, match="SERTK_STRICT is set and plugin 'one'"):
        load({"SERTK_STRICT": "1"})
    for value in ("0", ""):
        assert len(load({"SERTK_STRICT": value}).broken) == 1


def test_an_interrupt_is_the_users_and_passes(folder: Path, load: Make) -> None:
    install(folder, "slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load()


def test_output_while_loading_is_kept_and_not_printed(
    folder: Path, load: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    install(folder, "chatty", hooks(sink="x") + "print('hello')\n")
    assert load().plugin("chatty").output == "hello\n"
    assert capsys.readouterr() == ("", "")


BAD_OFFERS = {
    "return (named(Sink, 'x'),)": "expects a list, received tuple",
    "return [named(Reader, 'x')]": "expects an instance of Sink, received Made()",
    "return [named(Sink, 'x'), named(Sink, 'x')]": "offers 'x' twice",
    "return [named(Sink, 'a:b')]": "needs a name without ':', received 'a:b'",
    "return [named(Sink, '')]": "needs a name",
    "return [type('Bare', (Sink,), {'name': 'x'})()]": "Bare must be a frozen dataclass",
    "yield named(Sink, 'x')": "expects a list, received generator",
}


def test_what_a_hook_may_not_return(folder: Path, load: Make, warnings: list[str]) -> None:
    for number, body in enumerate(BAD_OFFERS):
        source = hooks() + f"\n@hookimpl\ndef sertk_sinks():\n    {body}\n"
        install(folder, f"bad{number}", source)
    assert load().all("sink") == ()
    assert len(warnings) == len(BAD_OFFERS)
    for line, (body, message) in zip(warnings, BAD_OFFERS.items(), strict=True):
        assert message in line, body


BAD_MODULES = (
    "@hookimpl\ndef sertk_sinks():\n    return []\n@hookimpl\ndef sertk_snks():\n    return []",
    "@hookimpl\ndef sertk_sinks(nothing_that_we_pass):\n    return []",
    "SERTK_HOOK_API = 'two'",
)


def test_a_refused_plugin_leaves_nothing_registered(folder: Path) -> None:
    for number, body in enumerate(BAD_MODULES):
        install(folder, f"bad{number}", hooks(extractor="x") + body)
    points = [p for dist in distributions(path=[str(folder)]) for p in dist.entry_points]
    assert len(points) == len(BAD_MODULES)
    for point in points:
        manager = loader.new_manager()
        assert isinstance(loader.load(manager, point), Broken), point
        assert manager.get_plugins() == set()
        assert manager.hook.sertk_extractors.get_hookimpls() == []
        assert manager.hook.sertk_sinks.get_hookimpls() == []


def test_a_module_that_is_registered_twice_keeps_its_first_place(folder: Path) -> None:
    install(folder, "first", hooks(sink="x"))
    (point,) = next(iter(distributions(path=[str(folder)]))).entry_points
    manager = loader.new_manager()
    assert isinstance(loader.load(manager, point), Loaded)
    again = EntryPoint("second", point.value, point.group)
    assert isinstance(loader.load(manager, again), Broken)
    assert len(manager.hook.sertk_sinks.get_hookimpls()) == 1


def test_one_name_from_two_plugins_of_one_distribution(folder: Path, load: Make) -> None:
    install(folder, "a", hooks(sink="x"), "acme-both")
    install(folder, "b", hooks(sink="x"), "acme-both")
    with pytest.raises(SertkError, match=r"offered by a and b\. Type a:x or b:x"):
        load().get("sink", "x")
    assert load().component("sink", "b:x").plugin.plugin == "b"


def test_the_default_recipe_is_compact(load: Make) -> None:
    found = load()
    assert default_recipe(found) == found.get("recipe", "compact")
    assert default_recipe(found, recipe="compact") == found.get("recipe", "compact")


def test_a_plugins_recipe_of_its_own_name_comes_first(folder: Path, load: Make) -> None:
    install(folder, "song", hooks(recipe="song,song-classic", extractor="song"))
    found = load()
    assert default_recipe(found, "song").name == "song"
    assert default_recipe(found, "song", "song-classic").name == "song-classic"
    assert default_recipe(found, "acme-song", "acme-song:song-classic").name == "song-classic"
    with pytest.raises(SertkError, match=r"no recipe 'x'\. Choose .*: song, song-classic"):
        default_recipe(found, "song", "x")


def test_else_its_only_recipe_else_an_error_that_lists_them(folder: Path, load: Make) -> None:
    install(folder, "one", hooks(recipe="other"))
    install(folder, "two", hooks(recipe="a,b"))
    assert default_recipe(load(), "one").name == "other"
    with pytest.raises(SertkError, match=r"several recipes\. Choose one with --recipe: a, b"):
        default_recipe(load(), "two")


def test_a_plugin_without_recipes_replaces_the_stage_that_it_offers(
    folder: Path, load: Make
) -> None:
    install(folder, "ears", hooks(extractor="cochlea"))
    install(folder, "brain", hooks(model="net", augmenter="fog", reader="mine"))
    found = load()
    compact = found.get("recipe", "compact")
    ears = default_recipe(found, "ears")
    assert ears.extractor == (ComponentSpec("cochlea"),)
    assert (ears.model, ears.augmenter) == (compact.model, compact.augmenter)
    brain = default_recipe(found, "brain")
    assert (brain.model, brain.augmenter) == (ComponentSpec("net"), (ComponentSpec("fog"),))
    assert brain.extractor == compact.extractor


def test_it_replaces_the_stage_in_the_recipe_that_was_asked_for(folder: Path, load: Make) -> None:
    install(folder, "ears", hooks(extractor="cochlea"))
    install(folder, "song", hooks(recipe="song"))
    chosen = default_recipe(load(), "ears", "song")
    assert (chosen.name, chosen.extractor) == ("song", (ComponentSpec("cochlea"),))


def test_a_replaced_stage_is_named_in_full_where_two_offer_it(folder: Path, load: Make) -> None:
    install(folder, "ears", hooks(extractor="mfcc"))
    found = load()
    (use,) = default_recipe(found, "ears").extractor
    assert use == ComponentSpec("acme-ears:mfcc")
    assert found.component("extractor", use.name).plugin.plugin == "ears"


def test_several_components_of_one_stage_are_listed(folder: Path, load: Make) -> None:
    install(folder, "many", hooks(extractor="one,two"))
    with pytest.raises(SertkError, match=r"several extractors: one, two\. .*--set extractor=NAME"):
        default_recipe(load(), "many")


def test_readers_alone_leave_the_default_recipe_alone(folder: Path, load: Make) -> None:
    install(folder, "books", hooks(reader="a,b"))
    assert default_recipe(load(), "books") == load().get("recipe", "compact")


def test_a_plugin_of_sinks_says_what_it_is_for(folder: Path, load: Make) -> None:
    install(folder, "mqtt", hooks(sink="mqtt"))
    with pytest.raises(SertkError, match=r"only sinks \(mqtt\).*Train with another plugin"):
        default_recipe(load(), "mqtt")
    install(folder, "empty", "")
    with pytest.raises(SertkError, match=r"plugin 'empty' offers nothing"):
        default_recipe(load(), "empty")


def test_a_distribution_of_commands_says_so(load: Make) -> None:
    with pytest.raises(SertkError, match=r"offers a command .*Run `sertk doctor`"):
        default_recipe(load(), "doctor")


def test_unknown_plugins(folder: Path, load: Make) -> None:
    install(folder, "sing", hooks(recipe="sing"))
    with pytest.raises(SertkError, match=r"no plugin 'sin'\. Known: sing, builtin"):
        default_recipe(load(), "sin")
    with pytest.raises(SertkError, match=r"Perhaps `pip install sertk-echo`"):
        default_recipe(load(), "echo")


@pytest.mark.parametrize("source", ["1 / 0", hooks() + "@hookimpl\ndef sertk_models():\n  1 / 0\n"])
def test_a_broken_plugin_that_is_asked_for(folder: Path, load: Make, source: str) -> None:
    install(folder, "bad", source)
    with pytest.raises(SertkError, match=r"plugin 'bad' \(acme-bad 1\.0\) is broken: ZeroDiv"):
        default_recipe(load(), "bad")


def test_two_plugins_of_one_name(folder: Path, load: Make) -> None:
    install(folder, "same", hooks(recipe="x"), "acme-one")
    install(folder, "same", hooks(recipe="y"), "acme-two")
    with pytest.raises(SertkError, match="acme-one:same and acme-two:same"):
        default_recipe(load(), "same")
    assert default_recipe(load(), "acme-two:same").name == "y"
    assert default_recipe(load(), "acme-one").name == "x"
