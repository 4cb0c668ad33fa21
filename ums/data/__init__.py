"""From prepared folders to batches: reading, folds, noise, normalisation."""

from ums.data.examples import Examples, epoch_batches
from ums.data.folds import stratified_folds, stratified_split
from ums.data.noise import NOISES, Noise, corrupt
from ums.data.normalisation import Normalisation, denormalise, normalise
from ums.data.prepared import Prepared, load_prepared

__all__ = [
    "NOISES", "Examples", "Noise", "Normalisation", "Prepared", "corrupt", "denormalise",
    "epoch_batches", "load_prepared", "normalise", "stratified_folds", "stratified_split",
]  # fmt: skip
