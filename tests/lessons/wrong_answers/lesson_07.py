"""What students hand in for lesson 7: (name, a piece of the solution, what stands in its place)."""

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
        ("a seed of its own", "rng.standard_normal(images.shape)",
         "np.random.default_rng(0).standard_normal(images.shape)"),
        ("a seed of its own for Poisson", POISSON, POISSON.replace("rng.", "np.random.default_rng(7).")),
        ("counts not brought back", POISSON, "noisy = rng.poisson(images * level / 255)"),
        ("level forgotten", POISSON, "noisy = rng.poisson(images)"),
        ("count of the noise added", POISSON, "noisy = images + rng.poisson(level, images.shape)"),
        ("not clipped", CLIP, "return noisy.astype(np.float32)"),
        ("uint8", CLIP, "return np.clip(noisy, 0, 255).astype(np.uint8)"),
        ("float64", CLIP, "return np.clip(noisy, 0, 255)"),
        ("unknown kind guessed", 'raise ValueError(f"neither gaussian', 'noisy = images  # (f"'),
        ("uniform of the right deviation", GAUSSIAN,
         "noisy = images + level * rng.uniform(-(3**0.5), 3**0.5, images.shape)"),
        ("normal of Poisson's deviation", POISSON,
         "noisy = images + (255 * images / level) ** 0.5 * rng.standard_normal(images.shape)"),
        ("another exception", "raise ValueError(f", "raise KeyError(f"),
        ("part of the kind's name", 'if kind == "gaussian":', 'if "gaussian".startswith(kind):'),
        ("whatever is not gaussian", 'elif kind == "poisson":', 'elif kind.lower() == "poisson":'),
        ("clipped to 0..1", CLIP, "return np.clip(noisy / 255, 0, 1).astype(np.float32)"),
        ("wrapped round", CLIP, "return (noisy % 256).astype(np.float32)"),
        ("images alone for the shape of chance", "rng.standard_normal(images.shape)",
         "rng.standard_normal(images.shape[-2:])"),
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
        ("noises in turn", DRAWN, "drawn = np.arange(len(clean)) % len(noises)"),
        ("films changed", DRAWN, DRAWN + "; clean[...] = clean[::-1].copy()"),
        ("noises changed", DRAWN, "rng.shuffle(noises); " + DRAWN),
        ("noise on the normalised film", PAIR,
         "x = normalise(clean); return x + 0.2 * rng.standard_normal(x.shape).astype(np.float32), x"),
        ("input alone", PAIR, "return normalise(noisy)"),
        ("statistics of the first film", PAIR,
         "return normalise(noisy), normalise(clean, like=np.repeat(noisy[:1], len(noisy), axis=0))"),
        ("never the last noise", DRAWN, "drawn = rng.integers(max(1, len(noises) - 1), size=len(clean))"),
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
        ("loss after the step", "return float(loss)",
         "return float(mse(network.forward(x, training=True), t)[0])"),
        ("x changed", FORWARD, "x += 0.0 * t; x *= 1.0000001; y = network.forward(x, training=True)"),
        ("an array for the loss", "return float(loss)", "return loss"),
        ("gradients forgotten in the middle", "optimizer.step()",
         "network.zero_gradients()\n    optimizer.step()"),
        ("two steps", "optimizer.step()", "optimizer.step()\n    optimizer.step()"),
        ("mean of the batch forgotten", "network.backward(dy)", "network.backward(dy * len(x))"),
        ("nothing kept", FORWARD, "y = network.forward(x, training=True, keep=False)"),
    ],
    "restored": [
        ("not normalised", "x = normalise(noisy)", "x = noisy[..., None]"),
        ("not brought back", "return denormalise(y, noisy)", "return y[..., 0]"),
        ("in training", USED, "y = network.forward(x, training=True)"),
        ("statistics of the output", "return denormalise(y, noisy)", "return denormalise(y, y[..., 0])"),
        ("residual added", "return denormalise(y, noisy)", "return denormalise(y + x, noisy)"),
        ("not returned", "return denormalise(y, noisy)", "denormalise(y, noisy)"),
        ("films changed", "x = normalise(noisy)", "noisy -= noisy.mean(); x = normalise(noisy)"),
        ("statistics of the first film", "return denormalise(y, noisy)",
         "return denormalise(y, np.repeat(noisy[:1], len(noisy), axis=0))"),
        ("cut off below", "return denormalise(y, noisy)", "return denormalise(np.maximum(y, 0), noisy)"),
        ("channel axis kept", "return denormalise(y, noisy)", "return denormalise(y, noisy)[..., None]"),
        ("statistics of all pixels", "return denormalise(y, noisy)",
         "mu, sd = (f(noisy, axis=(1, 2), keepdims=True) for f in (np.mean, np.std))\n"
         "    return np.clip(y[..., 0] * 4 * sd + mu, 0, 255)"),
        ("not clipped", "return denormalise(y, noisy)",
         "film = np.where(noisy > 8, noisy, np.nan)\n"
         "    mu, sd = (f(film, axis=(1, 2), keepdims=True) for f in (np.nanmean, np.nanstd))\n"
         "    return (y[..., 0] * 4 * sd + mu).astype(np.float32)"),
        ("left frozen", USED, "network.freeze(); " + USED),
    ],
}  # fmt: skip

