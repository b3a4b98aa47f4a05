"""Refuse docstrings of functions that do not begin with a verb in the imperative."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("ser_toolkit", "edge/sertk_edge", "plugins/*/sertk_*", "release")
ARTICLES = "a an the this that these those"
PRONOUNS = "i it its he she they we you one none all each every both any some nothing what who"
CONJUNCTIONS = "how when where whether which why if because so but and or not no only"
PREPOSITIONS = "about after as at before by for from in into of on over since to until with without"
OTHERS = "true false yes"
REFUSED = frozenset(f"{ARTICLES} {PRONOUNS} {CONJUNCTIONS} {PREPOSITIONS} {OTHERS}".split())
FIRST = re.compile(r"([A-Z][a-z]*)(?:-[a-z]+)*(?![\w-])( of\b)?")
# "Number an event" has a verb, "Number of events" a noun.
VERBS_WITH_OF = frozenset(["warn"])
# "Returns", "Returning", "Returned", and the verbs that only look like these.
INFLECTED = re.compile(r".+([^s]s|ing|ed)$")
VERBS = frozenset(["bring", "embed", "feed", "focus", "need", "seed"])


def begins_with_verb(docstring: str) -> bool:
    """Say whether the first word can be a verb in the imperative; a list of words decides."""
    first = FIRST.match(docstring)
    if first is None:
        return False
    word, of = first[1].lower(), first[2]
    if of and word not in VERBS_WITH_OF:
        return False
    return word not in REFUSED and (word in VERBS or not INFLECTED.fullmatch(word))


def problems(path: Path) -> Iterator[str]:
    """Yield a line for each docstring of a function or method in `path` that begins otherwise."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring is not None and not begins_with_verb(docstring):
                first = docstring.splitlines()[0] if docstring else ""
                yield f"{path}:{node.lineno}: {node.name} begins with no verb: {first}"


def main(root: Path = Path()) -> int:
    """Check every folder with code of ours; return how many docstrings are refused."""
    files = [path for folder in FOLDERS for path in sorted(root.glob(f"{folder}/**/*.py"))]
    found = [line for path in files for line in problems(path)]
    print("\n".join(found) or f"{len(files)} files: every docstring begins with a verb")
    return len(found)


if __name__ == "__main__":
    sys.exit(min(1, main()))
