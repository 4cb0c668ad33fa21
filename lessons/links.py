"""Links of a lesson to files of the repository, `[text](ums/ops/dense.py:dense_backward)`.

Each becomes one relative to the notebook. JupyterLab opens a file at its first line, whatever line an
address names, so the text says the line too. A link is left out, and its text kept, where the file
holds what the student is still to write.
"""

import ast
import os
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LINK = re.compile(r"(?<!!)\[([^\[\]]*)\]\(([\w./-]+)(?::([\w.]+))?\)")
"""A link in Markdown: the text that is shown, a path, and a definition in that file or None."""

FROM_TOP = ("ums/", "data_prep/", "lessons/", "tests/", "README.md")
"""How the paths of a lesson's links begin; other links are left as they are."""


def resolve_links(text, folder, where, to_write=()):
    """Markdown with its links to files of the repository made relative to `folder`.

    Args:
        text: the Markdown.
        folder: where the notebook will be.
        where: what errors name.
        to_write: names of the functions and classes that the student has not written yet.

    Raises `ValueError`, naming `where`, for a file or definition that is not there.
    """
    up = os.path.relpath(ROOT, folder)

    def link(found):
        shown, path, name = found.groups()
        if not path.startswith(FROM_TOP):
            return found[0]
        if not (ROOT / path).exists():
            raise ValueError(f"{where} links to {path}, which is not there")
        line = _line(ROOT / path, name, where) if name else None
        if any(holds_answer(ROOT / path, answer) for answer in to_write):
            return _bare(shown)
        address = Path(up, path).as_posix() + (f"#L{line}" if line else "")
        called = text[found.end() : found.end() + 2] == "`("  # as in f(x), of which f is the link
        return (
            f"[{shown} (line {line})]({address})"
            if line and not called
            else f"[{shown}]({address})"
        )

    return LINK.sub(link, text)


def without_links(text):
    """Markdown with the text of each link to a file of the repository in the link's place."""

    def link(found):
        return _bare(found[1]) if found[2].startswith(FROM_TOP) else found[0]

    return LINK.sub(link, text)


def live_links(text, folder):
    """Markdown without the links that lead to nothing in `folder`."""

    def link(found):
        shown, address = found.groups()
        if re.match(r"\w+:", address) or (folder / address.partition("#")[0]).exists():
            return found[0]
        return re.sub(r" \(line \d+\)$", "", shown)

    return re.sub(r"(?<!!)\[([^\[\]]*)\]\(([^()\s]+)\)", link, text)


def _bare(shown):
    return f"`{shown}`" if re.fullmatch(r"[\w.]+", shown) else shown


def holds_answer(path, answer):
    """Whether a file of Python defines a function or class whose name is like that of the answer.

    It is alike where one begins with the other, as do `gradnorm_gradient` and `GradNorm`.
    """
    if path.suffix != ".py":
        return False
    names = [_plain(name) for name in _definitions(path) if "." not in name]
    return any(_alike(_plain(answer), name) for name in names)


def _alike(a, b):
    return min(len(a), len(b)) >= 3 and (a.startswith(b) or b.startswith(a))


def _plain(name):
    return name.replace("_", "").lower()


def _line(path, name, where):
    """The line of the file at which `name`, or `Class.method`, is defined."""
    lines = _definitions(path)
    if name not in lines:
        raise ValueError(f"{where} links to {name} in {path.relative_to(ROOT)}: no such definition")
    return lines[name]


@cache
def _definitions(path):
    """Where the functions, classes, methods and named values of a file are: {name: line}."""
    lines = {}

    def visit(body, prefix):
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                lines[prefix + node.name] = node.lineno
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{node.name}.")
            elif isinstance(node, ast.Assign):
                targets = [t for t in node.targets if isinstance(t, ast.Name)]
                lines.update({prefix + target.id: node.lineno for target in targets})

    visit(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return lines
