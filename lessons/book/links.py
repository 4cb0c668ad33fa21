"""Links to files of the repository, made links within the book, or to the repository on the web."""

import ast
import os
from functools import cache

from lessons.links import LINK, ROOT

PAGES = {
    "README.md": "index.html",
    "lessons/README.md": "syllabus.html",
    "ums/experiments/RESULTS.md": "results.html",
}
"""Files of the repository that have a page of the book in their place."""


def in_book(text, base=ROOT, up="", repository=None):
    """Markdown whose links to files of the repository lead to the book's pages.

    Args:
        text: the Markdown; `[text](ums/ops/dense.py:dense_backward)` links to a definition.
        base: the folder that the links start from.
        up: the way from the page to the top of the book, such as "../".
        repository: `owner/name` on GitHub, for files without a page; without it their paths are told.

    Returns:
        The Markdown; a link to what is no file of the repository is left as it is.
    """

    def link(found):
        shown, path, name = found.groups()
        if not (base / path).exists():
            return found[0]
        path = os.path.relpath(base / path, ROOT).replace(os.sep, "/")
        if page := _page(path, name):
            return f'<a class="reference internal" href="{up}{page}">{shown}</a>'
        if repository:
            return f"[{shown}](https://github.com/{repository}/blob/HEAD/{path})"
        return f"`{path}`" if path.endswith(shown.strip("`")) else f"{shown} (`{path}`)"

    return LINK.sub(link, text)


def _page(path, name):
    """The book's page for a file, at a definition in it; None where it has none."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("lessons/") and path.endswith(".ipynb"):
        return path.replace(".ipynb", ".html")
    if not path.startswith(("ums/", "data_prep/")) or not path.endswith(".py"):
        return None
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if name and name not in documented(path):  # the reference leaves it out: to the code
        return f"_modules/{module.replace('.', '/')}.html"
    return f"api/{module}.html" + (f"#{module}.{name}" if name else "")


@cache
def documented(path):
    """Names that the reference shows of a file: public, and with a docstring."""
    names = set()

    def visit(body, prefix):
        for node, following in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
                found = [node.name]
            elif isinstance(node, ast.Assign | ast.AnnAssign) and _is_text(following):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found = [target.id for target in targets if isinstance(target, ast.Name)]
            else:
                continue
            found = [name for name in found if not name.startswith("_")]
            names.update(prefix + name for name in found)
            if isinstance(node, ast.ClassDef) and found:
                visit(node.body, f"{prefix}{node.name}.")

    visit(ast.parse((ROOT / path).read_text(encoding="utf-8")).body, "")
    return names


def _is_text(node):
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
