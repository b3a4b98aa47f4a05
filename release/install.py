"""Install into this environment with uv, which is faster, as pip would with its settings.

uv does not read the settings of pip, so they are passed on; where pip has a setting that uv lacks,
where uv cannot be installed, or where it fails, pip installs.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable

PIP = (sys.executable, "-m", "pip")
# An option of uv for each word of the value.
OPTIONS = {
    "find-links": "--find-links",
    "trusted-host": "--allow-insecure-host",
}
VARIABLES = {
    "cert": ("SSL_CERT_FILE",),
    "client-cert": ("SSL_CLIENT_CERT",),
    "proxy": ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"),
    "timeout": ("UV_HTTP_TIMEOUT",),
    "default-timeout": ("UV_HTTP_TIMEOUT",),
}
INDEXES = ("index-url", "extra-index-url")
# Settings that do not alter which packages are installed; PIP_CONSTRAINT is passed on.
WITHOUT_EFFECT = {
    "cache-dir",
    "config-file",
    "constraint",
    "disable-pip-version-check",
    "no-cache-dir",
    "no-color",
    "no-input",
    "no-python-version-warning",
    "no-warn-script-location",
    "progress-bar",
    "quiet",
    "require-virtualenv",
    "retries",
    "root-user-action",
    "verbose",
}


def settings(listed: str) -> dict[str, str]:
    """Return the settings for installing in the output of `pip config list`.

    A command's setting overrides a global one, a variable both. Raises ValueError for a line that
    is no setting.
    """
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, "env": {}}
    for line in listed.splitlines():
        name, equals, value = line.partition("=")
        section, _, key = name.replace(":env:", "env", 1).rpartition(".")
        if not equals:
            raise ValueError(line)
        sections.setdefault(section, {})[key.replace("_", "-")] = str(ast.literal_eval(value))
    return {**sections["global"], **sections["install"], **sections["env"]}


def for_uv(pip_settings: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the settings of pip as options and variables of uv.

    Raises ValueError for a setting that uv lacks.
    """
    options = indexes(pip_settings)
    variables: dict[str, str] = {}
    for key, value in pip_settings.items():
        if key in INDEXES:
            continue
        if key in OPTIONS:
            options += [part for word in value.split() for part in (OPTIONS[key], word)]
        elif key in VARIABLES:
            variables.update(dict.fromkeys(VARIABLES[key], value))
        elif key == "no-index":
            options += ["--no-index"] if value.lower() in ("1", "true", "yes", "on") else []
        elif key not in WITHOUT_EFFECT:
            raise ValueError(f"{key} = {value}")
    return options, variables


def indexes(pip_settings: dict[str, str]) -> list[str]:
    """Return the options that make uv look into all indexes of pip, into its main one first.

    Of a version that several indexes have, pip compares all files and uv takes those of the first
    index alone: one further index may have only the file for other machines.
    """
    urls = " ".join(pip_settings.get(key, "") for key in INDEXES).split()
    if "extra-index-url" in pip_settings and "index-url" not in pip_settings:
        urls.insert(0, default_index())
    options = ["--index-strategy", "unsafe-best-match"]
    if len(urls) == 1:
        return [*options, "--default-index", urls[0]]
    return [*options, *(part for url in urls for part in ("--index", url))]


def default_index() -> str:
    """Return the index that pip asks where it is told none. Raises ValueError if it is unknown."""
    try:
        from pip._internal.models.index import PyPI
    except ImportError as error:
        raise ValueError("extra-index-url without index-url") from error
    return str(PyPI.simple_url)


def uv_installed() -> bool:
    """Say whether uv is installed, after an attempt to install it."""
    if importlib.util.find_spec("uv") is None:
        subprocess.run([*PIP, "install", "--quiet", "uv"], check=False, capture_output=True)
        importlib.invalidate_caches()
    return importlib.util.find_spec("uv") is not None


def with_uv(arguments: Iterable[str]) -> bool:
    """Install with uv; say whether that worked."""
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=True)
    try:
        options, variables = for_uv(settings(listed.stdout))
    except (ValueError, SyntaxError) as error:
        print(f"pip installs, for uv has no word for its setting {error}", file=sys.stderr)
        return False
    if not uv_installed():
        return False
    if "PIP_CONSTRAINT" in os.environ:
        variables["UV_CONSTRAINT"] = os.environ["PIP_CONSTRAINT"]
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--quiet",
        "--compile-bytecode",
        "--python",
        sys.executable,
    ]
    env = {**os.environ, **variables}
    done = subprocess.run([*command, *options, *arguments], env=env, check=False)
    return done.returncode == 0


def main(arguments: list[str]) -> None:
    """Install what `pip install` would with these arguments."""
    if not with_uv(arguments):
        sys.exit(subprocess.run([*PIP, "install", "--quiet", *arguments], check=False).returncode)


if __name__ == "__main__":
    main(sys.argv[1:])
