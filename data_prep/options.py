"""Options that are common to all prepared folders."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """How a prepared folder is made.

    Attributes:
        size: Side of the prepared images, in pixels.
        seed: Seed of synthetic images, and of the split where none is published.
        strict: Stop at the first file that cannot be used, instead of leaving it out.
        overwrite: Replace an earlier prepared folder.
        patient: A regular expression whose first group, searched in the path of an unlabelled image, is
            its patient; None applies the rules of :mod:`data_prep.patients`.
        colour: Keep the images in RGB instead of making them grey.
    """

    size: int = 256
    seed: int | list[int] = 0
    strict: bool = False
    overwrite: bool = False
    patient: str | None = None
    colour: bool = False
