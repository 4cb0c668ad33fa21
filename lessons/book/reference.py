"""The pages of the reference: one for each module of ums and data_prep, made of its docstrings."""

import pkgutil
from pathlib import Path

from lessons.notebooks import ROOT

PACKAGES = {
    "ums": "backend ops gradcheck layer layers optimizers networks data training finetuning source metrics "
    "derived models predictions interchange experiments",
    "data_prep": "",
}
"""Packages with a reference, and the modules that come first: the reading order of README.md."""


def modules(package):
    """The modules of a package, without what runs on import: [(name, whether a package), ...]."""
    found = pkgutil.iter_modules([str(ROOT / package.replace(".", "/"))])
    return [(f"{package}.{name}", inner) for _, name, inner in found if name != "__main__"]


def write_reference(folder):
    """Write `<module>.rst` for every module into `folder`; return the modules' names."""
    names = []
    for package, first in PACKAGES.items():
        names += _write_package(Path(folder), package, first.split())
    return names


def _write_package(folder, package, first=()):
    order = {f"{package}.{name}": place for place, name in enumerate(first)}
    inner = sorted(modules(package), key=lambda module: order.get(module[0], len(order)))
    _write(folder, package, [name for name, _ in inner])
    names = [package]
    for name, is_package in inner:
        if is_package:
            names += _write_package(folder, name)
        else:
            _write(folder, name)
            names.append(name)
    return names


def _write(folder, name, inner=()):
    lines = [name, "=" * len(name), "", f".. automodule:: {name}"]
    if inner:
        lines += ["", ".. toctree::", "   :maxdepth: 1", "", *(f"   {module}" for module in inner)]
    else:
        lines += ["   :members:", "   :ignore-module-all:", "   :show-inheritance:"]
    Path(folder, f"{name}.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")
