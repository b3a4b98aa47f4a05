"""Run `sertk bundle show|verify|selftest|sign|keys`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .predict import signature_option

if TYPE_CHECKING:
    from ..runtime.bundle.file import Bundle
    from ..runtime.bundle.selftest import SelfTest
    from ..runtime.inference.tflite import TfliteRuntime

PATH = click.Path(path_type=Path)
FILE = click.argument("file", type=PATH)


def key_bytes(key: Path | None) -> bytes | None:
    """Return the content of a key file."""
    from ..runtime.bundle.signing import read_key

    return read_key(key) if key else None


@click.group()
def bundle() -> None:
    """Show, check and sign a bundle."""


@bundle.command()
@FILE
@signature_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.option("--card", is_flag=True, help="Print the model card.")
def show(file: Path, require_signature: Path | None, as_json: bool, card: bool) -> None:
    """Show what FILE contains, without running it."""
    from ..runtime.bundle.file import parse_bundle, read_bytes
    from ..runtime.text import escape_control
    from . import bundle_views as views

    content = read_bytes(file)
    parsed = parse_bundle(content, key_bytes(require_signature))
    if as_json:
        click.echo(json.dumps(views.to_dict(parsed, content, file.name), indent=2))
    elif card:
        click.echo(escape_control(parsed.card, keep="\n"))
    else:
        views.print_pairs(views.rows(parsed, content, file.name))


@bundle.command()
@FILE
@signature_option
def verify(file: Path, require_signature: Path | None) -> None:
    """Check FILE and run its self-test in a child process; exit with 0 if both pass."""
    from ..runtime.bundle.file import parse_bundle, read_bytes
    from . import bundle_views as views

    content = read_bytes(file)
    parsed = parse_bundle(content, key_bytes(require_signature))
    views.print_pairs(views.checked(parsed, content))
    views.print_pairs(views.verified(parsed, *_run_selftest(content, parsed)))


@bundle.command()
@FILE
@signature_option
def selftest(file: Path, require_signature: Path | None) -> None:
    """Run the self-test of FILE; print the difference from the export and the tolerance."""
    from ..runtime.bundle.file import parse_bundle, read_bytes
    from . import show as terminal
    from .bundle_views import selftest_table

    content = read_bytes(file)
    parsed = parse_bundle(content, key_bytes(require_signature))
    _, test = _run_selftest(content, parsed)
    terminal.console().print(selftest_table(test))


@bundle.command()
@FILE
@click.option("--key", type=PATH, required=True, metavar="PEM", help="The private key.")
def sign(file: Path, key: Path) -> None:
    """Sign FILE, in place of any signature that it has."""
    from ..runtime.bundle.file import sign as sign_bundle
    from ..runtime.bundle.signing import read_key

    sign_bundle(file, read_key(key))
    click.echo(f"{file} is signed. Check it with `sertk bundle verify --require-signature`")


@bundle.command()
@click.argument("folder", type=PATH)
def keys(folder: Path) -> None:
    """Write a new key pair into FOLDER; never over another one."""
    from ..runtime.bundle.signing import generate_keys

    private, public = generate_keys(folder)
    click.echo(f"{private}   signs; keep it secret, it has no password")
    click.echo(f"{public}   checks signatures; copy it to the devices")


def _run_selftest(content: bytes, parsed: Bundle) -> tuple[TfliteRuntime, SelfTest]:
    """Self-test a bundle here, after a child process that it might have crashed."""
    from ..plugins.bundles import check_bundle, classifier_of, plugins_of
    from ..runtime.bundle.selftest import check_selftest

    check_bundle(parsed, content)
    classifier = classifier_of(parsed, plugins_of(parsed.manifest))
    return classifier.network.runtime, check_selftest(classifier, parsed.selftest)
