"""The values that hold where a caller says nothing, as papers and docstrings have them."""

import inspect
from math import isnan
from unittest.mock import ANY

import pytest

from data_prep import (
    doppler,
    download,
    echo,
    layout,
    look,
    options,
    protocol,
    reading,
    rsna,
    sets,
    splits,
    synthetic,
    synthetic_sets,
    workfolder,
    writing,
)
from data_prep.listing import Listing
from ums import (
    backend,
    checks,
    files,
    finetuning,
    gradcheck,
    layers,
    networks,
    ops,
    optimizers,
    source,
    training,
)
from ums.checkpoint import Checkpoint
from ums.data import augment, header, mask, normalisation, prepared, prepared_set, rows
from ums.data import checks as data_checks
from ums.data.noise import NOISES
from ums.derived import recommendation
from ums.derived.recommendation import Recommendations
from ums.experiments import (
    arms,
    datasets,
    group_pictures,
    jobs,
    pilot,
    replicates,
    run,
    runner,
    search,
    search_space,
    store,
    tasks,
    testing,
)
from ums.experiments import cxr as cxr_study
from ums.experiments import echo as echo_study
from ums.experiments.report import pictures, sections, style
from ums.experiments.results import intervals, scores, verdicts
from ums.experiments.results.scores import Estimate
from ums.finetuning import independent, separate, weighting
from ums.metrics import image_quality, significance
from ums.ops import conv, norm
from ums.ops.fast import conv as fast_conv
from ums.ops.fast import norm as fast_norm
from ums.ops.fast import rows as fast_rows
from ums.ops.fast import threads, winograd

NARROW_OR_NOT = {"width": 1.0}
CONVOLUTION = {"stride": 1, "dilation": 1}
IOFFE_SZEGEDY = {"momentum": 0.9, "eps": 1e-5}
CHECKED = {"tolerance": 1e-6, "max_entries": 400}
FOREGROUND = {"background": 8}

