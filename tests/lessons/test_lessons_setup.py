"""What `python -m lessons.setup` writes into an environment."""

import json
import sysconfig
from pathlib import Path

from lessons import setup


def test_environment_finds_the_checkout_and_shows_markdown_as_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sysconfig, "get_path", lambda kind: str(tmp_path / kind))
    (tmp_path / "purelib").mkdir()
    setup.main()
    path = Path(capsys.readouterr().out.strip())
    assert path == tmp_path / "purelib" / "ums.pth"
    assert path.read_text(encoding="locale").strip() == str(Path(__file__).parents[2])
    lab = tmp_path / "data" / "share" / "jupyter" / "lab" / "settings" / "overrides.d" / "ums.json"
    defaults = json.loads(lab.read_text(encoding="utf-8"))
    viewers = defaults["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"]
    assert viewers == {"markdown": "Markdown Preview"}
