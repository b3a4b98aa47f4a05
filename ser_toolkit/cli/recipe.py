"""Run `sertk recipe list|show`."""

from __future__ import annotations

import click


@click.group()
def recipe() -> None:
    """List recipes, or print one as a file to change and train."""


@recipe.command("list")
def list_recipes() -> None:
    """List every recipe with a description."""
    from ..plugins.registry import load_plugins

    for item in sorted(load_plugins().all("recipe"), key=lambda item: item.name):
        click.echo(f"{item.name:<16} {item.description}")


@recipe.command()
@click.argument("name")
@click.option("--full", is_flag=True, help="Write out every parameter, defaults too.")
def show(name: str, full: bool) -> None:
    """Print recipe NAME as TOML; save it, change it, and `sertk train MY.toml`."""
    from ..plugins.assemble import assemble, open_recipe
    from ..plugins.registry import load_plugins

    plugins = load_plugins()
    found = open_recipe(name, plugins)
    click.echo((assemble(found, plugins).recipe if full else found).to_toml(), nl=False)
