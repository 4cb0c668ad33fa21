"""The numbers in the graph of batch norm, forward and backward, against PyTorch's."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")
torch = pytest.importorskip("torch")

from lessons.graphs import BATCH_NORM, BATCH_NORM_ARROWS  # noqa: E402


def test_graph_of_batch_norm_shows_the_values_and_gradients_of_its_steps():
    x = torch.tensor([1.0, 1.0, 5.0, 5.0], requires_grad=True)
    mean = x.mean()
    centred = x - mean
    variance = (centred**2).mean()
    rstd = 1 / variance.sqrt()
    xhat = centred * rstd
    y = 2 * xhat
    steps = {
        "x": x, "mean": mean, "centred": centred, "variance": variance, "rstd": rstd,
        "xhat": xhat, "y": y,
    }  # fmt: skip
    for step in steps.values():
        step.retain_grad()
    y[0].backward()
    assert steps.keys() == BATCH_NORM.keys()
    for name, (_, _, values, gradients) in BATCH_NORM.items():
        for text, found in ((values, steps[name].detach()), (gradients, steps[name].grad)):
            shown = [float(number) for number in text.split(", ")]
            np.testing.assert_allclose(np.ravel(found.numpy()), shown, atol=1e-6)


def test_arrows_join_steps_that_are_there():
    assert {name for arrow in BATCH_NORM_ARROWS for name in arrow} == BATCH_NORM.keys()
