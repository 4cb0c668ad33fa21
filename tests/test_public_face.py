"""What ``from ums import ...`` gives, and what it needs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ums

HEAVY = ("cv2", "scipy", "tqdm", "matplotlib", "pandas", "jinja2")


@pytest.mark.parametrize("name", ums.__all__)
def test_every_public_name_is_there(name):
    assert getattr(ums, name) is not None


def test_dir_lists_the_public_names():
    assert set(ums.__all__) <= set(dir(ums))


def test_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="module 'ums' has no attribute 'Conv3D'"):
        ums.Conv3D  # noqa: B018


def test_type_checker_knows_the_public_names_and_refuses_others():
    pytest.importorskip("mypy")
    options = (
        "--config-file=",
        f"--cache-dir={os.devnull}",
        "-c",
        "from ums import predict, Conv3D",
    )
    command = [sys.executable, "-m", "mypy", *options]
    root = Path(ums.__file__).parents[1]
    found = subprocess.run(command, capture_output=True, text=True, cwd=root).stdout
    assert 'no attribute "Conv3D"' in found and '"predict"' not in found


@pytest.mark.parametrize(
    "imports",
    [
        "import ums; from ums import Conv2D, check_gradients",
        "import ums.ops, ums.layers, ums.gradcheck, ums.networks, ums.optimizers",
    ],
)
def test_layers_and_checks_need_numpy_and_threadpoolctl_alone(imports):
    program = f"import sys; {imports}; print([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_names_that_need_more_are_loaded_when_asked_for():
    program = "import sys, ums; ums.Task; from ums import predict; print('tqdm' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "True"


def test_an_installation_has_every_file_that_the_package_reads():
    package = Path(ums.__file__).parent
    settings = (package.parent / "pyproject.toml").read_text(encoding="utf-8")
    read_by_people = (".md", ".svg")
    for path in (
        p for p in package.rglob("*.*") if p.suffix not in (".py", ".pyc", *read_by_people)
    ):
        home = next(folder for folder in path.parents if (folder / "__init__.py").is_file())
        folder = ".".join(home.relative_to(package.parent).parts)
        inside = "/".join((*path.parent.relative_to(home).parts, ""))
        files = rf"{inside}(\*{re.escape(path.suffix)}|{re.escape(path.name)})"
        assert re.search(rf'^"?{folder}"? = \[.*"{files}"', settings, re.M), path
