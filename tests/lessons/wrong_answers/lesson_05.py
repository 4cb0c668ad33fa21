"""What students hand in for lesson 5: (name, a piece of the solution, what stands in its place)."""

SPREAD = "return np.ones(shape, dy.dtype) * share[:, None, None, :]"
KEEP = "keep = rng.random(x.shape) >= rate"
SCALE = "scale = keep.astype(x.dtype) / (1 - rate)"
MOVED = "moved = padded[:, p + s : p + s + H, q + t : q + t + W]"

WRONG = {
    "global_average_pool_backward": [
        ("not divided", "share = dy / (H * W)", "share = dy"),
        ("divided by one side", "share = dy / (H * W)", "share = dy / H"),
        ("divided by the films, too", "share = dy / (H * W)", "share = dy / (len(dy) * H * W)"),
        ("not spread", SPREAD, "return share"),
        ("channels added up", SPREAD,
         "return np.ones(shape, dy.dtype) * share.sum(axis=1)[:, None, None, None]"),
        ("one pixel gets it all", SPREAD,
         "dx = np.zeros(shape); dx[:, 0, 0] = dy; return dx"),
        ("dy changed", "share = dy / (H * W)", "dy /= H * W; share = dy"),
        ("float64", SPREAD, "return np.ones(shape) * share[:, None, None, :]"),
        ("a list", SPREAD, "return [np.ones(shape, dy.dtype) * share[:, None, None, :]]"),
        ("whole numbers", "share = dy / (H * W)", "share = dy // (H * W)"),
        ("nested lists", SPREAD, "return (np.ones(shape, dy.dtype) * share[:, None, None, :]).tolist()"),
    ],
    "dropout_forward": [
        ("not made larger", SCALE, "scale = keep.astype(x.dtype)"),
        ("divided by the rate", SCALE, "scale = keep.astype(x.dtype) / rate"),
        ("keeps the share", KEEP, "keep = rng.random(x.shape) < rate"),
        ("divided by what happened to be kept", SCALE, "scale = (keep / keep.mean()).astype(x.dtype)"),
        ("float64", SCALE, "scale = keep / (1 - rate)"),
        ("mask in the cache", "return x * scale, (scale,)", "return x * scale, (keep,)"),
        ("whole columns", KEEP, "keep = (rng.random(x.shape[1]) >= rate) & np.ones(x.shape, bool)"),
        ("chance of its own", KEEP, "keep = np.random.default_rng().random(x.shape) >= rate"),
        ("always the same", KEEP, "keep = np.random.default_rng(0).random(x.shape) >= rate"),
        ("x changed", "return x * scale, (scale,)", "x *= scale; return x, (scale,)"),
        ("scale from what is not 0", "return x * scale, (scale,)",
         "y = x * scale; return y, (((y != 0) / (1 - rate)).astype(x.dtype),)"),
        ("scale alone for a cache", "return x * scale, (scale,)", "return x * scale, scale"),
        ("y alone", "return x * scale, (scale,)", "return x * scale"),
        ("scale of float64", "return x * scale, (scale,)", "return x * scale, (scale.astype(float),)"),
        ("always float32", SCALE, "x = x.astype(np.float32); scale = keep.astype(x.dtype) / (1 - rate)"),
        ("a share drawn without chance", KEEP,
         "keep = rng.permutation(np.arange(x.size) >= rate * x.size).reshape(x.shape)[:1] & "
         "np.ones(x.shape, bool)"),
    ],
    "upsample2d_backward": [
        ("mean", "squares.sum(axis=(2, 4))", "squares.mean(axis=(2, 4))"),
        ("first copy only", "squares.sum(axis=(2, 4))", "squares[:, :, 0, :, 0]"),
        ("axes split the other way", "dy.reshape(N, H, 2, W, 2, C)\n    return squares.sum(axis=(2, 4))",
         "dy.reshape(N, 2, H, 2, W, C)\n    return squares.sum(axis=(1, 3))"),
        ("rows only", "squares.sum(axis=(2, 4))", "2 * squares[:, :, :, :, 0].sum(axis=2)"),
        ("not returned", "return squares", "squares"),
        ("dy changed", "squares = dy.reshape(N, H, 2, W, 2, C)",
         "dy *= 1; dy[:, ::2] += dy[:, 1::2]; dy[:, 1::2] = 0; squares = dy.reshape(N, H, 2, W, 2, C)"),
        ("float64", "squares.sum(axis=(2, 4))", "squares.sum(axis=(2, 4), dtype=float)"),
        ("largest of the four", "squares.sum(axis=(2, 4))", "squares.max(axis=(2, 4))"),
    ],
    "fold_rows": [
        ("phases exchanged", "if p == 0:\n        return np", "if p == 1:\n        return np"),
        ("means for sums", "np.stack([w[0], w[1] + w[2]])", "np.stack([w[0], (w[1] + w[2]) / 2])"),
        ("middle weight in both", "np.stack([w[0], w[1] + w[2]])",
         "np.stack([w[0] + w[1], w[1] + w[2]])"),
        ("lower pixel first", "np.stack([w[0] + w[1], w[2]])", "np.stack([w[2], w[0] + w[1]])"),
        ("stacked at the end", "np.stack([w[0] + w[1], w[2]])",
         "np.stack([w[0] + w[1], w[2]], axis=-1)"),
        ("copies left out", "np.stack([w[0] + w[1], w[2]])", "np.stack([w[1], w[2]])"),
        ("w changed", "return np.stack([w[0], w[1] + w[2]])", "w[1] += w[2]; return np.stack([w[0], w[1]])"),
        ("a list", "return np.stack([w[0] + w[1], w[2]])", "return [w[0] + w[1], w[2]]"),
        ("float64", "return np.stack([w[0], w[1] + w[2]])",
         "return np.stack([w[0], w[1] + w[2]]).astype(float)"),
    ],
    "upsample_conv": [
        ("the library's", "    for p, q in",
         "    return (lambda: upsample_conv2d_forward(x, w, b)[0])()\n    for p, q in"),
        ("equal but not faster", "    for p, q in",
         "    return check._two_steps(x, w, b)\n    for p, q in"),
        ("phase does not move the window", MOVED, "moved = padded[:, s : s + H, t : t + W]"),
        ("rows move with the column's phase", MOVED,
         "moved = padded[:, q + s : q + s + H, p + t : p + t + W]"),
        ("bias forgotten", "fold(w, p, q), b\n", "fold(w, p, q), 0 * b\n"),
        ("bias in every product", "total + moved @ kernel[s, t]", "total + moved @ kernel[s, t] + b"),
        ("halves instead of every second", "y[:, p::2, q::2] = total",
         "y[:, p * H : p * H + H, q * W : q * W + W] = total"),
        ("weights exchanged", "moved @ kernel[s, t]", "moved @ kernel[t, s]"),
        ("phases exchanged", "fold(w, p, q), b\n", "fold(w, q, p), b\n"),
        ("float64", "return y\n", "return y.astype(float)\n"),
        ("x changed", "    for p, q in", "    x[:, 0] = 0\n    for p, q in"),
        ("b changed", "    for p, q in", "    b += 1e-3\n    for p, q in"),
        ("nothing around", "padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))",
         "padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode='edge')"),
    ],
}  # fmt: skip

