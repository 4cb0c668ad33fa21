"""What students get wrong in lesson 3: (name, a piece of the solution, what stands in its place)."""

ROWS = "slice(dilation * u, dilation * u + stride * OH, stride)\n            columns"
PRODUCT = "A.reshape(N * OH * OW, K * K * C) @ w.reshape(K * K * C, O) + b"
ADD = "x_pad[:, down, across] += columns[:, :, :, u, v]"

FIELD = """    for K, s, d in layers:
        r += (K - 1) * d * j
        j *= s
    return r
"""
WINDOWS = """    for u in range(K):
        for v in range(K):
            rows = slice(dilation * u, dilation * u + stride * OH, stride)
            columns = slice(dilation * v, dilation * v + stride * OW, stride)
            A[:, :, :, u, v] = x_pad[:, rows, columns]
    return A
"""
CONV = """    N, OH, OW = A.shape[:3]
    y = A.reshape(N * OH * OW, K * K * C) @ w.reshape(K * K * C, O) + b
    return y.reshape(N, OH, OW, O)
"""
COLLECT = """    for u in range(K):
        for v in range(K):
            down = slice(dilation * u, dilation * u + stride * OH, stride)
            across = slice(dilation * v, dilation * v + stride * OW, stride)
            x_pad[:, down, across] += columns[:, :, :, u, v]
    return x_pad[:, p : p + H, p : p + W]
"""

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
        ("list emptied", FIELD, "    while layers:\n        K, s, d = layers.pop(0)\n"
         "        r += (K - 1) * d * j\n        j *= s\n    return r\n"),
        ("from the last layer on", "for K, s, d in layers:", "for K, s, d in layers[::-1]:"),
        ("both numbers", "    return r\n", "    return r, j\n"),
        ("the jump", "    return r\n", "    return j\n"),
        ("half a kernel", "(K - 1) * d * j", "(K - 1) // 2 * d * j"),
        ("printed", "    return r\n", "    print(r)\n"),
        ("starts at 0", FIELD, "    r = 0\n" + FIELD),
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
        ("rows for columns", "columns = slice(dilation * v, dilation * v + stride * OW, stride)",
         "columns = rows"),
        ("rows of u for both", "columns = slice(dilation * v, dilation * v + stride * OW, stride)",
         "columns = slice(dilation * u, dilation * u + stride * OW, stride)"),
        ("last window short", "rows = slice(dilation * u, dilation * u + stride * OH, stride)",
         "rows = slice(dilation * u, dilation * u + stride * (OH - 1), stride)"),
        ("starts at the stride", "rows = slice(dilation * u, dilation * u + stride * OH, stride)",
         "rows = slice(stride * u, stride * u + stride * OH, stride)"),
        ("float64", "    return A\n", "    return A.astype(float)\n"),
        ("a matrix already", "    return A\n", "    return A.reshape(N * OH * OW, K * K * C)\n"),
        ("x changed in place", "    return A\n", "    x *= 2\n    return A\n"),
        ("kernel turned", "A[:, :, :, u, v] = x_pad", "A[:, :, :, K - 1 - u, K - 1 - v] = x_pad"),
    ],
    "conv2d": [
        ("the library's", PRODUCT, "conv2d_forward(x, w, b, stride, dilation)[0]"),
        ("the loops", PRODUCT, "conv2d_loop(x, w, b, stride, dilation)"),
        ("bias forgotten", PRODUCT, PRODUCT.removesuffix(" + b")),
        ("kernel's channels exchanged", "@ w.reshape(K * K * C, O)",
         "@ w.swapaxes(2, 3).reshape(K * K * C, O)"),
        ("kernel turned", "@ w.reshape(K * K * C, O)", "@ w[::-1, ::-1].reshape(K * K * C, O)"),
        ("windows in another order", "A.reshape(N * OH * OW, K * K * C)",
         "A.swapaxes(3, 4).reshape(N * OH * OW, K * K * C)"),
        ("left a matrix", "return y.reshape(N, OH, OW, O)", "return y"),
        ("rows and columns exchanged", "return y.reshape(N, OH, OW, O)",
         "return y.reshape(N, OW, OH, O)"),
        ("bias of the first channel", PRODUCT, PRODUCT.replace("+ b", "+ b[0]")),
        ("bias subtracted", PRODUCT, PRODUCT.replace("+ b", "- b")),
        ("bias in each term", PRODUCT, PRODUCT.replace("+ b", "+ K * K * C * b")),
        ("w changed in place", "    return y.reshape(N, OH, OW, O)\n",
         "    w *= 0\n    return y.reshape(N, OH, OW, O)\n"),
        ("channels first", "return y.reshape(N, OH, OW, O)",
         "return y.reshape(N, OH, OW, O).transpose(0, 3, 1, 2)"),
        ("float64", "return y.reshape(N, OH, OW, O)", "return y.reshape(N, OH, OW, O).astype(float)"),
        ("float16", "return y.reshape(N, OH, OW, O)",
         "return y.reshape(N, OH, OW, O).astype(np.float16)"),
        ("mean for the sum", PRODUCT, PRODUCT.replace("+ b", "/ (K * K * C) + b")),
        ("stride left out", "A = im2col(x, K, stride, dilation)", "A = im2col(x, K, 1, dilation)"),
    ],
    "col2im": [
        ("inverse, not adjoint", ADD, ADD.replace("+=", "=")),
        ("mean of the contributions", "return x_pad[:, p : p + H", "return x_pad[:, p : p + H"
         ", p : p + W] / K**2\n    return x_pad[:, p : p + H"),
        ("border left on", "return x_pad[:, p : p + H, p : p + W]", "return x_pad"),
        ("nothing left of it for a kernel of 1", "return x_pad[:, p : p + H, p : p + W]",
         "return x_pad[:, p:-p, p:-p]"),
        ("wrong border cut", "return x_pad[:, p : p + H, p : p + W]", "return x_pad[:, :H, :W]"),
        ("border of dilation 1 cut", "return x_pad[:, p : p + H, p : p + W]",
         "return x_pad[:, K // 2 : K // 2 + H, K // 2 : K // 2 + W]"),
        ("dilation forgotten", "down = slice(dilation * u, dilation * u + stride * OH, stride)",
         "down = slice(u, u + stride * OH, stride)"),
        ("u and v exchanged", "+= columns[:, :, :, u, v]", "+= columns[:, :, :, v, u]"),
        ("first weight left out", "for v in range(K):\n            down",
         "for v in range(1, K):\n            down"),
        ("columns changed in place", COLLECT, "    columns *= 2\n" + COLLECT.replace(
            "columns[:, :, :, u, v]", "columns[:, :, :, u, v] / 2")),
        ("stride 1 only", "down = slice(dilation * u, dilation * u + stride * OH, stride)",
         "down = slice(dilation * u, dilation * u + OH)"),
        ("rows for both", "across = slice(dilation * v, dilation * v + stride * OW, stride)",
         "across = down"),
        ("divided by the count", "return x_pad[:, p : p + H, p : p + W]",
         "return x_pad[:, p : p + H, p : p + W] / 9"),
        ("border folded in", "return x_pad[:, p : p + H, p : p + W]",
         "return x_pad[:, :H, :W] + x_pad[:, -H:, -W:]"),
        ("the largest", ADD, "x_pad[:, down, across] = np.maximum(\n"
         "                x_pad[:, down, across], columns[:, :, :, u, v]\n            )"),
        ("not returned", "return x_pad[:, p : p + H, p : p + W]", "x_pad[:, p : p + H, p : p + W]"),
    ],
}  # fmt: skip

