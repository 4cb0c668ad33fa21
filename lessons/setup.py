"""Make an environment ready for the lessons: ``python -m lessons.setup``, once for each.

Every notebook then finds this checkout, from wherever it is opened, and JupyterLab shows a Markdown file,
such as the page to start with, as a page with links and not as its text.
"""

import json
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAB = {
    "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false"},
}
"""Defaults of JupyterLab, which a user's own settings go before."""


def main():
    path = Path(sysconfig.get_path("purelib"), "ums.pth")
    path.write_text(f"{ROOT}\n", encoding="locale")  # as Python reads it
    defaults = Path(sysconfig.get_path("data"), "share/jupyter/lab/settings/overrides.d/ums.json")
    defaults.parent.mkdir(parents=True, exist_ok=True)
    defaults.write_text(json.dumps(LAB, indent=2), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
