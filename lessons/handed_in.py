"""What a student handed in, read without running it.

The answers are found by name, wherever they stand: `definitions` takes out of a notebook the statements
that an answer needs, so that checks which were deleted or changed, training that takes a minute and
cells that fail do not matter. `signs` names what a teacher should read in person.
"""

import ast
import importlib
import json
import re
import symtable
import warnings
from typing import NamedTuple

from lessons.notebooks import checks_name


class Handed(NamedTuple):
    """A notebook: its lesson's stem, such as "02_backward", and the texts of its cells of code."""

    stem: str
    cells: list[str]


class Statement(NamedTuple):
    """A statement of a notebook: the number of its cell, from 1, its text and its first line."""

    cell: int
    text: str
    line: int


def read(path):
    """The notebook at `path`.

    Raises `ValueError` for a file that is not a lesson's notebook, or is in another language.
    """
    if not path.is_file():  # reading a pipe would not end
        raise ValueError(f"{path} is no file, or a link that leads to none")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        stem = re.fullmatch(r"\w+", content["metadata"]["ums_lesson"])[0]
        importlib.import_module(f"lessons.checks.{checks_name(stem)}")
        cells = [
            "".join(cell["source"]) if cell["cell_type"] == "code" else ""
            for cell in content["cells"]
        ]
    except Exception as error:  # whatever a student may hand in under the name of a notebook
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is no notebook of a lesson: {why}") from error
    for place, key in (("language_info", "name"), ("kernelspec", "language")):
        told = content["metadata"].get(place)
        language = told.get(key) if isinstance(told, dict) else None
        if isinstance(language, str) and "python" not in language.lower():
            raise ValueError(f"{path}: its language is {language!r}, expected Python")
    return Handed(stem, cells)


def parse(cells):
    """Each cell's statements, [(number from 1, its Python, tree)], and what cannot be read.

    Magics are translated as a notebook does. The second value has a line for each cell that is no
    Python.
    """
    parsed, unread = [], []
    for number, cell in enumerate(cells, start=1):
        try:
            parsed.append((number, *_tree(cell)))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            unread.append(f"cell {number} is no Python: {error}")
    return parsed, unread


def _tree(text):
    """A cell's Python and its tree."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a backslash that means nothing
        try:
            return text, ast.parse(text)
        except SyntaxError:
            from IPython.core.inputtransformer2 import TransformerManager

            text = TransformerManager().transform_cell(text)
            return text, ast.parse(text)


def definitions(parsed, names):
    """The statements that the values of `names` depend on, in order."""
    statements = [(n, text, node) for n, text, tree in parsed for node in tree.body]
    imported = set().union(*(_bound(s) for *_, s in statements if _is_import(s)), set())
    effects = [_bound(node) | (_touched(node) - imported) for *_, node in statements]
    needed, chosen = set(names), set()
    while True:
        more = {i for i, made in enumerate(effects) if made & needed or "*" in made} - chosen
        if not more:
            break
        chosen |= more
        needed |= set().union(*(_read(_segment(*statements[i][1:])) for i in more))
    return [
        Statement(n, _segment(text, node), _first_line(node))
        for n, text, node in (statements[i] for i in sorted(chosen))
    ]


def _first_line(node):
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])


def _segment(text, node):
    return "\n".join(text.split("\n")[_first_line(node) - 1 : node.end_lineno])


def _is_import(node):
    return isinstance(node, ast.Import | ast.ImportFrom)


def _bound(statement):
    """The names of the notebook that a statement gives a value."""
    names, nodes = set(), [statement]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            names |= {
                n for part in ast.walk(node) if isinstance(part, ast.Global) for n in part.names
            }
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        nodes += ast.iter_child_nodes(node)
    return names


def _touched(statement):
    """The names whose values a statement may change: `a[0] = 1`, `a.b = 1`, `a.append(1)`."""
    bases = [
        node.value
        for node in ast.walk(statement)
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store)
    ]
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        bases.append(statement.value.func)
        if isinstance(statement.value.func, ast.Name):
            return set()
    return {name for base in bases if (name := _base(base))}


def _base(node):
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _read(text):
    """The names of the notebook that a statement uses: not those that a function keeps to itself."""
    tree = ast.parse(text)
    for node in ast.walk(tree):  # what follows a hole would ask for names that its solution gives
        body = getattr(node, "body", None)
        if isinstance(body, list):
            ends = [i for i, part in enumerate(body) if isinstance(part, ast.Raise | ast.Return)]
            del body[ends[0] + 1 if ends else len(body) :]
    names, tables = set(), [symtable.symtable(ast.unparse(tree), "a statement", "exec")]
    while tables:
        table = tables.pop()
        outermost = table.get_type() == "module"
        names |= {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (outermost or symbol.is_global())
        }
        tables += table.get_children()
    return names
