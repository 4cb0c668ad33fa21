"""Import every module of the library, its tests and its tools as a user has them, without PyTorch.

Run by itself: ``python tests/check_imports.py``. A test that needs PyTorch, pandas or scikit-learn must skip
itself where they are missing, not fail on import. All modules are tried, and those that fail are named.
"""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def failures(*packages: str) -> list[str]:
    """Import all modules of packages in ``sys.path``, but the book's conf.py; a line for each that fails."""
    failed = []
    for package in packages:
        folder = str(Path(importlib.import_module(package).__file__).parent)
        names = [
            module.name for module in pkgutil.walk_packages([folder], f"{package}.", failed.append)
        ]
        for name in names:
            if name.split(".")[-1] not in ("__main__", "conf") and ".source" not in name:
                try:
                    importlib.import_module(name)
                except Exception as error:
                    failed.append(f"{name}: {type(error).__name__}: {error}")
    return failed


def main() -> int:
    """Import all, collect the tests; 0 if nothing fails."""
    sys.path.insert(0, str(ROOT))
    failed = failures("ums", "data_prep", "lessons")
    unwanted = {"torch", "sklearn", "pandas", "cupy"} & set(sys.modules)
    failed += [f"imported without being asked for: {name}" for name in sorted(unwanted)]
    print(*failed, sep="\n")
    tests = subprocess.call([sys.executable, "-m", "pytest", "--collect-only", "-qq"], cwd=ROOT)
    return 1 if failed else tests


if __name__ == "__main__":
    sys.exit(main())
