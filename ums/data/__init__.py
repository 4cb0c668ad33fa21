"""From prepared folders to batches: reading, folds, noise, normalisation."""

from ums.data.examples import Examples, denormalise, epoch_batches, normalise
from ums.data.folds import fold_splits, stratified_folds
from ums.data.noise import NOISES, Noise, corrupt
from ums.data.prepared import Prepared, load_prepared
