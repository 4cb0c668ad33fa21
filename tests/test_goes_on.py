"""Commands over many sets or records go on after one that cannot be used, name it and exit with an error."""

import pytest

from data_prep import cxr, synthetic_sets
from data_prep.__main__ import main
from data_prep.sets import Source, get_sets

OTHERS = synthetic_sets.Sizes().roles


@pytest.mark.parametrize("bad", [["source"], ["target"], ["test", "pneumonia"], OTHERS], ids=str)
def test_other_sets_are_prepared_after_one_that_fails(bad, tmp_path, monkeypatch, capsys):
    data = tmp_path / "raw"
    for name in ("shenzhen", "montgomery"):
        (data / name).mkdir(parents=True)
    made = []

    def prepare(to, *rest):
        if to.name in bad:
            raise (ValueError if to.name == "test" else OSError)(f"{to.name} is broken")
        made.append(to.name)
        return type("Made", (), {"folder": to})()

    monkeypatch.setattr(cxr, "_prepare", prepare)
    for module, name in (("shenzhen", "list_shenzhen"), ("montgomery", "list_montgomery"),
                         ("pediatric", "list_pediatric")):  # fmt: skip
        monkeypatch.setattr(getattr(cxr, module), name, lambda *_: None)
    monkeypatch.setattr(cxr.pediatric, "find_both_sides", lambda folder: folder)
    monkeypatch.setitem(cxr.FOLDERS, "pneumonia", ("shenzhen",))
    assert main(["cxr", str(tmp_path / "out"), "--data", str(data)]) == 2
    assert made == [role for role in OTHERS if role not in bad]
    (line,) = capsys.readouterr().err.splitlines()
    _, _, prepared = line.partition("these were prepared: ")
    for role in OTHERS:
        there = f"{tmp_path / 'out' / role} was not prepared: {role} is broken"
        assert (there in line) == (role in bad)
        assert (str(tmp_path / "out" / role) in prepared) == (role not in bad)


def test_other_sets_are_fetched_after_one_that_fails(tmp_path, monkeypatch):
    def source(name):
        about = {"name": name, "source": name, "licence": "none"}
        return Source(about, (name,), lambda place: place.is_dir(), "", f"https://{name}/x.zip")

    def get(data, source, report):
        name = source.about["name"]
        if name != "good":
            raise {"lost": ConnectionError, "broken": ValueError}[name](f"{name}.zip: {name}")
        (data / name).mkdir(parents=True)
        return data / name

    monkeypatch.setattr("data_prep.sets._get", get)
    said = []
    sources = [source(name) for name in ("lost", "good", "broken")]
    assert get_sets(tmp_path, True, sources, said.append) == ["lost", "broken"]
    assert "lost: not got: lost.zip: lost" in said and f"good: {tmp_path / 'good'}" in said


def test_other_sets_are_listed_after_one_whose_folder_cannot_be_read(tmp_path):
    def unreadable(place):
        raise PermissionError(13, "Permission denied", str(place))

    about = {"source": "x", "licence": "none"}
    sources = [Source({"name": name} | about, (name,), holds, "", command="get it")
               for name, holds in (("locked", unreadable), ("open", lambda place: True))]  # fmt: skip
    said = []
    assert get_sets(tmp_path, False, sources, said.append) == ["locked"]
    assert any(str(tmp_path / "locked") in line for line in said)
    assert f"open: {tmp_path / 'open'}" in said