DEFAULTS = [
    # Kingma and Ba 2015; Tieleman and Hinton 2012
    (optimizers.Adam, {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}),
    (optimizers.RMSprop, {"learning_rate": 1e-3, "rho": 0.9, "eps": 1e-7}),
    (optimizers.SGD, {"learning_rate": 0.01, "momentum": 0.0}),
    (optimizers.ReduceOnPlateau,
     {"factor": 0.5, "patience": 3, "min_delta": 1e-4, "min_rate": 1e-6}),
    # Chen et al. 2018; Kendall et al. 2018
    (weighting.GradNorm, {"alpha": 1.5, "learning_rate": 0.025}),
    (weighting.Uncertainty, {"learning_rate": 0.01}),
    # the paper, section 4.1.1, and ours where it is silent
    (training.FitSettings, {"epochs": 20, "batch": 16, "learning_rate": 1e-3, "patience": 8,
                            "plateau_patience": 6, "plateau_factor": 0.5}),
    (training.Training, {"progress": True}),
    (training.predict, {"size": 32}),
    (separate.denoise, {"size": 32}),
    (finetuning.Tuned, {"shared": 0}),
    (layers.Conv2D, {"kernel": 3, **CONVOLUTION}),
    (layers.BatchNorm, IOFFE_SZEGEDY),
    (ops.batchnorm_forward, IOFFE_SZEGEDY),
    (ops.batchnorm_forward_part, IOFFE_SZEGEDY),
    (ops.conv2d_forward, CONVOLUTION),
    (ops.im2col, CONVOLUTION),
    (ops.col2im, CONVOLUTION),
    (ops.dice, {"eps": 1.0}),
    (ops.bce_dice, {"weight": 0.5, "eps": 1.0}),
    (ops.softmax_dice, {"weight": 0.5, "eps": 1.0}),
    (layers.Layer.forward, {"training": False, "keep": True}),
    (layers.Layer.backward, {"input_gradient": True}),
    (layers.Layer.freeze, {"frozen": True}),
    (layers.Sequential.forward, {"training": False, "keep": True}),
    (layers.Sequential.backward, {"input_gradient": True}),
    (networks.cxr_encoder, {"in_channels": 1, **NARROW_OR_NOT}),
    (networks.cxr_decoder, {"out_channels": 1, **NARROW_OR_NOT}),
    (networks.denoising_autoencoder, {"in_channels": 1, "out_channels": 1, **NARROW_OR_NOT}),
    (networks.echo_encoder, {"in_channels": 3, **NARROW_OR_NOT, "kernel": 3, "dilation": 2}),
    (networks.echo_decoder, {"out_channels": 1, **NARROW_OR_NOT}),
    (networks.classification_head, {"hidden": 256, "dropout": 0.5, "batch_norm": False}),
    (networks.separate_classifier, {"in_channels": 1, "classes": 2, **NARROW_OR_NOT}),
    (gradcheck.check_gradients, CHECKED),
    (gradcheck.check_loss, CHECKED),
    (gradcheck.check_layer, {"training": False, **CHECKED}),
    (gradcheck.relative_error, {"size": 1.0}),
    (significance.bootstrap_interval, {"level": 0.95, "resamples": 2000}),
    (significance.paired_permutation, {"resamples": 10_000}),
    (augment.Augmentation, {"angle": 8.0, "shift": 0.06, "zoom": 0.12, "gamma": 0.35}),
    (normalisation.Normalisation, FOREGROUND),
    (normalisation.normalise, FOREGROUND),
    (normalisation.denormalise, FOREGROUND),
    (prepared.load_prepared, {"edited": False}),
    (Recommendations, {"threshold": 0.5}),
    (Checkpoint, {"every": 60.0}),
    (store.Store, {"every": 60.0}),
    (run.Run, {"progress": True, "portable": False, "models": True}),
    (jobs.Job, {"replicate": 0, "trial": 0, "seed": 0}),
    (jobs.generator, {"replicate": 0}),
    (arms.Arm, {"from_source": True, "moves": True} | dict.fromkeys(
        ("together", "joint", "own_models", "cleaned", "longer", "shuffled"), False)),
    (runner.Place, {"progress": True, "portable": False, "models": True}),
    (runner.run, {"processes": 1}),
    (pilot.run, {"processes": 1}),
    (tasks.TargetTask, {"classes": 2}),
    (options.Options,
     {"size": 256, "seed": 0, "strict": False, "overwrite": False, "colour": False}),
    (download.download, {"tries": 5, "wait": 2.0}),
    (rsna.list_rsna, {"labelled": True}),
    (sets.get_sets, {"fetch": True}),
    (reading.read_all, {"strict": False}),
    (writing.save_prepared, {"overwrite": False}),
    (writing.check_replaceable, {"overwrite": False}),
    (reading.full_digests, {"colour": False}),
    (workfolder.WorkFolder, {"colour": False}),
    (workfolder.Outcome, {"image": -1, "mask": -1}),
    (synthetic.render, {"label": 0}),
    (checks.check_integer, {"least": 1}),
    (data_checks.check_images, {"stored": False, "entire": False}),
    (data_checks.check_mask_values, {"classes": 2}),
    (data_checks.check_numbers, {"binary": False}),
    (header.Header, {"height": 0, "width": 0, "orientation": 1, "bits": 0, "palette": False,
                     "transparent": -1, "zeros": 0}),
    (mask.mask_of, {"lossy": False}),
    (prepared_set.check_digests, {"edited": False, "arrays": True}),
    (source.DenoisingExamples, {"fixed": False}),
    (conv.conv2d_forward_plain, CONVOLUTION),
    (fast_conv.conv2d_forward, CONVOLUTION),
    (winograd.convolve, {"dilation": 1}),
    (winograd.grad_weights, {"dilation": 1}),
    (norm.batchnorm_forward_plain, IOFFE_SZEGEDY),
    (fast_norm.batchnorm_forward, IOFFE_SZEGEDY),
    (fast_norm.batchnorm_forward_part, IOFFE_SZEGEDY),
    (datasets.Layout, {"supervised": False}),
    (echo_study.flow_classifier, {**NARROW_OR_NOT, "kernel": 3, "dilation": 2, "dropout": 0.5}),
    (echo_study.segmentation_model, {"in_channels": 1, **NARROW_OR_NOT}),
    (jobs.generator, {"replicate": 0}),
    (search.SearchSettings, {"trials": 16, "epochs": 20, "width": 0.5, "patience": 8,
                             "background": -1, "seed": 0}),
    (pictures.mosaic, {"lines": 0}),
    (pictures.recommendation_panel, {"each": 4}),
    (sections.GroupText, {"score_table": 0, "cost_table": 0}),
    (style.legend_below, {"dark": False}),
]  # fmt: skip


