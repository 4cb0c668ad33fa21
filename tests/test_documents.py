"""What the README and the other pages of the project state."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import ums
from ums.gradcheck import GradientError

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "ums").rglob("*.md"), *ROOT.glob("[dlt]*/**/README.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_within_the_project_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 900


def test_the_examples_of_the_readme_do_what_it_states():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    check, train = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    with pytest.raises(GradientError) as error:
        exec(check, {})
    assert str(error.value) in check
    names = {}
    exec(train, names)
    assert 0 < float(names["loss"]) < 10


def test_the_bare_command_names_the_extra_that_the_studies_need():
    command = [sys.executable, "-m", "ums"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "pip install 'ums-rep[study]'" in " ".join(printed.split())
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'name = "ums-rep"' in settings and "optional-dependencies.study" in settings


def test_the_version_is_printed():
    command = [sys.executable, "-m", "ums", "--version"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert re.fullmatch(r"ums \d+\.\d+\.\d+\n", printed.stdout)


def test_the_citation_names_the_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {ums.__version__}\n" in text


def test_the_core_needs_no_extra():
    extras = (
        "matplotlib",
        "jinja2",
        "filelock",
        "pydicom",
        "gdcm",
        "pytest",
        "data_prep",
        "lessons",
    )
    code = f"import sys; sys.modules.update(dict.fromkeys({extras}))\n"
    code += "import ums.data.decode, ums.finetuning, ums.gradcheck, ums.networks, ums.source"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
