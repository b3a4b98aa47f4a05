"""Run `sertk plugins new`: write the package of a new plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..scaffold import KINDS

if TYPE_CHECKING:
    from ..scaffold import Project


@click.command()
@click.argument("name")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    help="Kind of component; repeat for several in one package.  [required]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder to write; new or empty [default: sertk-NAME].",
)
def new(name: str, kinds: tuple[str, ...], out: Path | None) -> None:
    """Write the plugin NAME: a package that installs, is tested, and works as it is.

    NAME is what users type: small letters, digits and dashes. The distribution is sertk-NAME. It
    has a small working example of each kind, a test that runs the conformance kit, a README, a CI
    file and a licence.

    \b
    sertk plugins new loud --kind extractor
    sertk plugins new my-lab --kind reader --kind recipe
    """
    from ..runtime.errors import SertkError
    from ..scaffold import Project, names, write

    if not kinds:
        raise SertkError(f"--kind expected, one of {', '.join(KINDS)}", "Add --kind extractor")
    project = Project(name, tuple(kind for kind in KINDS if kind in kinds))
    names.check_project(project)
    folder = out or Path(project.distribution)
    names.check_folder(folder)
    write(project, folder)
    _show(project, folder)


def _show(project: Project, folder: Path) -> None:
    from . import show

    # Without a slash, pip would look it up as a name.
    place = str(folder) if folder.is_absolute() or folder == Path() else f"./{folder}"
    show.console().print(f"wrote {len(project.texts())} files to {place}", soft_wrap=True)
    show.steps(
        (f'pip install -e "{place}[test]"', "edits count at once"),
        ("sertk plugins", "it is listed"),
        *_commands(project),
        (f"pytest {place}", "runs its tests"),
        (f"less {place}/README.md", "what is what, and how to publish it"),
    )


def _commands(project: Project) -> Iterator[tuple[str, str]]:
    data = "DIR" if "reader" in project.kinds else "synthetic"
    if set(project.kinds) - {"sink", "command"}:
        yield f"sertk train --plugin {project.name} --data {data}", "trains with it"
    if "sink" in project.kinds:
        yield f"sertk serve-edge BUNDLE --sink {project.name}", "sends it events"
    if "command" in project.kinds:
        yield f"sertk {project.name} FILE.wav", "runs it"
