"""What students get wrong in lesson 3: (name, a piece of the solution, what stands in its place)."""

ROWS = "slice(dilation * u, dilation * u + stride * OH, stride)\n            columns"
PRODUCT = "A.reshape(N * OH * OW, K * K * C) @ w.reshape(K * K * C, O) + b"
ADD = "x_pad[:, down, across] += columns[:, :, :, u, v]"

WRONG = {
    "receptive_field": [
        ("jump forgotten", "(K - 1) * d * j", "(K - 1) * d"),
        ("dilation forgotten", "(K - 1) * d * j", "(K - 1) * j"),
        ("kernel instead of its steps", "(K - 1) * d * j", "K * d * j"),
        ("own stride taken first", "r += (K - 1) * d * j\n        j *= s",
         "j *= s\n        r += (K - 1) * d * j"),
        ("strides added", "j *= s", "j += s"),
        ("dilation lengthens the jump", "j *= s", "j *= s * d"),
        ("ends in the first layer", "j *= s\n    return r", "j *= s\n        return r"),
    ],
    "im2col": [
        ("no stride", ROWS, "slice(dilation * u, dilation * u + OH)\n            columns"),
        ("dilation forgotten", ROWS, "slice(u, u + stride * OH, stride)\n            columns"),
        ("dilation for the step", ROWS,
         "slice(u * dilation, u * dilation + dilation * OH, dilation)\n            columns"),
        ("u and v exchanged", "A[:, :, :, u, v] = x_pad", "A[:, :, :, v, u] = x_pad"),
        ("rows and columns exchanged", "x_pad[:, rows, columns]", "x_pad[:, columns, rows]"),
        ("image for the padded one", "= x_pad[:, rows, columns]", "= x[:, rows, columns]"),
        ("kernel of 3 only", "for u in range(K):\n        for v in range(K):\n            rows",
         "for u in range(3):\n        for v in range(3):\n            rows"),
        ("not returned", "return A\n", "A\n"),
    ],
    "conv2d": [
        ("bias forgotten", PRODUCT, PRODUCT.removesuffix(" + b")),
        ("kernel's channels exchanged", "@ w.reshape(K * K * C, O)",
         "@ w.swapaxes(2, 3).reshape(K * K * C, O)"),
        ("kernel turned", "@ w.reshape(K * K * C, O)", "@ w[::-1, ::-1].reshape(K * K * C, O)"),
        ("windows in another order", "A.reshape(N * OH * OW, K * K * C)",
         "A.swapaxes(3, 4).reshape(N * OH * OW, K * K * C)"),
        ("left a matrix", "return y.reshape(N, OH, OW, O)", "return y"),
        ("rows and columns exchanged", "return y.reshape(N, OH, OW, O)",
         "return y.reshape(N, OW, OH, O)"),
    ],
    "col2im": [
        ("inverse, not adjoint", ADD, ADD.replace("+=", "=")),
        ("mean of the contributions", "return x_pad[:, p : p + H", "return x_pad[:, p : p + H"
         ", p : p + W] / K**2\n    return x_pad[:, p : p + H"),
        ("border left on", "return x_pad[:, p : p + H, p : p + W]", "return x_pad"),
        ("wrong border cut", "return x_pad[:, p : p + H, p : p + W]", "return x_pad[:, :H, :W]"),
        ("border of dilation 1 cut", "return x_pad[:, p : p + H, p : p + W]",
         "return x_pad[:, K // 2 : K // 2 + H, K // 2 : K // 2 + W]"),
        ("dilation forgotten", "down = slice(dilation * u, dilation * u + stride * OH, stride)",
         "down = slice(u, u + stride * OH, stride)"),
        ("u and v exchanged", "+= columns[:, :, :, u, v]", "+= columns[:, :, :, v, u]"),
        ("first weight left out", "for v in range(K):\n            down",
         "for v in range(1, K):\n            down"),
    ],
}  # fmt: skip
