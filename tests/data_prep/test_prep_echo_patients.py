"""Which patients of one's own screens are the source's: each is in one folder, by the seed."""

from types import SimpleNamespace

from data_prep import echo
from data_prep.options import Options


def test_every_patient_is_in_one_folder_which_the_seed_decides(tmp_path, monkeypatch):
    (tmp_path / "labels.csv").write_text("")
    patients = [f"p{k // 3}" for k in range(60)]
    items = [SimpleNamespace(patient=patient) for patient in patients]
    listing = SimpleNamespace(items=items, problems=[])
    monkeypatch.setattr(echo.echo_folder, "list_echo", lambda *_: listing)
    places = []
    monkeypatch.setattr(echo, "_prepare", lambda listing, role, of, *rest: places.append(of))
    for seed in (1, 1, 2):
        echo.prepare_echo_folder(tmp_path, tmp_path / "out", Options(seed=seed))
    assert places[0] == places[1] == places[2] == places[3] != places[4] == places[5]
    assert set(places[0]) == set(patients)
    assert [role for role, _ in places[0].values()].count("source") == 14  # 70 % of 20
