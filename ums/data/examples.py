"""Examples: images with what is to be learned from them, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

DARK = 8
"""Grey levels up to this are no film: borders, collimation, padding."""


def check_dark(dark: int) -> None:
    """Refuse a level that leaves no pixel on the film.

    Raises:
        ValueError: it is not -1 to 254.
    """
    if not -1 <= dark < 255:
        raise ValueError(f"dark must be a grey level below 255, or -1, got {dark}")


def film_statistics(images: np.ndarray, dark: int = DARK) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each image's exposed pixels, in grey levels.

    Pixels up to ``dark`` are left out: black borders differ between hospitals, and would move the
    mean of what is on the film; with -1 all pixels count. Each is float32 (N, 1, ...), the deviation
    at least 1.
    """
    images = np.asarray(images, np.float32)
    axes = tuple(range(1, images.ndim))
    film = images > dark
    count = np.maximum(film.sum(axis=axes, keepdims=True, dtype=np.float32), 1)
    mean = (images * film).sum(axis=axes, keepdims=True) / count
    variance = (np.square(images - mean) * film).sum(axis=axes, keepdims=True) / count
    return mean, np.maximum(np.sqrt(variance), 1)


def normalise(images: np.ndarray, like: np.ndarray | None = None, dark: int = DARK) -> np.ndarray:
    """Images in 0..255 as a network's input: float32 (N, H, W, C), x = (image - mean) / (4 deviation).

    The mean normalisation of section 3.1.1, with each image's own :func:`film_statistics`, so that
    another exposure, contrast or border does not move the input as a whole; pixels off the film are
    one value, -1 (lower where black itself is). (N, H, W) becomes one channel. With ``like``, of the
    same shape, the statistics are those of ``like``: a clean image is made the target of its noisy
    version by the noisy one's statistics, the only ones known in use.

    Raises:
        ValueError: images that are not (N, H, W) or (N, H, W, C), or ``like`` of another shape.
    """
    if images.ndim not in (3, 4):
        raise ValueError(f"images must be (N, H, W) or (N, H, W, C), got {images.shape}")
    like = images if like is None else like
    if like.shape != images.shape:
        raise ValueError(f"like must have the images' shape {images.shape}, got {like.shape}")
    mean, deviation = film_statistics(like, dark)
    x = (np.asarray(images, np.float32) - mean) / (4 * deviation)
    x = np.where(images > dark, x, np.minimum(-1, -mean / (4 * deviation)))
    return x if x.ndim == 4 else x[..., None]


def denormalise(y: np.ndarray, images: np.ndarray, dark: int = DARK) -> np.ndarray:
    """A network's output (N, H, W, 1) as images (N, H, W) in 0..255, by its input's statistics."""
    mean, deviation = film_statistics(images, dark)
    return np.clip(y[..., 0] * (4 * deviation) + mean, 0, 255)


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows ``rows`` of ``inputs`` with their ``targets``; nothing is copied until a batch is made.

    Attributes:
        inputs: (M, ...) images in 0..255, memory-mapped or not, or features.
        targets: (M, H, W) masks of 0 and 1, (M,) integer labels, or None.
        rows: which of the M are meant, (N,) integers.
        prepare: makes a float32 network input of a few rows of ``inputs``.
        augment: changes a few rows of inputs and targets at random before that, or None.
    """

    inputs: np.ndarray
    targets: np.ndarray | None
    rows: np.ndarray
    prepare: Callable[[np.ndarray], np.ndarray] = normalise
    augment: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None

    def __post_init__(self):
        if self.targets is not None and len(self.targets) != len(self.inputs):
            raise ValueError(
                f"inputs and targets must be as many, got {self.inputs.shape} and "
                f"{self.targets.shape}"
            )
        if len(self.rows) == 0:
            raise ValueError("a set of examples is empty")

    def __len__(self) -> int:
        return len(self.rows)

    def with_inputs(
        self, inputs: np.ndarray, prepare: Callable[[np.ndarray], np.ndarray]
    ) -> Examples:
        """The same examples made of other inputs (N, ...), given in their order."""
        targets = None if self.targets is None else np.asarray(self.targets[self.rows])
        return Examples(inputs, targets, np.arange(len(self)), prepare, self.augment)

    def batch(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Examples number ``chosen`` (0 <= chosen < N): float32 inputs, and targets for the loss.

        Masks become float32 (n, H, W, 1), labels stay integers.
        """
        rows = self.rows[chosen]
        if self.targets is None:
            return self.prepare(self.inputs[rows]), None
        x, t = self.inputs[rows], np.asarray(self.targets[rows])
        if self.augment is not None:
            x, t = self.augment(x, t)
        return self.prepare(x), (t if t.ndim == 1 else t.astype(np.float32)[..., None])


def all_of(images: np.ndarray, dark: int = DARK) -> Examples:
    """Images (N, H, W) or (N, H, W, C) as inputs without targets, made by :func:`normalise`."""
    return Examples(images, None, np.arange(len(images)), partial(normalise, dark=dark))


def epoch_batches(n: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """0..n - 1 in a new random order, cut into ceil(n / size) batches of almost equal size.

    Equal sizes, so that no batch of one or two spoils a batch norm's statistics.

    Raises:
        ValueError: there are fewer examples than a batch holds.
    """
    if not 0 < size <= n:
        raise ValueError(f"{n} training examples cannot fill a batch of {size}")
    yield from np.array_split(rng.permutation(n), -(-n // size))


def in_order(n: int, size: int) -> Iterator[np.ndarray]:
    """0..n - 1 in order, ``size`` at a time."""
    for start in range(0, n, size):
        yield np.arange(start, min(start + size, n))
