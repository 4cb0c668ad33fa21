"""Signs in a student's code that a teacher should read it: nothing here takes a point away.

What the lesson itself gives is never a sign. `signs` looks for the library, for answers kept in files and
for the machinery of Python that could deceive a check; `fingerprint` is equal for two notebooks that
differ in names, comments and layout alone; `likeness` tells functions that are the library's.
"""

import ast
import hashlib

HARMLESS = {
    "IPython", "collections", "copy", "dataclasses", "functools", "itertools", "math", "matplotlib",
    "numbers", "numpy", "operator", "random", "re", "string", "time", "typing", "warnings",
}  # fmt: skip
"""Modules that a student may import without a word."""

POWERFUL = {
    "__import__", "breakpoint", "compile", "delattr", "eval", "exec", "getattr", "get_ipython",
    "globals", "open", "setattr", "vars",
}  # fmt: skip
INNER = {
    "_getframe", "as_strided", "ctypes", "ctypeslib", "f_back", "f_builtins", "f_globals", "f_locals",
    "gi_frame", "load_library", "modules", "tb_frame",
}  # fmt: skip
"""Attributes by which code reaches what it was not given."""

PLAIN = {
    "__class__", "__doc__", "__enter__", "__exit__", "__getitem__", "__init__", "__iter__",
    "__len__", "__name__", "__next__", "__post_init__", "__repr__", "__setitem__",
}  # fmt: skip
PLACES = ("lessons/", "source/", "solved", "wrong_answers", "/proc", ".ipynb")

ENOUGH = 8
"""Lines from which on equal answers of two students are no chance."""


def signs(parsed, given):
    """What to read in person, a line each, such as "cell 7, line 2: imports torch".

    Args:
        parsed: the student's cells (`handed_in.parse`).
        given: those of the lesson's student copy; lines that stand there are no sign.
    """
    known = {line.strip() for _, text, _ in given for line in text.split("\n")}
    imported = {name for *_, tree in parsed for node in ast.walk(tree) for name in _imports(node)}
    found = []
    for number, text, tree in parsed:
        lines = text.split("\n")
        for node in ast.walk(tree):
            line = getattr(node, "lineno", 0)
            if line and lines[line - 1].strip() in known:
                continue
            found += [f"cell {number}, line {line}: {what}" for what in _sign(node, imported)]
    return list(dict.fromkeys(found))


def _imports(node):
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return []


def _sign(node, imported):
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield from _foreign(alias.name, alias.name)
        case ast.ImportFrom(module=module, names=names):
            for alias in names:
                yield from _foreign(module or ".", f"{module or '.'}.{alias.name}")
        case ast.Name(id=name) if name in POWERFUL:
            yield f"uses {name}"
        case ast.Attribute(value=ast.Name(id=name), attr=attr, ctx=ast.Store()) if name in imported:
            yield f"changes {name}.{attr}"
        case ast.Attribute(attr=attr) if attr in INNER or _is_inner(attr):
            yield f"uses .{attr}"
        case ast.FunctionDef(name=name) if _is_inner(name):
            yield f"defines {name}"
        case ast.ClassDef(bases=bases) if any("ndarray" in ast.unparse(base) for base in bases):
            yield "defines a kind of array"
        case ast.Constant(value=str(text)) if "\n" not in text:
            if _is_place(text):
                yield f"names {text[:40]!r}"


def _foreign(module, name):
    root = module.partition(".")[0]
    if root in ("ums", "data_prep", "lessons"):
        yield f"takes {name} where the lesson does not"
    elif root not in HARMLESS:
        yield f"imports {name}"


def _is_inner(name):
    return name.startswith("__") and name.endswith("__") and name not in PLAIN


def _is_place(text):
    return "LESSON" in text or any(place in text.replace("\\", "/") for place in PLACES)


# -------------------------------------------------------------------------------- copies


def fingerprint(parsed, given):
    """A text equal for equal answers, and how many lines are the student's; None where these are few.

    Names that a function or class binds itself, comments, texts and layout do not count, nor does
    what stands in the lesson.
    """
    known = [_plain(node) for *_, tree in given for node in tree.body if _is_definition(node)]
    own = [_plain(node) for *_, tree in parsed for node in tree.body if _is_definition(node)]
    own = [text for text in own if text not in known]
    lines_given = {line for text in known for line in text.split("\n")}
    count = sum(line not in lines_given for text in own for line in text.split("\n"))
    digest = hashlib.sha256("\n\n".join(own).encode()).hexdigest()
    return (digest if count >= ENOUGH else None), count


def _is_definition(node):
    return isinstance(node, ast.FunctionDef | ast.ClassDef)


def _plain(node):
    node = _Plain(node).visit(ast.parse(ast.unparse(node)))
    return ast.unparse(node)


class _Wordless(ast.NodeTransformer):
    """Docstrings go."""

    def visit_Expr(self, node):
        return ast.Pass() if isinstance(node.value, ast.Constant) else self.generic_visit(node)


class _Plain(_Wordless):
    """Names that the definition binds become v0, v1 and so on; docstrings go."""

    def __init__(self, definition):
        bound = [n.arg for n in ast.walk(definition) if isinstance(n, ast.arg)]
        bound += [
            n.id
            for n in ast.walk(definition)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        ]
        self.names = {name: f"v{i}" for i, name in enumerate(dict.fromkeys(bound))}

    def visit_Name(self, node):
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_arg(self, node):
        node.arg, node.annotation = self.names.get(node.arg, node.arg), None
        return node


# -------------------------------------------------------------------------------- the library's lines

LIKE, FROM = 5 / 6, 5
"""The share of a function's lines, of at least so many, that stand in one function of the library."""


def bare_functions(text):
    """The lines of every function in a text of Python, without docstrings, types and any names."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    return {node.name: _bare(node) for node in functions}


def likeness(parsed, library):
    """Signs for functions whose lines are, but for names, lines of one function of the library.

    Args:
        parsed: the student's cells (`handed_in.parse`).
        library: {where: lines}, as `bare_functions` has them.
    """
    library = {where: set(lines) for where, lines in library.items()}
    for number, _, tree in parsed:
        for name, lines in bare_functions(ast.unparse(tree)).items():
            if len(lines) < FROM:
                continue
            count, where = max((sum(n in own for n in lines), w) for w, own in library.items())
            if count >= LIKE * len(lines):
                said = f"{count} of the {len(lines)} lines of {name} are, but for names"
                yield f"cell {number}: {said}, those of {where}"


def _bare(function):
    body = [_Bare().visit(node) for node in function.body]
    lines = ast.unparse(ast.fix_missing_locations(ast.Module(body, []))).split("\n")
    return [line for line in lines if line.strip() != "pass"]


class _Bare(_Wordless):
    """No name is left but those of attributes, and no type."""

    def visit_Name(self, node):
        return ast.Name("_", node.ctx)

    def visit_arg(self, node):
        return ast.arg("_")

    def visit_AnnAssign(self, node):
        return self.visit(ast.Assign([node.target], node.value)) if node.value else ast.Pass()
