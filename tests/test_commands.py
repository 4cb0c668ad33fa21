"""The commands without make: those that the README names are understood, and what is missing is one line."""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import data_prep.__main__
import ums.experiments.__main__

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "data_prep/README.md", "lessons/README.md")
COMMAND = re.compile(r"^python -m ((?:data_prep|ums[.]experiments) .*?)\s*(?:#.*)?$", re.MULTILINE)
PARSERS = {
    "data_prep": data_prep.__main__._parser,
    "ums.experiments": ums.experiments.__main__._parser,
}


def named_in(page):
    return COMMAND.findall((ROOT / page).read_text(encoding="utf-8"))


def test_the_readme_names_a_way_without_make():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in ("venv .venv", "pip install -r requirements.txt", "data_prep cxr", "pytest"):
        assert f"python -m {command}" in text
    assert len(named_in("README.md")) >= 2


@pytest.mark.parametrize("command", [c for page in PAGES for c in named_in(page)])
def test_the_commands_of_the_pages_are_understood(command):
    module, *arguments = shlex.split(command)
    PARSERS[module]().parse_args(arguments)


def test_help_of_the_preparing_commands_gives_an_example_that_is_understood():
    parser = data_prep.__main__._parser()
    (commands,) = (a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for name in sorted(commands.keys() - {"get", "accept"}):
        made_by, *arguments = shlex.split(commands[name].epilog.removeprefix("example: python -m "))
        assert (made_by, arguments[0]) == ("data_prep", name)
        assert parser.parse_args(arguments).set == name


def without(packages, module, *arguments):
    """The error line of a command where packages are not installed; its code is 2."""
    code = f"import runpy, sys\nsys.modules.update(dict.fromkeys({packages}))\n"
    code += f"sys.argv[1:] = {list(map(str, arguments))}\n"
    code += f"runpy.run_module({module!r}, run_name='__main__')"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr


@pytest.mark.parametrize("package", ["matplotlib", "jinja2", "tqdm", "cv2"])
def test_studies_without_a_package_say_what_to_install(package, tmp_path):
    said = without([package], "ums.experiments", "report", tmp_path)
    assert said.startswith(f"error: {package} is missing: python -m pip install")
    assert '"ums-rep[study]"' in said and "-r requirements.txt" in said


@pytest.mark.parametrize("package", ["numpy", "tqdm", "cv2", "threadpoolctl"])
def test_preparing_without_a_package_says_what_to_install(package, tmp_path):
    said = without([package], "data_prep", "synthetic", tmp_path / "out")
    assert said == f"error: {package} is missing: python -m pip install -r requirements.txt\n"


def test_a_package_that_is_needed_late_is_named_too(tmp_path):
    small = ("--images", 20, "--size", 32)
    said = without(["filelock"], "data_prep", "synthetic", tmp_path / "out", *small)
    assert said == "error: filelock is missing: python -m pip install filelock\n"
    film = tmp_path / "raw" / "film.dcm"
    film.parent.mkdir()
    film.write_bytes(bytes(128) + b"DICM" + bytes(100))
    said = without(["pydicom"], "data_prep", "unlabelled", film.parent, tmp_path / "out")
    assert "film.dcm cannot be read without pydicom" in said and "pip install" in said
