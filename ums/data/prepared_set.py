"""A prepared set in memory: arrays, columns and what about.json says of them."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Prepared:
    """The arrays and columns of one prepared folder; row i of each belongs to the same image.

    ``ids``, ``patients`` and ``splits`` are strings (N,), ``has_mask`` is bool (N,), and ``labels``
    holds (N,) integers by name, -1 where an image is not labelled.
    """

    folder: Path
    images: np.ndarray
    masks: np.ndarray | None
    opacities: np.ndarray | None
    ids: np.ndarray
    patients: np.ndarray
    splits: np.ndarray
    has_mask: np.ndarray
    labels: dict[str, np.ndarray]
    about: dict

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, rows: np.ndarray) -> "Prepared":
        """Return the images of some rows (n,), with their masks and columns, in memory."""

        def chosen(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else np.array(array[rows])

        names = ("images", "masks", "opacities", "ids", "patients", "splits", "has_mask")
        arrays: dict[str, Any] = {name: chosen(getattr(self, name)) for name in names}
        labels = {name: np.array(values[rows]) for name, values in self.labels.items()}
        return replace(self, **arrays, labels=labels)

    def __repr__(self) -> str:
        size = "x".join(str(n) for n in self.images.shape[1:])
        splits = ", ".join(f"{s} {np.count_nonzero(self.splits == s)}" for s in SPLITS)
        text = [f"{len(self)} images {size}", splits, f"{self.has_mask.sum()} with masks"]
        for name, values in self.labels.items():
            counts = ", ".join(f"{v}: {n}" for v, n in count_labels(values).items())
            text.append(f"{name} {counts or 'unlabelled'}")
        return f"Prepared({str(self.folder)!r}; " + "; ".join(text) + ")"


def count_labels(values: np.ndarray) -> dict[str, int]:
    """Count the images of each value of a label (N,), without -1; the keys are ready for JSON."""
    return {str(v): n for v, n in sorted(Counter(values[values >= 0].tolist()).items())}