MESSAGES = {
    "add_noise": {
        "uniform of the right deviation": "from which distribution",
        "normal of Poisson's deviation": "whole photons",
        "another exception": "it raised KeyError",
    },
    "training_pair": {
        "noises changed": "changed the list of noises",
    },
    "source_step": {
        "x changed": "changed x in place",
    },
    "restored": {
        "in training": "inference mode",
    },
}

RIGHT = {
    "add_noise": [
        ("normal with its own arguments", GAUSSIAN, "noisy = rng.normal(images, level)"),
        ("photons first", POISSON,
         "photons = images / 255 * level; noisy = rng.poisson(photons) / level * 255"),
        ("minimum and maximum", CLIP, "return np.minimum(np.maximum(noisy, 0), 255).astype(np.float32)"),
        ("method clip", CLIP, "return noisy.clip(0, 255).astype('float32')"),
        ("in place, of its own array", GAUSSIAN,
         "images += level * rng.standard_normal(images.shape); noisy = images"),
        ("drawn as float32", "rng.standard_normal(images.shape)",
         "rng.standard_normal(images.shape, np.float32)"),
    ],
    "training_pair": [
        ("a loop", PAIR, "x = np.concatenate([normalise(noisy[n : n + 1]) for n in range(len(noisy))])\n"
         "    return x, normalise(clean, like=noisy)"),
        ("drawn by choice", DRAWN, "drawn = rng.choice(len(noises), len(clean))"),
        ("drawn one at a time", DRAWN, "drawn = [int(rng.integers(len(noises))) for _ in clean]"),
        ("a list", PAIR, "return [normalise(noisy), normalise(clean, like=noisy)]"),
    ],
    "source_step": [
        ("no gradient for the film", "network.backward(dy)", "network.backward(dy, input_gradient=False)"),
        ("forgotten just before the way back", "network.backward(dy)",
         "network.zero_gradients()\n    network.backward(dy)"),
        ("called", FORWARD, "y = network(x, True)"),
        ("read by item", "return float(loss)", "return loss.item()"),
        ("forgotten afterwards", "optimizer.step()", "optimizer.step()\n    network.zero_gradients()"),
    ],
    "restored": [
        ("kept for nothing", USED, "y = network.forward(x)"),
        ("one at a time", "return denormalise(y, noisy)",
         "parts = [denormalise(y[n : n + 1], noisy[n : n + 1]) for n in range(len(noisy))]\n"
         "    return np.concatenate(parts)"),
        ("in one line", "return denormalise(y, noisy)",
         "return denormalise(network.forward(normalise(noisy), training=False, keep=False), noisy)"),
    ],
}  # fmt: skip
