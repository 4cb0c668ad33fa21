"""Imports of the modules of ``ums``, read from their code: who takes what from whom."""

import ast
from functools import cache
from pathlib import Path

import ums

PACKAGE = Path(ums.__file__).parent


@cache
def modules():
    """Name of every module of the package, such as "ums.data.folds" -> its file."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imported(path):
    """The dotted names a file imports, wherever it does: "ums.data" and "ums.data.normalise"."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@cache
def direct(module):
    """The modules of the package that a module imports, by its own words."""
    return {_nearest(name) for name in imported(modules()[module]) if name.split(".")[0] == "ums"}


def _nearest(name):
    """The module that a dotted name is in: it, or what is left when its end is an attribute."""
    return name if name in modules() else name.rpartition(".")[0]


@cache
def loaded(module):
    """What importing a module from elsewhere runs first: its imports, and the packages they are in.

    The module itself and the packages that it is in are running already and are left out.
    """
    within = {module, *_packages(module)}
    return {p for name in direct(module) for p in (name, *_packages(name))} - within | direct(
        module
    )


def _packages(module):
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


@cache
def reached(module):
    """All modules that importing a module loads, however far away."""
    found, todo = set(), [module]
    while todo:
        for name in loaded(todo.pop()) - found:
            found.add(name)
            todo.append(name)
    return found
