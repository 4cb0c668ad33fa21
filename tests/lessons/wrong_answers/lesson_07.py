"""What students get wrong in lesson 7: (name, a piece of the solution, what stands in its place)."""

GAUSSIAN = "noisy = images + level * rng.standard_normal(images.shape)"
POISSON = "noisy = rng.poisson(images * level / 255) * 255 / level"
CLIP = "return np.clip(noisy, 0, 255).astype(np.float32)"
DRAWN = "drawn = rng.integers(len(noises), size=len(clean))"
PAIR = "return normalise(noisy), normalise(clean, like=noisy)"
FORWARD = "y = network.forward(x, training=True)"
USED = "y = network.forward(x, keep=False)"

WRONG = {
    "add_noise": [
        ("level for the variance", GAUSSIAN,
         "noisy = images + level**0.5 * rng.standard_normal(images.shape)"),
        ("uniform", GAUSSIAN, "noisy = images + level * rng.uniform(-1, 1, images.shape)"),
        ("one number per film", GAUSSIAN,
         "noisy = images + level * rng.standard_normal(images.shape[-1])"),
        ("numpy's own chance", "rng.standard_normal(images.shape)",
         "np.random.default_rng().standard_normal(images.shape)"),
        ("counts not brought back", POISSON, "noisy = rng.poisson(images * level / 255)"),
        ("level forgotten", POISSON, "noisy = rng.poisson(images)"),
        ("count of the noise added", POISSON, "noisy = images + rng.poisson(level, images.shape)"),
        ("not clipped", CLIP, "return noisy.astype(np.float32)"),
        ("uint8", CLIP, "return np.clip(noisy, 0, 255).astype(np.uint8)"),
        ("float64", CLIP, "return np.clip(noisy, 0, 255)"),
        ("unknown kind guessed", 'raise ValueError(f"neither gaussian', 'noisy = images  # (f"'),
    ],
    "training_pair": [
        ("target by its own statistics", PAIR, "return normalise(noisy), normalise(clean)"),
        ("input by the clean film's", PAIR, "return normalise(noisy, like=clean), normalise(clean)"),
        ("exchanged", PAIR, "return normalise(clean, like=noisy), normalise(noisy)"),
        ("noise on both", PAIR, "return normalise(noisy), normalise(noisy)"),
        ("one noise for the batch", DRAWN, "drawn = np.full(len(clean), rng.integers(len(noises)))"),
        ("always the first noise", DRAWN, "drawn = np.zeros(len(clean), int)"),
        ("not normalised", PAIR, "return noisy[..., None], clean[..., None].astype(np.float32)"),
        ("chance of its own", DRAWN, "rng = np.random.default_rng(); " + DRAWN),
    ],
    "source_step": [
        ("gradients pile up", "network.zero_gradients()", "pass"),
        ("not in training", FORWARD, "y = network.forward(x)"),
        ("no step", "optimizer.step()", "pass"),
        ("step before the way back", "network.backward(dy)\n    optimizer.step()",
         "optimizer.step()\n    network.backward(dy)"),
        ("output for the gradient", "network.backward(dy)", "network.backward(y - t)"),
        ("target and output exchanged", "mse(y, t)", "mse(t, y)"),
        ("target is the input", "mse(y, t)", "mse(y, x)"),
        ("loss not returned", "return float(loss)", "float(loss)"),
        ("gradient returned", "return float(loss)", "return dy"),
    ],
    "restored": [
        ("not normalised", "x = normalise(noisy)", "x = noisy[..., None]"),
        ("not brought back", "return denormalise(y, noisy)", "return y[..., 0]"),
        ("in training", USED, "y = network.forward(x, training=True)"),
        ("statistics of the output", "return denormalise(y, noisy)", "return denormalise(y, y[..., 0])"),
        ("residual added", "return denormalise(y, noisy)", "return denormalise(y + x, noisy)"),
        ("not returned", "return denormalise(y, noisy)", "denormalise(y, noisy)"),
    ],
}  # fmt: skip
