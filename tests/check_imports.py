"""Import every module of the library, its tests and its tools as a user has them, without PyTorch.

Run by itself: ``python tests/check_imports.py``. A test that needs PyTorch, pandas or scikit-learn must skip
itself where they are missing, not fail on import.
"""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

for package in ("ums", "data_prep", "lessons"):
    for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
        if module.name.split(".")[-1] != "__main__" and ".source" not in module.name:
            importlib.import_module(module.name)
unwanted = {"torch", "sklearn", "pandas", "cupy"} & set(sys.modules)
assert not unwanted, f"imported without being asked for: {sorted(unwanted)}"
sys.exit(subprocess.call([sys.executable, "-m", "pytest", "--collect-only", "-qq"], cwd=ROOT))
