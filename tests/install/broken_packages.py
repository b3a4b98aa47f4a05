"""Small distributions that are broken in one way each, and an environment with all of them.

what_users_see.py runs `sertk` there and makes the table of docs/plugins-broken.md.
"""

from __future__ import annotations

import textwrap
import zipfile
from dataclasses import dataclass
from pathlib import Path

from make_environment import install, make_venv

PREAMBLE = """
from __future__ import annotations
import os, signal, subprocess, sys, time, warnings
from dataclasses import dataclass
from typing import ClassVar
from ser_toolkit.plugins.hookspecs import hookimpl
from ser_toolkit.runtime.features.spectral import Rms

@dataclass(frozen=True)
class Feature(Rms):
    '''Loudness under another name.'''
    name: ClassVar[str] = "{name}"
    edge_ready: ClassVar[bool] = {edge}
"""
OFFER = """
@hookimpl
def sertk_extractors():
    return [Feature()]
"""
SLEEP = """
if "ACME_MARK" in os.environ:
    open(os.environ["ACME_MARK"], "w").close()
time.sleep(float(os.environ.get("ACME_SLEEP_S", "0")))
"""
FICKLE = """
if "ACME_FICKLE" in os.environ:
    raise RuntimeError("the new version needs a driver")
"""


TWIN = "offers the same name as another"
CLASH = "extractor 'twin' is offered by acme-twin-a and acme-twin-b"


def hook(body: str, arguments: str = "", start: str = "def") -> str:
    return f"@hookimpl\n{start} sertk_extractors({arguments}):\n    {body}\n"


def odd(member: str) -> str:
    """An extractor that has this in its class."""
    body = textwrap.indent(textwrap.dedent(member).strip(), "    ")
    made = "\n@hookimpl\ndef sertk_extractors():\n    return [Odd()]\n"
    return f"@dataclass(frozen=True)\nclass Odd(Feature):\n    '''Odd.'''\n{body}\n{made}"


def reader(recognises: str, read: str) -> str:
    return f"""
from ser_toolkit import Match, Reader, Reading

@dataclass(frozen=True)
class Corpus(Reader):
    '''A corpus.'''
    name: ClassVar[str] = "corpus"

    def recognises(self, root):
        {recognises}

    def read(self, root):
        {read}

@hookimpl
def sertk_readers():
    return [Corpus()]
"""


def method(entry: str) -> str:
    return f"class Plugin:\n    @hookimpl\n    def sertk_extractors(self):\n        {entry}\n"


@dataclass(frozen=True)
class Package:
    """One distribution `acme-NAME`.

    `what` is wrong with it, for the table, empty for those of other tests; `cause` is what users
    must read, empty where it loads; `used` is what they read where it is found in use alone.
    """

    what: str
    body: str
    cause: str = ""
    used: str = ""
    reads: bool = False
    entry: str = ""
    command: tuple[str, str] | None = None

    @property
    def broken(self) -> bool:
        return bool(self.cause)


def command(says: str) -> str:
    return f"import click\n\n@click.command()\ndef command():\n    click.echo({says!r})\n"


