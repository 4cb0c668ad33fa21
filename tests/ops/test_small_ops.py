"""Activations, dense, pooling and dropout on cases a person can work out."""

import numpy as np
import pytest

from ums import ops
from ums.ops.activations import relu_backward_plain, relu_forward_plain


def test_relu_worked_by_hand():
    y, cache = ops.relu_forward(np.array([-2.0, 0, 3]))
    assert y.tolist() == [0, 0, 3]
    assert ops.relu_backward(np.array([5.0, 6, 7]), cache).tolist() == [0, 0, 7]


def test_fast_relu_equals_its_formula(rng, tiny_tiles):
    x, dy = rng.normal(size=(2, 3, 50, 7)).astype(np.float32)
    y, cache = ops.relu_forward(x)
    expected, plain_cache = relu_forward_plain(x)
    np.testing.assert_array_equal(y, expected)
    gradient = relu_backward_plain(dy, plain_cache)
    np.testing.assert_array_equal(ops.relu_backward(dy, cache), gradient)


def test_sigmoid_worked_by_hand():
    y, cache = ops.sigmoid_forward(np.log([1.0, 3, 1 / 4]))
    np.testing.assert_allclose(y, [1 / 2, 3 / 4, 1 / 5])
    np.testing.assert_allclose(ops.sigmoid_backward(np.ones(3), cache), [1 / 4, 3 / 16, 4 / 25])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_stays_finite_at_huge_inputs(dtype):
    y, cache = ops.sigmoid_forward(np.array([-1000, 1000], dtype))
    assert y.tolist() == [0, 1]
    assert ops.sigmoid_backward(y, cache).tolist() == [0, 0]


def test_softmax_worked_by_hand():
    y, cache = ops.softmax_forward(np.log([[1.0, 2, 5]]))
    np.testing.assert_allclose(y, [[1 / 8, 2 / 8, 5 / 8]])
    dx = ops.softmax_backward(np.array([[1.0, 0, 0]]), cache)
    np.testing.assert_allclose(dx, [[7 / 64, -2 / 64, -5 / 64]])


def test_softmax_of_rows_far_apart_in_scale():
    y, _ = ops.softmax_forward(np.array([[1000.0, 1000], [0, 0], [-1000, -1000], [1e-3, 1e3]]))
    np.testing.assert_array_equal(y, [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0, 1]])


def test_softmax_ignores_a_shift_of_the_row_and_sums_to_1(rng):
    x = rng.normal(size=(3, 4, 5))
    y, _ = ops.softmax_forward(x)
    np.testing.assert_allclose(y, ops.softmax_forward(x + 100)[0])
    np.testing.assert_allclose(y.sum(axis=-1), 1)


def test_dense_worked_by_hand():
    x, w, b = np.array([[1.0, 2]]), np.array([[1.0, 0, 2], [0, 3, 1]]), np.array([0.5, 0, 0])
    y, cache = ops.dense_forward(x, w, b)
    assert y.tolist() == [[1.5, 6, 4]]
    dx, dw, db = ops.dense_backward(np.array([[1.0, 0, 2]]), cache)
    assert dx.tolist() == [[5, 2]]
    assert dw.tolist() == [[1, 0, 2], [2, 0, 4]]
    assert db.tolist() == [1, 0, 2]


@pytest.mark.parametrize(("x", "w", "b"), [
    ((2, 3), (4, 5), (5,)), ((2, 3), (3, 5), (4,)), ((3,), (3, 5), (5,)), ((2, 3), (3,), ()),
])  # fmt: skip
def test_dense_names_the_shapes_that_do_not_fit(x, w, b):
    with pytest.raises(ValueError, match=r"x must be \(N, C\), w \(C, O\) and b \(O,\), got \("):
        ops.dense_forward(np.zeros(x), np.zeros(w), np.zeros(b))


def test_dense_refuses_mixed_dtypes():
    with pytest.raises(TypeError, match="float64, float32 and float64"):
        ops.dense_forward(np.zeros((2, 3)), np.zeros((3, 4), np.float32), np.zeros(4))


def test_global_average_pool_worked_by_hand():
    x = np.arange(12.0).reshape(1, 2, 3, 2)
    y, cache = ops.global_average_pool_forward(x)
    assert y.tolist() == [[5, 6]]
    dx = ops.global_average_pool_backward(np.array([[6.0, 12]]), cache)
    assert dx.shape == x.shape and dx.flags.writeable
    assert (dx == [1, 2]).all()


def test_global_average_pool_refuses_what_is_not_a_batch_of_images():
    with pytest.raises(ValueError, match=r"\(N, H, W, C\), got \(2, 3\)"):
        ops.global_average_pool_forward(np.zeros((2, 3)))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(rate, rng):
    y, _ = ops.dropout_forward(np.ones((200, 300)), rate, rng, True)
    assert (y == 0).mean() == pytest.approx(rate, abs=0.01)
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-6)
    assert y.mean() == pytest.approx(1, abs=0.05)


def test_dropout_gradient_passes_where_the_value_passed(rng):
    y, cache = ops.dropout_forward(np.ones((5, 7)), 0.3, rng, True)
    np.testing.assert_array_equal(ops.dropout_backward(np.ones((5, 7)), cache), y)


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_dropout_that_drops_nothing_draws_nothing(rate, training, rng):
    x, state = np.ones((3, 4)), rng.bit_generator.state
    y, cache = ops.dropout_forward(x, rate, rng, training)
    assert (y == x).all() and (ops.dropout_backward(x, cache) == x).all()
    assert rng.bit_generator.state == state


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_mask_depends_on_the_seed_and_not_on_the_dtype(dtype):
    x = np.ones((4, 5), dtype)
    y = [ops.dropout_forward(x, 0.5, np.random.default_rng(s), True)[0] for s in (1, 1, 2)]
    np.testing.assert_array_equal(y[0], y[1])
    assert (y[0] != y[2]).any()
    other = ops.dropout_forward(np.ones((4, 5)), 0.5, np.random.default_rng(1), True)[0]
    np.testing.assert_array_equal(y[0] == 0, other == 0)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2.0])
def test_dropout_refuses_a_rate_outside_0_to_1(rate, rng):
    with pytest.raises(ValueError, match=rf"in \[0, 1\), got {rate}"):
        ops.dropout_forward(np.ones(3), rate, rng, True)
