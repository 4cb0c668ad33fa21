"""Examples: images with their targets, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ums.backend import Array, Device
from ums.data.checks import check_images, check_labels, check_masks, check_numbers, check_rows
from ums.data.normalisation import STANDARD, Normalisation


class Dataset(Protocol):
    """Numbered examples, of which a network sees some at a time."""

    def __len__(self) -> int: ...

    def batch(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Inputs of the examples with these numbers, and targets for the loss, or None."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows ``rows`` of ``inputs`` with their ``targets``; nothing is copied until a batch is made.

    Attributes:
        inputs: (M, H, W) or (M, H, W, C) images, uint8 or floats in 0..255, memory-mapped or not; or
            features, if ``prepare`` is not a Normalisation.
        targets: (M, H, W) masks of 0 and 1 or of 0 .. K - 1, uint8 or bool; (M,) integer labels; (M,)
            floats, which are numbers to be predicted; (M, K) several labels of 0 and 1, or several
            numbers; or None. What is not known of floats is NaN.
        rows: Which of the M to use, (N,) integers.
        prepare: Turns a batch of ``inputs`` into a float32 network input.
        augment: Changes a batch of inputs and targets at random before that, or None.

    Raises:
        ValueError: An array has another form, or other values in ``rows``; names it.
    """

    inputs: np.ndarray
    targets: np.ndarray | None
    rows: np.ndarray
    prepare: Callable[[np.ndarray], np.ndarray] = STANDARD
    augment: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None

    def __post_init__(self) -> None:
        for name, array in (("inputs", self.inputs), ("targets", self.targets)):
            optional = name == "targets" and array is None
            if not optional and not getattr(array, "shape", ()):
                found = f"got {type(array).__name__}"
                raise ValueError(f"{name} must be an array with a row for each example, {found}")
        if self.targets is not None and len(self.targets) != len(self.inputs):
            shapes = f"{self.inputs.shape} and {self.targets.shape}"
            raise ValueError(f"inputs and targets must have the same length, got {shapes}")
        check_rows(self.rows, len(self.inputs))
        images = isinstance(self.prepare, Normalisation)
        if images:
            check_images(self.inputs, "inputs", entire=True)
        if self.targets is None:
            return
        if self._kind == "labels":
            check_labels(self.targets[self.rows], "labels")
        elif self._kind == "numbers":
            check_numbers(self.targets[self.rows])
        else:
            check_masks(self.targets, self.inputs.shape if images else None)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.inputs.shape[1:]))
        return f"Examples({len(self)} of {len(self.inputs)}, {shape}, {self._kind})"

    @property
    def _kind(self) -> str:
        if self.targets is None:
            return "no targets"
        if self.targets.ndim == 1 and self.targets.dtype.kind != "f":
            return "labels"
        return "numbers" if self.targets.ndim < 3 else "masks"

    def with_inputs(
        self, inputs: np.ndarray, prepare: Callable[[np.ndarray], np.ndarray]
    ) -> Examples:
        """The same examples with other inputs (N, ...), in the order of ``rows``."""
        targets = None if self.targets is None else np.asarray(self.targets[self.rows])
        return Examples(inputs, targets, np.arange(len(self)), prepare, self.augment)

    def batch(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Float32 inputs, and targets: integer labels (n,), others as float32 (n, H, W, 1) or (n, K).

        Raises:
            ValueError: A float image is not in 0..255.
        """
        rows = self.rows[chosen]
        if self.targets is None:
            return self.prepare(self.inputs[rows]), None
        x, t = self.inputs[rows], np.asarray(self.targets[rows])
        if self.augment is not None:
            x, t = self.augment(x, t)
        return self.prepare(x), self.for_loss(t)

    def for_loss(self, targets: np.ndarray) -> np.ndarray:
        """Targets (n, ...) as :meth:`batch` returns them."""
        if self._kind == "labels":
            return targets
        numbers = targets.astype(np.float32)
        return numbers if numbers.ndim == 2 else numbers[..., None]


def all_of(images: np.ndarray, normalisation: Normalisation = STANDARD) -> Examples:
    """All of the images (N, H, W) or (N, H, W, C), in order, without targets."""
    return Examples(images, None, np.arange(len(images)), normalisation)


def device_batch(examples: Dataset, chosen: np.ndarray, device: Device) -> tuple[Array, Array]:
    """Inputs and targets of some examples, on the device; a ValueError if they have no targets."""
    x, target = examples.batch(chosen)
    if target is None:
        raise ValueError(f"there are no targets to learn from: {examples!r}")
    return device.put(x), device.put(target)


def epoch_batches(n: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """0..n - 1 in a new random order, cut into ceil(n / size) batches of almost equal size.

    The sizes are equal so that no batch of one or two spoils a batch norm's statistics.

    Raises:
        ValueError: There are fewer examples than a batch holds.
    """
    if not 0 < size <= n:
        raise ValueError(f"{n} training examples cannot fill a batch of {size}")
    yield from np.array_split(rng.permutation(n), -(-n // size))


def in_order(n: int, size: int) -> Iterator[np.ndarray]:
    """0..n - 1 in order, ``size`` at a time; a ValueError if that is less than 1."""
    if size < 1:
        raise ValueError(f"examples must be taken 1 or more at a time, got {size}")
    for start in range(0, n, size):
        yield np.arange(start, min(start + size, n))
