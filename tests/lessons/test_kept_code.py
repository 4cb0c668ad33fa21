"""What a student wrote is kept, runs in place of the library's, and leaves the library as it was."""

import linecache

import numpy as np
import pytest
from sources import program

from lessons.own import keep, kept, own_code
from lessons.own_places import exchanged
from lessons.own_source import NotKept, text_of
from ums import ops
from ums.data import Examples
from ums.data.noise import Noise
from ums.experiments import tasks as study_tasks
from ums.experiments import tuning
from ums.finetuning import Task, loop
from ums.layers import BatchNorm, Conv2D, Parameter, ReLU, Sequential, UpsampleConv2D
from ums.networks import classification_head, cxr_encoder
from ums.optimizers import SGD, Adam
from ums.training import FitSettings, Training, train_step

LESSONS = (
    "03_convolution", "04_training_and_use", "05_shrink_and_grow", "06_losses", "07_denoising",
    "09_strategies", "t1_layer", "t2_training",
)  # fmt: skip
OPS = (
    "im2col", "col2im", "conv2d", "dense_backward", "batchnorm_forward", "batchnorm_backward",
    "dropout_forward", "dropout_backward", "global_average_pool_backward", "bce", "dice", "bce_dice",
    "categorical_cross_entropy",
)  # fmt: skip


def notebook(text, name="<a cell>"):
    """The names that a cell defines; its text is where Python looks for source, as in a notebook."""
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    namespace = {}
    exec(compile(text, name, "exec"), namespace)
    return namespace


@pytest.fixture(scope="module")
def answers():
    """The solutions of all lessons that can be kept."""
    found = {}
    for lesson in ("02_backward", *LESSONS):
        found |= notebook(program(lesson), f"<{lesson}>")
    return found


def numbers():
    """Losses and weights of an encoder with two heads, after a step of each; 8 x 8 pixels."""
    rng = np.random.default_rng(0)
    encoder = Sequential(Conv2D(1, 4, rng, stride=2), BatchNorm(4), ReLU(), Conv2D(4, 4, rng))
    heads = UpsampleConv2D(4, 1, rng), classification_head(4, 2, rng, hidden=4)
    x = rng.normal(size=(6, 8, 8, 1)).astype(np.float32)
    targets = (x > 0).astype(np.float32), np.arange(6) % 2
    found = []
    for head, loss, target in zip(
        heads, (ops.bce_dice, ops.categorical_cross_entropy), targets, strict=True
    ):
        network = Sequential(encoder, head)
        optimizer = SGD(network.trainable_parameters(), 0.1)
        found.append(np.ravel(train_step(network, loss, optimizer, x, target)))
        found += [np.ravel(p.grad) for p in network.parameters()]
        found += [np.ravel(a) for a in network.state_dict().values()]
    return np.concatenate(found)


def test_right_answers_give_the_library_s_numbers(answers):
    expected = numbers()
    exact = [name for name in OPS if not name.startswith("dropout")]  # which draws other numbers
    for names in (exact, ("conv2d",), ("im2col", "col2im"), ("bce",)):
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
    if name.startswith(("batchnorm", "dropout")):
        op = name.partition("_")[0]
        own |= {f"{op}_{way}": answers[f"{op}_{way}"] for way in ("forward", "backward")}
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
        exchanged(answers_of(answers, "dropout_forward")),
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
        return {"training": [1.0] * epochs, "validation": [0.5] * epochs, "best": 0}

    task = Task("t", head, ops.categorical_cross_entropy, part, part)
    settings = FitSettings(epochs=3, batch=4, steps=4)
    with exchanged({"fit": fit}):
        tuned = loop.train_task(task, Training(settings, np.random.default_rng(2), progress=False))
    assert seen == [(head, (12, 8, 8, 1), 4)] and tuned.history.validation == [0.5] * 4


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


# ---------------------------------------------------------------------------- keeping


def test_kept_answers_stand_alone_and_run_in_the_library(answers, tmp_path, capsys):
    folder = tmp_path / "own"
    keep(answers["im2col"], answers["conv2d"], answers["col2im"], folder=folder)
    keep(answers["batchnorm_forward"], answers["batchnorm_backward"], folder=folder)
    assert "conv2d.py (new), in place of the library's conv2d_forward" in capsys.readouterr().out
    keep(answers["batchnorm_forward"], folder=folder)
    assert "batchnorm_forward.py (replaces the earlier one)" in capsys.readouterr().out
    assert {n: k.lesson for n, k in kept(folder).items()} == {
        "batchnorm_backward": "lesson_04", "batchnorm_forward": "lesson_04",
        "col2im": "lesson_03", "conv2d": "lesson_03", "im2col": "lesson_03",
    }  # fmt: skip
    expected = numbers()
    with own_code(folder=folder) as running:
        assert len(running) == 5
        np.testing.assert_allclose(numbers(), expected, rtol=2e-3, atol=2e-5)
    told = (
        "running with your batchnorm_backward, batchnorm_forward (lesson 4); col2im, conv2d, im2col"
    )
    assert told in capsys.readouterr().out


