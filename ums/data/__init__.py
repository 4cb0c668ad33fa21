"""From prepared folders to batches: reading, noise, normalisation."""

from ums.data.examples import Examples, denormalise, epoch_batches, normalise
from ums.data.noise import NOISES, Noise, corrupt
from ums.data.prepared import Prepared, load_prepared, save_prepared