def numbers_of(function):
    """The defaults of a function or class that are numbers, True or False."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if isinstance(p.default, int | float)}


@pytest.mark.parametrize(
    ("function", "expected"), DEFAULTS, ids=[function.__qualname__ for function, _ in DEFAULTS]
)
def test_defaults_are_those_that_are_documented(function, expected):
    found = numbers_of(function)
    assert found == expected
    assert [type(found[name]) for name in expected] == list(map(type, expected.values()))


def test_what_was_not_measured_is_no_number():
    trial, estimate = numbers_of(search_space.Trial), numbers_of(Estimate)
    assert trial.pop("epochs") == 0
    assert all(map(isnan, (*trial.values(), *estimate.values()))) and len(trial) == 4


def test_what_is_listed_has_its_own_notes(tmp_path):
    one, other = (Listing(tmp_path, [], []) for _ in range(2))
    assert one.about == {} and one.held_out == []
    assert one.about is not other.about and one.held_out is not other.held_out


CONSTANTS = [
    (image_quality, {"WINDOW": 11, "SIGMA": 1.5,  # Wang et al. 2004 and 2003
                     "SCALE_EXPONENTS": (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)}),
    (networks, {"CXR_ENCODER": (64, 64, 128, 256), "CXR_DECODER": (128, 64, 32, 16),
                "ECHO_ENCODER": (8, 16, 32, 64, 128, 256), "ECHO_DECODER": (128, 64, 32, 16, 8),
                "SEPARATE_CLASSIFIER": (16, 32, 64, 128, 256, 512)}),
    (normalisation, {"BACKGROUND": 8}),
    (mask, {"MAX_LABELS": 24}),
    (header, {"MAX_PIXELS": 64 * 2**20}),
    (weighting, {"LEAST": 1e-3}),
    (gradcheck, {"STEP": 1e-5}),
    (backend, {"GPU_MEMORY_SHARE": 0.9}),
    (replicates, {"PILOTS": 3, "VALIDATION": 5, "FEWEST": 4}),
    (intervals, {"LEVEL": 0.95}),
    (verdicts, {"MARGINS": {"IoU": 0.01, "MCC": 0.05}}),
    (scores, {"RESAMPLES": 1000}),
    (group_pictures, {"SHOWN": 4}),
    (testing, {"DIGITS": 5}),
    (cxr_study, {"DENOISED_AT_MOST": {"test": 100, "validation": 10},
                 "CLASSES": {"normal": 0, "bacterial": 1, "viral": 2}}),
    (search_space, {"PAPERS_CHOICE": (3, 2, 0.5, "Adam", 16)}),
    (splits, {"FRACTIONS": (0.7, 0.2, 0.1)}),
    (layout, {"FEW": 30, "MANY": 20}),
    (download, {"LARGEST_RATIO": 100}),
    (synthetic, {"SMALLEST": 32}),
    (synthetic_sets, {"CHILDREN_FRACTIONS": (0.8, 0.0, 0.2), "ROLES": {
        "source": ("A", "images", 0.2), "target": ("A", "labels", 0.4), "test": ("B", "", 0.8),
        "pneumonia": ("C", "labels", 0.6), "source-other": ("B", "images", 0.2),
    }}),
    (doppler, {"PAPER": {"MV": 855, "MA": 490, "TR": 1099}, "PAPER_QUALITY": 814, "GOOD": 0.6,
               "SMALLEST": 32}),
    (echo, {"SHARES": {"source": 0.7, "target": 0.3}, "FEWEST": 6,
            "SPLITS": {"source": (0.7, 0.2, 0.1), "target": (2 / 3, 0.0, 1 / 3)},
            "TESTED": {"source": 0.1, "target": 0.4}}),
    (protocol, {"COUNTS": {
        "RSNA": {"images": 26684, "normal": 8851, "not normal": 11821, "lung opacity": 6012},
        "Shenzhen": {"images": 662, "normal": 326, "abnormal": 336, "masks": 566},
        "Montgomery": {"images": 138, "normal": 80, "abnormal": 58, "masks": 138},
        "Pediatric train": {"images": 5232, "normal": 1349, "bacterial": 2538, "viral": 1345},
        "Pediatric test": {"images": 624, "normal": 234, "bacterial": 242, "viral": 148},
    }}),
    (rsna, {"CLASSES": ("Normal", "No Lung Opacity / Not Normal", "Lung Opacity")}),
    (data_checks, {"BLACK": 8}),
    (header, {"_MOST_TEXT": 2**20, "_PNG_CHANNELS": {0: 1, 2: 3, 3: 1, 4: 2, 6: 4},
              "_FRAMES": {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}}),  # T.81, table B.1
    (mask, {"_CLEAR": 64_000}),
    (recommendation, {"USE": 0, "EXCLUDE": 1}),
    (image_quality, {"K1": 0.01, "K2": 0.03}),
    (search, {"OPTIMIZERS": {"SGD": (ANY, 0.01), "Adam": (optimizers.Adam, 0.001),
                             "RMSprop": (optimizers.RMSprop, 0.001)}}),
    (search_space, {"SPACE": {"kernel": (3, 5, 7), "dilation": (2, 3), "dropout": (0.1, 0.3, 0.5),
                              "optimizer": ("SGD", "Adam", "RMSprop"), "batch": (16, 32, 64)}}),
    # how much is held in memory, or worked on, at a time
    (prepared, {"LARGE_BYTES": 2**32}),
    (rows, {"PART_BYTES": 2**24}),
    (files, {"_CHUNK": 2**24}),
    (download, {"CHUNK": 2**20}),
    (independent, {"FEATURE_BYTES": 2**30}),
    (significance, {"PATTERN_SIGNS": 2**18}),
    (fast_rows, {"BLOCK": 128}),
    (threads, {"TILE_BYTES": 3 * 2**20, "GPU_TILE_BYTES": 2**29}),
    (winograd, {"GROUP": 128}),
    # how large things are drawn
    (look, {"TILES": 48, "COLUMNS": 8, "TILE": 192, "CAPTION": 34, "MASK": (80, 220, 80),
            "OPACITY": (60, 140, 255)}),
    (style, {"PAGE": 9.4, "PIXELS_PER_INCH": 96, "DOTS_PER_INCH": 144}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "expected"), CONSTANTS, ids=[module.__name__ for module, _ in CONSTANTS]
)
def test_constants_are_those_that_are_documented(module, expected):
    assert {name: getattr(module, name) for name in expected} == expected


def test_stochastic_gradient_descent_of_the_search_has_its_usual_momentum():
    make, _ = search.OPTIMIZERS["SGD"]
    assert (make.func, make.keywords) == (optimizers.SGD, {"momentum": 0.9})


def test_noises_are_the_five_gaussians_and_poisson():
    found = [(noise.kind, noise.level) for noise in NOISES]
    assert found == [("gaussian", n) for n in (10, 20, 30, 40, 50)] + [("poisson", 40)]
