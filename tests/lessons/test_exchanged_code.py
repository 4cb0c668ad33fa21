"""What a student wrote runs in place of the library's, and leaves the library as it was."""

import numpy as np
import pytest
from kept_answers import numbers, solutions

from lessons.own_places import exchanged
from ums import ops
from ums.data import Examples
from ums.data.noise import Noise
from ums.experiments import tasks as study_tasks
from ums.experiments import tuning
from ums.finetuning import Task, loop
from ums.layers import BatchNorm, Conv2D, Parameter
from ums.networks import classification_head, cxr_encoder
from ums.optimizers import Adam
from ums.training import FitSettings, Training

OPS = (
    "im2col", "col2im", "conv2d", "dense_backward", "batchnorm_forward", "batchnorm_backward",
    "global_average_pool_backward", "bce", "dice", "bce_dice",
    "categorical_cross_entropy",
)  # fmt: skip


@pytest.fixture
def answers():
    return solutions()


def test_right_answers_give_the_library_s_numbers(answers):
    expected = numbers()
    for names in (OPS, ("conv2d",), ("im2col", "col2im"), ("bce",)):
        with exchanged({name: answers[name] for name in names}):
            found = numbers()
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-5)
    np.testing.assert_array_equal(numbers(), expected)


def doubled(answer):
    def wrong(*arguments):
        result = answer(*arguments)
        return (2 * result[0], *result[1:]) if isinstance(result, tuple) else 2 * result

    return wrong


@pytest.mark.parametrize("name", OPS)
def test_planted_wrong_op_changes_the_numbers_and_is_taken_out_again(answers, name):
    expected = numbers()
    others = OPS if name in ("im2col", "bce", "dice") else (name,)
    own = {other: answers[other] for other in others if other not in ("conv2d", "bce_dice")}
    if name.startswith("batchnorm"):
        own |= answers_of(answers, "batchnorm_forward", "batchnorm_backward")
    with exchanged(own | {name: doubled(answers[name])}):
        assert not np.allclose(numbers(), expected, rtol=1e-2)
    np.testing.assert_array_equal(numbers(), expected)


def test_library_is_as_before_even_after_an_error(answers):
    before = [ops.bce, Conv2D.__dict__["_grad_input"].__func__, vars(Noise)["_added"]]
    with (
        pytest.raises(ZeroDivisionError),
        exchanged(answers_of(answers, "bce", "conv2d", "add_noise")),
    ):
        assert ops.bce is not before[0]
        raise ZeroDivisionError
    assert before == [ops.bce, Conv2D.__dict__["_grad_input"].__func__, vars(Noise)["_added"]]


def answers_of(answers, *names):
    return {name: answers[name] for name in names}


def test_noise_step_and_turns_of_the_student_are_used(answers):
    from ums.finetuning import alternating
    from ums.training import train_step as library_step

    def stopped(*arguments):
        raise StopIteration(len(arguments))

    images, noise = np.zeros((1, 4, 4), np.uint8), Noise("gaussian", 10)
    with exchanged(dict.fromkeys(("add_noise", "source_step", "turns"), stopped)):
        for call in (
            lambda: noise.add(images, np.random.default_rng(0)),
            lambda: loop.train_step(None, ops.mse, None, images, images),
            lambda: alternating.turns([1, 2]),
        ):
            with pytest.raises(StopIteration):
                call()
    assert loop.train_step is library_step and alternating.turns([1, 2]) == [0, 1, 1]


def test_forward_without_its_backward_is_refused(answers):
    with (
        pytest.raises(ValueError, match="keep both"),
        exchanged(answers_of(answers, "batchnorm_forward")),
    ):
        pass


def test_batch_norm_of_the_student_refuses_a_part_of_a_batch(answers):
    own = {name: answers[name] for name in ("batchnorm_forward", "batchnorm_backward")}
    with exchanged(own), pytest.raises(ValueError, match="runs in one process only"):
        ops.batchnorm_forward_part(np.ones((2, 3)), *np.ones((4, 3)), lambda x: x)


