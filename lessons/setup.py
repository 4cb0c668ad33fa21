"""Put this checkout on the path of the Python that runs, so that every notebook finds it.

``python -m lessons.setup``, once for an environment; then notebooks can be opened from anywhere.
"""

import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main():
    path = Path(sysconfig.get_path("purelib"), "ums.pth")
    path.write_text(f"{ROOT}\n", encoding="locale")  # as Python reads it
    print(path)


if __name__ == "__main__":
    main()
