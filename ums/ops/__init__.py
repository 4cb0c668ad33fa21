"""The mathematics: pure functions, forward and backward side by side, on NumPy or CuPy arrays.

An op is two functions, ``y, cache = op_forward(...)`` and ``gradients = op_backward(dy, cache)``.
dy is dL/dy, the gradient of the loss with respect to the output, of y's shape. By the chain rule a
backward pass returns the gradients of the scalar sum(dy * y) with dy held constant, in the order of
the array arguments that have gradients (not strides, modes or running statistics). Arrays are
(N, H, W, C), float32 or float64 and one of the two in a call (:mod:`ums.ops.arguments`); every op
keeps the dtype and the array module of its input. A batch may be empty, except where it is averaged.
"""

from ums.ops.activations import (
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    softmax_backward,
    softmax_forward,
)
from ums.ops.conv import (
    col2im,
    conv2d_backward,
    conv2d_forward,
    conv2d_grad_input,
    conv2d_grad_weights,
    im2col,
)
from ums.ops.dense import dense_backward, dense_forward, dense_grad_input, dense_grad_weights
from ums.ops.dropout import dropout_backward, dropout_forward
from ums.ops.losses import (
    bce,
    bce_dice,
    categorical_cross_entropy,
    dice,
    known_bce,
    known_mse,
    mse,
    softmax_dice,
)
from ums.ops.norm import (
    batchnorm_backward,
    batchnorm_forward,
    batchnorm_forward_part,
    batchnorm_grad_input,
    batchnorm_grad_weights,
)
from ums.ops.pooling import global_average_pool_backward, global_average_pool_forward
from ums.ops.upsample import (
    upsample2d_backward,
    upsample2d_forward,
    upsample_conv2d_backward,
    upsample_conv2d_forward,
    upsample_conv2d_grad_input,
    upsample_conv2d_grad_weights,
)

__all__ = [
    "batchnorm_backward", "batchnorm_forward", "batchnorm_forward_part", "batchnorm_grad_input",
    "batchnorm_grad_weights", "bce", "bce_dice", "categorical_cross_entropy", "col2im",
    "conv2d_backward", "conv2d_forward", "conv2d_grad_input", "conv2d_grad_weights",
    "dense_backward", "dense_forward", "dense_grad_input", "dense_grad_weights", "dice",
    "dropout_backward", "dropout_forward", "global_average_pool_backward",
    "global_average_pool_forward", "im2col", "known_bce", "known_mse", "mse", "relu_backward",
    "relu_forward", "sigmoid_backward", "sigmoid_forward", "softmax_backward", "softmax_dice",
    "softmax_forward", "upsample2d_backward", "upsample2d_forward", "upsample_conv2d_backward",
    "upsample_conv2d_forward", "upsample_conv2d_grad_input", "upsample_conv2d_grad_weights",
]  # fmt: skip