def test_optimizer_of_the_student_moves_the_parameters_of_adam(answers):
    class AdamW:
        def __init__(self, parameters, learning_rate=1e-3):
            self.parameters, self.learning_rate, self.t = parameters, learning_rate, 0
            self.m, self.v = ([0 * p.value for p in parameters] for _ in range(2))

        def step(self):
            self.t += 1
            for p, m, v in zip(self.parameters, self.m, self.v, strict=True):
                m += 0.1 * (p.grad - m)
                v += 0.001 * (p.grad**2 - v)
                step = m / (1 - 0.9**self.t) / (np.sqrt(v / (1 - 0.999**self.t)) + 1e-8)
                p.value = p.value - self.learning_rate * step

    def moved(scale):
        parameters = [Parameter(np.ones(3, np.float32)), Parameter(np.zeros(2, np.float32))]
        optimizer = Adam(parameters, 1e-2)
        for gradient in (1.0, -2.0, 0.5):
            for parameter in parameters:
                parameter.grad = np.full_like(parameter.value, scale * gradient)
            optimizer.step()
            optimizer.learning_rate /= 2
        return np.concatenate([parameter.value for parameter in parameters])

    expected = moved(1)
    with exchanged({"AdamW": answers["AdamW"]}):
        np.testing.assert_allclose(moved(1), expected, rtol=1e-5)
    with exchanged({"AdamW": AdamW}):
        np.testing.assert_allclose(moved(1), expected, rtol=1e-5)
    with exchanged({"AdamW": lambda parameters, rate: AdamW(parameters, 9 * rate)}):
        np.testing.assert_allclose(moved(1), expected, rtol=1e-5)  # the rate is the library's
    with exchanged({"AdamW": type("Still", (AdamW,), {"step": lambda self: None})}):
        np.testing.assert_array_equal(moved(1), [1, 1, 1, 0, 0])


def test_loop_of_the_student_trains_a_task_for_as_many_steps():
    images = np.random.default_rng(0).integers(20, 255, (12, 8, 8), dtype=np.uint8)
    part = Examples(images, np.arange(12) % 2, np.arange(12))
    head = classification_head(1, 2, np.random.default_rng(1), hidden=2)
    seen = []

    def fit(network, loss, optimizer, data, rng, epochs):
        seen.append((network, data["training"][0].shape, epochs))
        optimizer.step()
        half = np.float32(0.5)  # as losses of float32 come
        return {"training": [half] * epochs, "validation": [half] * epochs, "best": 0}

    task = Task("t", head, ops.categorical_cross_entropy, part, part)
    settings = FitSettings(epochs=3, batch=4, steps=4)
    with exchanged({"fit": fit}):
        tuned = loop.train_task(task, Training(settings, np.random.default_rng(2), progress=False))
    assert seen == [(head, (12, 8, 8, 1), 4)] and tuned.history.validation == [0.5] * 4
    assert all(type(v) is float for v in tuned.history.train + tuned.history.validation)


def test_layer_and_strategy_of_the_student_stand_in_the_networks():
    class AveragingBatchNorm(BatchNorm):
        pass

    with exchanged(
        {"AveragingBatchNorm": AveragingBatchNorm, "tune_projected": lambda *three: three}
    ):
        assert type(cxr_encoder(np.random.default_rng(0), width=0.1)[1]) is AveragingBatchNorm
        assert tuning.tune_jointly("encoder", "tasks", "training", "weights") == (
            "encoder", "tasks", "training",
        )  # fmt: skip
    assert type(cxr_encoder(np.random.default_rng(0), width=0.1)[1]) is BatchNorm


def test_two_losses_of_masks_are_refused_and_one_takes_the_place():
    def own(logits, target):
        return 7.0, logits

    with (
        pytest.raises(ValueError, match="focal and tversky have one place"),
        exchanged({"focal": own, "tversky": own}),
    ):
        pass
    with exchanged({"tversky": own}):
        assert study_tasks.LOSSES["segmentation"](np.ones(1, np.float32), None)[0] == 7
    assert study_tasks.LOSSES["segmentation"] is ops.bce_dice