def test_answers_of_the_tasks_can_be_kept(answers, tmp_path):
    keep(answers["AveragingBatchNorm"], folder=tmp_path)
    keep(answers["AdamW"], answers["fit"], folder=tmp_path)
    found = kept(tmp_path)
    assert {name: one.lesson for name, one in found.items()} == {
        "AdamW": "lesson_t2", "AveragingBatchNorm": "lesson_t1", "fit": "lesson_t2",
    }  # fmt: skip
    assert "BATCH = 16" in (tmp_path / "fit.py").read_text()
    assert found["AveragingBatchNorm"].answer(3).statistics().keys() == {
        "running_mean", "running_var", "batches",
    }  # fmt: skip


def test_answer_edited_into_a_wrong_one_no_longer_runs(answers, tmp_path):
    keep(answers["bce"], folder=tmp_path)
    path = tmp_path / "bce.py"
    path.write_text(
        path.read_text() + "\nright = bce\n\n\ndef bce(z, t):\n    return right(z, 1 - t)\n"
    )
    before = ops.bce
    with (
        pytest.raises(NotKept, match="the check of bce does not pass: "),
        own_code(folder=tmp_path),
    ):
        pass
    assert ops.bce is before
    path.write_text("def bce(:")
    with pytest.raises(NotKept, match=r"bce.py cannot be run: SyntaxError.*or delete it"):
        kept(tmp_path)


CELL = """
import numpy as np
import numpy.linalg
from os.path import join as joined
from ums.ops import mse
from lessons.checks import lesson_06 as check

SCALE = 2.0
films = np.zeros(3)

def unused():
    return films

def helper(x, scale=SCALE):
    return np.abs(x) * scale + len(joined("a", "b"))

def bce(logits, target):
    return helper(logits).sum() + mse(logits, target)[0], numpy.linalg.norm(logits)

def dice(logits, target):
    return films, logits

def bce_dice(logits, target):
    return clipped(logits), logits

def outer():
    def categorical_cross_entropy(logits, labels):
        return logits
    return categorical_cross_entropy

categorical_cross_entropy = outer()
moved = lambda before, after: set()
"""


def test_source_comes_with_imports_constants_and_functions_in_their_order():
    text = text_of(notebook(CELL)["bce"])
    namespace = {}
    exec(text, namespace)
    assert namespace["bce"](np.ones(2), np.ones(2))[0] == 10.0
    assert text.index("SCALE = 2.0") < text.index("def helper") < text.index("def bce")
    assert "films" not in text and "from os.path" not in text.replace("from posixpath", "")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "name what is to be kept"),
        (("moved",), "<lambda> has no place in the library; these have: im2col"),
        (("SCALE",), "only functions and classes can be kept, got float"),
        (("unused",), "unused has no place in the library"),
        (("bce",), "the check of bce does not pass: .*shape"),
        (("bce_dice",), "the check of bce_dice does not pass: .*clipped"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_written(tmp_path, names, message):
    cell = notebook(CELL)
    with pytest.raises(NotKept, match=message) as refusal:
        keep(*(cell[name] for name in names), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert refusal.value._render_traceback_()[0].endswith(str(refusal.value))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dice", r"dice uses films, of the notebook \(ndarray\): make it an argument of dice"),
        ("bce_dice", "bce_dice uses clipped, which its notebook does not define"),
        ("categorical_cross_entropy", "no source of categorical_cross_entropy: define it by def"),
    ],
)
def test_source_that_cannot_stand_alone_is_refused(name, message):
    with pytest.raises(NotKept, match=message):
        text_of(notebook(CELL)[name])


def test_check_that_needs_another_answer_asks_for_it(answers, tmp_path):
    with pytest.raises(NotKept, match=r"check of col2im needs im2col too: keep\(im2col, col2im\)"):
        keep(answers["col2im"], folder=tmp_path)


def test_nothing_kept_is_said(tmp_path):
    with pytest.raises(NotKept, match="nothing is kept in"), own_code(folder=tmp_path):
        pass
    with (
        pytest.raises(NotKept, match=r"bce is not in .*; there are: none"),
        own_code("bce", folder=tmp_path),
    ):
        pass
