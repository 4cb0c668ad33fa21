"""Every module is imported, and each that fails is named."""

import sys

from check_imports import failures


def test_modules_after_one_that_fails_are_imported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in {
        "__init__": "", "a": "1 / 0", "b": "import no_such_module", "c": "", "sub/__init__": "1 / 0",
        "__main__": "1 / 0",
    }.items():  # fmt: skip
        path = tmp_path / "some_package" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    failed = failures("some_package")
    assert sorted({line.split(":")[0] for line in failed}) == [
        "some_package.a", "some_package.b", "some_package.sub"
    ]  # fmt: skip
    assert "some_package.c" in sys.modules