MESSAGES = {
    "global_average_pool_backward": {
        "dy changed": "changed dy in place",
        "a list": "not a list with dx in it",
        "float64": "dx is float64, but dy is float32",
    },
    "dropout_forward": {
        "x changed": "changed x in place",
        "scale alone for a cache": r"the cache should be \(scale,\)",
        "scale of float64": "the scale in the cache is float64",
    },
    "upsample2d_backward": {
        "dy changed": "changed dy in place",
    },
    "fold_rows": {
        "w changed": "changed w in place",
    },
    "upsample_conv": {
        "b changed": "changed b in place",
    },
}

RIGHT = {
    "global_average_pool_backward": [
        ("broadcast", SPREAD, "return np.broadcast_to(share[:, None, None, :], shape)"),
        ("repeated", SPREAD, "return share[:, None, None, :].repeat(H, axis=1).repeat(shape[2], axis=2)"),
        ("filled in", SPREAD, "dx = np.zeros(shape, dy.dtype); dx[...] = share[:, None, None]; return dx"),
        ("tiled", SPREAD, "return np.tile(share[:, None, None], (1, H, shape[2], 1))"),
        ("zeros and share", SPREAD, "return np.zeros(shape, dy.dtype) + share.reshape(len(dy), 1, 1, -1)"),
    ],
    "dropout_forward": [
        ("where", "return x * scale, (scale,)",
         "return np.where(keep, x / x.dtype.type(1 - rate), x.dtype.type(0)), (scale,)"),
        ("above in place of at least", KEEP, "keep = rng.random(x.shape) > rate"),
        ("drawn as float32", KEEP, "keep = rng.random(x.shape, dtype=np.float32) >= rate"),
        ("uniform", KEEP, "keep = rng.uniform(0, 1, x.shape) < 1 - rate"),
        ("binomial", KEEP, "keep = rng.binomial(1, 1 - rate, x.shape)"),
        ("dropped ones set to 0", SCALE,
         "scale = np.full(x.shape, 1 / (1 - rate), x.dtype); scale[~keep] = 0"),
        ("lists", "return x * scale, (scale,)", "return [x * scale, [scale]]"),
    ],
    "upsample2d_backward": [
        ("four slices", "return squares.sum(axis=(2, 4))",
         "return dy[:, ::2, ::2] + dy[:, 1::2, ::2] + dy[:, ::2, 1::2] + dy[:, 1::2, 1::2]"),
        ("rows, then columns", "squares.sum(axis=(2, 4))", "squares.sum(axis=4).sum(axis=2)"),
        ("einsum", "squares.sum(axis=(2, 4))", "np.einsum('nhuwvc->nhwc', squares)"),
        ("added up", "return squares.sum(axis=(2, 4))",
         "dx = np.zeros(shape, dy.dtype)\n"
         "    for u in (0, 1):\n"
         "        for v in (0, 1):\n"
         "            dx += dy[:, u::2, v::2]\n"
         "    return dx"),
    ],
    "fold_rows": [
        ("array of both", "return np.stack([w[0], w[1] + w[2]])", "return np.array([w[0], w[1] + w[2]])"),
        ("filled in", "return np.stack([w[0] + w[1], w[2]])",
         "folded = w[1:].copy(); folded[0] += w[0]; return folded"),
        ("by sums of slices", "return np.stack([w[0], w[1] + w[2]])",
         "return np.concatenate([w[:1], w[1:].sum(axis=0, keepdims=True)])"),
        ("by a matrix", "if p == 0:",
         "matrix = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]][p], w.dtype)\n"
         "    return np.tensordot(matrix, w, 1)\n"
         "    if p == 0:"),
    ],
    "upsample_conv": [
        ("summed as a list", "total = total + moved @ kernel[s, t]",
         "total = sum([total, moved @ kernel[s, t]])"),
        ("by einsum", "moved @ kernel[s, t]", "np.tensordot(moved, kernel[s, t], 1)"),
        ("bias in the end", "y[:, p::2, q::2] = total", "y[:, p::2, q::2] = total - b + b"),
    ],
}  # fmt: skip