MESSAGES = {
    "receptive_field": {
        "list emptied": "changed the list of layers",
        "both numbers": r"one number, got \(",
    },
    "im2col": {
        "x changed in place": "changed x in place",
        "float64": "must be float32, got float64",
    },
    "conv2d": {
        "w changed in place": "changed w in place",
        "float64": "a y of float64",
        "float16": "must be float64, got float16",
    },
    "col2im": {"columns changed in place": "changed columns in place"},
}

RIGHT = {
    "receptive_field": [
        ("from the last layer on", FIELD,
         "    for K, s, d in reversed(layers):\n        r = (r - 1) * s + (K - 1) * d + 1\n    return r\n"),
        ("a number of NumPy", FIELD, FIELD.replace("return r", "return np.int64(r)")),
        ("a float that is whole", FIELD, FIELD.replace("return r", "return float(r)")),
        ("products of strides", FIELD, """    for i, (K, s, d) in enumerate(layers):
        r = r + (K - 1) * d * int(np.prod([before[1] for before in layers[:i]]))
    return r
"""),
        ("by index", FIELD, """    for layer in layers:
        r += (layer[0] - 1) * layer[2] * j
        j = j * layer[1]
    return r
"""),
    ],
    "im2col": [
        ("sliding windows", WINDOWS, """    side = dilation * (K - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(x_pad, (side, side), axis=(1, 2))
    windows = windows[:, ::stride, ::stride, :, ::dilation, ::dilation][:, :OH, :OW]
    return windows.transpose(0, 1, 2, 4, 5, 3)
"""),
        ("arrays of indices", WINDOWS, """    rows = stride * np.arange(OH)[:, None] + dilation * np.arange(K)
    columns = stride * np.arange(OW)[:, None] + dilation * np.arange(K)
    return x_pad[:, rows[:, None, :, None], columns[None, :, None, :]]
"""),
        ("a loop over pixels", WINDOWS, """    for i, j in np.ndindex(OH, OW):
        down, across = stride * i, stride * j
        A[:, i, j] = x_pad[:, down : down + dilation * K : dilation][:, :K][
            :, :, across : across + dilation * K : dilation
        ][:, :, :K]
    return A
"""),
        ("shorter stops", WINDOWS, WINDOWS.replace("stride * OH", "stride * (OH - 1) + 1").replace(
            "stride * OW", "stride * (OW - 1) + 1")),
    ],
    "conv2d": [
        ("einsum", CONV, '    return np.einsum("nijuvc,uvco->nijo", A, w) + b\n'),
        ("tensordot", CONV, "    return np.tensordot(A, w, axes=3) + b\n"),
        ("sizes left to NumPy", CONV,
         "    y = A.reshape(-1, K * K * C) @ w.reshape(-1, O)\n    return y.reshape(*A.shape[:3], -1) + b\n"),
        ("a sum over positions", CONV, """    y = np.zeros((*A.shape[:3], O), x.dtype)
    for u in range(K):
        for v in range(K):
            y += A[:, :, :, u, v] @ w[u, v]
    y += b
    return y
"""),
    ],
    "col2im": [
        ("pixel by pixel", COLLECT, """    for i in range(OH):
        for j in range(OW):
            for u in range(K):
                for v in range(K):
                    row, column = stride * i + dilation * u, stride * j + dilation * v
                    x_pad[:, row, column] += columns[:, i, j, u, v]
    return x_pad[:, p : p + H, p : p + W]
"""),
        ("without the operator", COLLECT, COLLECT.replace(
            "x_pad[:, down, across] += columns[:, :, :, u, v]",
            "x_pad[:, down, across] = x_pad[:, down, across] + columns[:, :, :, u, v]")),
        ("add.at", COLLECT, """    rows = stride * np.arange(OH)[:, None] + dilation * np.arange(K)
    across = stride * np.arange(OW)[:, None] + dilation * np.arange(K)
    np.add.at(x_pad, (slice(None), rows[:, None, :, None], across[None, :, None, :]), columns)
    return x_pad[:, p : p + H, p : p + W]
"""),
        ("ends counted from behind", COLLECT, COLLECT.replace(
            "x_pad[:, p : p + H, p : p + W]", "x_pad[:, p : H + p, p : W + p].copy()")),
    ],
}  # fmt: skip
