"""What students get wrong in lesson 5: (name, a piece of the solution, what stands in its place)."""

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
    ],
    "upsample2d_backward": [
        ("mean", "squares.sum(axis=(2, 4))", "squares.mean(axis=(2, 4))"),
        ("first copy only", "squares.sum(axis=(2, 4))", "squares[:, :, 0, :, 0]"),
        ("axes split the other way", "dy.reshape(N, H, 2, W, 2, C)\n    return squares.sum(axis=(2, 4))",
         "dy.reshape(N, 2, H, 2, W, C)\n    return squares.sum(axis=(1, 3))"),
        ("rows only", "squares.sum(axis=(2, 4))", "2 * squares[:, :, :, :, 0].sum(axis=2)"),
        ("not returned", "return squares", "squares"),
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
    ],
    "upsample_conv": [
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
    ],
}  # fmt: skip