PACKAGES = {
    "good": Package("", OFFER, command=("greet", command("hi"))),
    "importerror": Package(
        "imports a module that is not there",
        "import a_module_that_nobody_has",
        "ModuleNotFoundError: No module named 'a_module_that_nobody_has'",
        command=("oops", "import a_module_that_nobody_has\n"),
    ),
    "syntax": Package("a syntax error", "def broken(:", "SyntaxError: invalid syntax"),
    "wronghook": Package(
        "a hook of a wrong name",
        "@hookimpl\ndef sertk_extractor():\n    return [Feature()]",
        "unknown hook 'sertk_extractor', perhaps meant as sertk_extractors",
    ),
    "nomarker": Package(
        "a hook without `@hookimpl`",
        "def sertk_extractors():\n    return [Feature()]",
        "sertk_extractors lacks @hookimpl, so it would never be called",
    ),
    "signature": Package(
        "a hook with an argument too many",
        hook("return [Feature()]", "rate_hz"),
        "sertk_extractors asks for 'rate_hz', which no hook is given: "
        "write `def sertk_extractors():`",
    ),
    "class": Package(
        "an entry point that is a class, whose hook wants `self`",
        method("return [Feature()]"),
        "sertk_extractors asks for 'self', which no hook is given: "
        "let the entry point name an instance of Plugin",
        entry=":Plugin",
    ),
    "raises": Package(
        "a hook that raises", hook("return 1 / 0"), "ZeroDivisionError: division by zero"
    ),
    "rubbish": Package(
        "a hook that returns text",
        hook("return 'mfcc'"),
        "sertk_extractors expects a list, received str",
    ),
    "none": Package(
        "a hook without `return`",
        hook("[Feature()]"),
        "sertk_extractors expects a list, received NoneType",
    ),
    "tuple": Package(
        "a hook that returns a tuple",
        hook("return (Feature(),)"),
        "sertk_extractors expects a list, received tuple",
    ),
    "generator": Package(
        "a hook that yields",
        hook("yield Feature()"),
        "sertk_extractors expects a list, received generator",
    ),
    "async": Package(
        "a hook that is `async`",
        hook("return [Feature()]", start="async def"),
        "sertk_extractors is async, and hooks are called without waiting",
    ),
    "aclass": Package(
        "a hook that returns classes",
        hook("return [Feature]"),
        "sertk_extractors: expects an instance of Extractor, received the class Feature",
    ),
    "newer": Package(
        "needs a newer `HOOK_API`",
        "SERTK_HOOK_API = 99\n" + OFFER,
        "needs HOOK_API 99, this ser-toolkit has 1: pip install --upgrade ser-toolkit",
    ),
    "quits": Package(
        "calls `sys.exit`", "sys.exit(3)", "SystemExit: it called sys.exit(3)"
    ),
    "property": Package(
        "a component with a property that raises",
        odd("@property\ndef licence(self):\n    return 1 / 0"),
        "ZeroDivisionError: division by zero",
    ),
    "field": Package(
        "a component whose version is a text",
        odd("version: ClassVar[str] = '1.0'"),
        "sertk_extractors: version of Odd expects int, received '1.0'",
    ),
    "twin-a": Package(TWIN, OFFER, used=CLASH, command=("same", command("a"))),
    "twin-b": Package(TWIN, OFFER, used=CLASH, command=("same", command("b"))),
    "fails": Package(
        "raises while it computes",
        odd("def frames(self, signal):\n    return [][1]"),
        used="plugin 'fails' (acme-fails 1.2) failed: IndexError: list index out of range",
    ),
    "asked": Package(
        "a reader that raises when it is asked, and when it reads",
        reader("return {}['a']", "return {}['b']"),
        used="plugin 'asked' (acme-asked 1.2) failed: KeyError: 'b'",
        reads=True,
    ),
    "vague": Package(
        "a reader whose answers are of wrong types",
        reader("return True", "return []"),
        used="read of reader 'corpus' expects a Reading, received list",
        reads=True,
    ),
    "slow": Package("takes five seconds to import", SLEEP + OFFER),
    "slowhook": Package(
        "a hook that takes five seconds",
        hook("time.sleep(float(os.environ.get('ACME_SLEEP_S', '0')))\n    return [Feature()]"),
    ),
    "chatty": Package(
        "prints on import",
        "print('hello from chatty')\nprint('psst', file=sys.stderr)\n" + OFFER,
    ),
    "raw": Package(
        "writes past Python on import",
        "os.write(1, b'hello from raw\\n')\n"
        "subprocess.run(['echo', 'hello from raw, its child'])\n" + OFFER,
    ),
    "severe": Package("turns warnings into errors", "warnings.simplefilter('error')\n" + OFFER),
    "deaf": Package(
        "ignores Ctrl-C", "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + OFFER
    ),
    "stars": Package("a hook with `*args`", hook("return [Feature()]", "*args, **kwargs")),
    "instance": Package(
        "hooks that are methods of an object",
        method("return [Feature()]") + "plugin = Plugin()",
        entry=":plugin",
    ),
    "fickle": Package("", FICKLE + OFFER),
}  # fmt: skip
BROKEN = {name: one.cause for name, one in PACKAGES.items() if one.broken}


def write_wheel(folder: Path, name: str, package: Package) -> Path:
    """Write the wheel of `acme-NAME`, whose plugin is NAME; 34 builds would take a minute."""
    module = f"acme_{name.replace('-', '_')}"
    offered = "twin" if name.startswith("twin") else f"{name}-feature"
    preamble = PREAMBLE.format(name=offered, edge=name in ("good", "fickle"))
    entries = f"[sertk]\n{name} = {module}{package.entry}\n"
    files = {f"{module}/__init__.py": preamble + package.body + "\n"}
    if package.command:
        typed, files[f"{module}/command.py"] = package.command
        entries += f"[sertk.commands]\n{typed} = {module}.command:command\n"
    info = f"{module}-1.2.dist-info"
    message = f"Name: acme-{name}\nVersion: 1.2\nSummary: Sayings of acme-{name}\n"
    files |= {
        f"{info}/METADATA": f"Metadata-Version: 2.1\n{message}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": entries,
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    wheel = folder / f"{module}-1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def make_environment(base: Path) -> Path:
    """The interpreter of an environment that holds this toolkit and every package above."""
    python = make_venv(base / "venv")
    install(base / "venv", [write_wheel(base, name, one) for name, one in PACKAGES.items()])
    return python
