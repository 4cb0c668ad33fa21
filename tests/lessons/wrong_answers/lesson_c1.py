"""What students get wrong in capstone 1: (name, a piece of the solution, what stands in its place)."""

MEAN = "return squares.mean(axis=(2, 4), dtype=np.float32)"
SQUARES = "squares = images.reshape(N, H // factor, factor, W // factor, factor)"
PLACE = "place = np.clip((np.arange(length * factor) + 0.5) / factor - 0.5, 0, length - 1)"
TALL = "tall = (1 - weight) * small[:, first] + weight * small[:, second]"
SHARP = "sharp = self.images[self.rows[chosen]]"
DRAWN = "self.drawn = rng.choice(self.factors, len(rows)) if fixed else None"
ANEW = "factors = self.rng.choice(self.factors, len(sharp))"
PAIR = "return STANDARD.apply(coarse), STANDARD.apply(sharp, like=coarse)"
RNGS = "rngs = [np.random.default_rng([seed, k]) for k in range(3)]"
NETWORK = "network = denoising_autoencoder(rngs[0], width=width).to(device)"
LEARN = "kind(images, train, rngs[1])"
FIXED = "kind(images, validation, rngs[2], fixed=True)"
OUTPUT = "output = network.forward(STANDARD.apply(coarse), keep=False)"
GAIN = "return psnr(images, STANDARD.restore(output, coarse)) - psnr(images, coarse)"
COPY = "encoder, decoder = copy_network(source)"
ROWS = '(labelled, films.rows["validation"])'
IOU = "return float(segmentation.iou(films.masks[test] > 0, logits[..., 0] > 0).mean())"
LABELLED = "labelled = np.random.default_rng([seed, 0]).choice(pool, n, replace=False)"
VALUE = "value = score(source, labelled, np.random.default_rng([seed, 1]))"
HALF = "half = quantile * d.std(ddof=1) / np.sqrt(len(d))"
QUANTILE = "quantile = student_t.ppf((1 + level) / 2, len(d) - 1)"

WRONG = {
    "shrink": [
        ("one pixel of each square", MEAN, "return squares[:, :, 0, :, 0].astype(np.float32)"),
        ("axes exchanged", SQUARES,
         "squares = images.reshape(N, factor, H // factor, factor, W // factor)"),
        ("means of rows alone", MEAN,
         "return squares.mean(axis=2, dtype=np.float32)[:, :, :, 0]"),
        ("float64", MEAN, "return squares.mean(axis=(2, 4))"),
        ("whole numbers", MEAN, "return squares.mean(axis=(2, 4)).astype(int).astype(np.float32)"),
        ("sum", MEAN, "return squares.sum(axis=(2, 4), dtype=np.float32)"),
        ("cut off instead of refused", "if H % factor or W % factor:",
         "images = images[:, : H - H % factor, : W - W % factor]\n    N, H, W = images.shape\n    if False:"),
        ("refused by an assertion", "raise ValueError(f\"sides of", "raise AssertionError(f\"sides of"),
    ],
    "enlarge": [
        ("corners for centres", PLACE,
         "place = np.clip(np.arange(length * factor) / factor, 0, length - 1)"),
        ("corners on corners", PLACE, "place = np.linspace(0, length - 1, length * factor)"),
        ("not held at the edge", PLACE,
         "place = (np.arange(length * factor) + 0.5) / factor - 0.5"),
        ("weights exchanged", TALL, "tall = weight * small[:, first] + (1 - weight) * small[:, second]"),
        ("nearest", "(place - first).astype(np.float32)", "np.round(place - first).astype(np.float32)"),
        ("repeated", "(place - first).astype(np.float32)", "np.zeros(len(place), np.float32)"),
        ("one axis' size for both", "_neighbours(small.shape[2], factor)",
         "_neighbours(small.shape[1], factor)"),
        ("float64", "(place - first).astype(np.float32)", "place - first"),
        ("two neighbours needed", "second = np.minimum(first + 1, length - 1)",
         "second = first + 1"),
    ],
    "examples": [
        ("target by its own statistics", PAIR, "return STANDARD.apply(coarse), STANDARD.apply(sharp)"),
        ("input by the film's", PAIR,
         "return STANDARD.apply(coarse, like=sharp), STANDARD.apply(sharp, like=sharp)"),
        ("exchanged", PAIR, "return STANDARD.apply(sharp), STANDARD.apply(coarse, like=sharp)"),
        ("rows ignored", SHARP, "sharp = self.images[chosen]"),
        ("sorted", SHARP, "sharp = self.images[self.rows[np.sort(chosen)]]"),
        ("one factor for the batch", ANEW,
         "factors = np.full(len(sharp), self.rng.choice(self.factors))"),
        ("always the first factor", ANEW, "factors = np.full(len(sharp), self.factors[0])"),
        ("chance of its own", ANEW,
         "factors = np.random.default_rng().choice(self.factors, len(sharp))"),
        ("fixed forgotten", DRAWN, "self.drawn = None"),
        ("always fixed", DRAWN, "self.drawn = rng.choice(self.factors, len(rows))"),
        ("fixed by place in the batch", "factors = self.drawn[chosen]",
         "factors = self.drawn[: len(sharp)]"),
        ("all images counted", "return len(self.rows)", "return len(self.images)"),
        ("empty accepted", "if len(rows) == 0:", "if False:"),
        ("any factor accepted", "if images.shape[1] % factor or images.shape[2] % factor:", "if False:"),
        ("factors of its own", "self.factors = np.array(factors)", "self.factors = np.array((2, 4))"),
    ],
    "train_source": [
        ("network drawn last", NETWORK, "kind(images, train, rngs[0])\n    " + NETWORK),
        ("seed ignored", RNGS, "rngs = [np.random.default_rng([0, k]) for k in range(3)]"),
        ("no seed", RNGS, "rngs = [np.random.default_rng() for k in range(3)]"),
        ("validation not fixed", FIXED, "kind(images, validation, rngs[2])"),
        ("validated by what it learns", FIXED, "kind(images, train, rngs[2], fixed=True)"),
        ("learns the same noise", LEARN, "kind(images, train, rngs[1], fixed=True)"),
        ("Adam", "        RMSprop,\n", ""),
        ("not trained", "train_task(task,", "(task,"),
        ("width ignored", "width=width).to", "width=0.25).to"),
        ("overlap accepted", "if np.intersect1d(train, validation).size:", "if False:"),
        ("not returned", "return network.map_arrays(to_numpy)", "network.map_arrays(to_numpy)"),
        ("encoder alone", "return network.map_arrays(to_numpy)", "return network.layers[0]"),
    ],
    "gain": [
        ("in training", OUTPUT, "output = network.forward(STANDARD.apply(coarse), training=True)"),
        ("not normalised", OUTPUT, "output = network.forward(coarse[..., None], keep=False)"),
        ("sees the film", OUTPUT, "output = network.forward(STANDARD.apply(images), keep=False)"),
        ("statistics of the film", GAIN,
         "return psnr(images, STANDARD.restore(output, images)) - psnr(images, coarse)"),
        ("sign", GAIN, "return psnr(images, coarse) - psnr(images, STANDARD.restore(output, coarse))"),
        ("not a difference", GAIN, "return psnr(images, STANDARD.restore(output, coarse))"),
        ("mean alone", GAIN,
         "return np.mean(psnr(images, STANDARD.restore(output, coarse)) - psnr(images, coarse))"),
        ("one factor", "coarse = enlarge(shrink(images, factor), factor)\n    output",
         "coarse = enlarge(shrink(images, 2), 2)\n    output"),
    ],
    "head_score": [
        ("source itself", COPY, "encoder, decoder = source"),
        ("head alone a copy", COPY, "encoder, decoder = source.layers[0], copy_network(source.layers[1])"),
        ("validates by the test films", ROWS, '(labelled, films.rows["test"])'),
        ("learns from all", ROWS, '(films.rows["train"], films.rows["validation"])'),
        ("scored on what it validates by", 'test = films.rows["test"]', 'test = films.rows["validation"]'),
        ("border at one half of the sigmoid twice", IOU,
         "return float(segmentation.iou(films.masks[test] > 0, logits[..., 0] > 0.5).mean())"),
        ("accuracy", IOU,
         "return float(segmentation.accuracy(films.masks[test], logits[..., 0] > 0).mean())"),
        ("one for each film", IOU, "return segmentation.iou(films.masks[test] > 0, logits[..., 0] > 0)"),
        ("other loss", "bce_dice, learning", "mse, learning"),
        ("chance of its own", "training = Training(settings, rng, device",
         "training = Training(settings, np.random.default_rng(), device"),
    ],
    "compare": [
        ("other films for each source",
         LABELLED + "\n        for name, source in sources.items():\n",
         "rng = np.random.default_rng([seed, 0])\n        for name, source in sources.items():\n"
         "            labelled = rng.choice(pool, n, replace=False)\n"),
        ("one generator for all sources",
         LABELLED + "\n        for name, source in sources.items():\n            " + VALUE,
         LABELLED + "\n        rng = np.random.default_rng([seed, 1])\n"
         "        for name, source in sources.items():\n            value = score(source, labelled, rng)"),
        ("with replacement", LABELLED,
         "labelled = np.random.default_rng([seed, 0]).choice(pool, n)"),
        ("seed ignored", LABELLED, "labelled = np.random.default_rng(0).choice(pool, n, replace=False)"),
        ("chance of the score ignores the seed", VALUE,
         "value = score(source, labelled, np.random.default_rng(1))"),
        ("chance of the score by the place of the seed", VALUE,
         "value = score(source, labelled, np.random.default_rng([1, len(scores[name])]))"),
        ("numbers for rows", LABELLED,
         "labelled = np.random.default_rng([seed, 0]).choice(len(pool), n, replace=False)"),
        ("shuffles the pool", LABELLED,
         "np.random.default_rng([seed, 0]).shuffle(pool)\n        labelled = pool[:n].copy()"),
        ("means", "name: np.array(values) for", "name: np.mean(values) for"),
        ("lists", "name: np.array(values) for", "name: values for"),
    ],
    "paired_interval": [
        ("not paired", HALF,
         "half = quantile * np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(d))"),
        ("divided by S", HALF, "half = quantile * d.std() / np.sqrt(len(d))"),
        ("deviation of one", HALF, "half = quantile * d.std(ddof=1)"),
        ("normal", QUANTILE, "quantile = 1.96"),
        ("one-sided", QUANTILE, "quantile = student_t.ppf(level, len(d) - 1)"),
        ("S degrees of freedom", QUANTILE, "quantile = student_t.ppf((1 + level) / 2, len(d))"),
        ("level ignored", QUANTILE, "quantile = student_t.ppf(0.975, len(d) - 1)"),
        ("sign", "d = a - b", "d = b - a"),
        ("one pair accepted", "or len(a) < 2:", "or False:"),
        ("repeated to fit", "if a.shape != b.shape or a.ndim != 1", "if a.ndim != 1"),
        ("any level", "if not 0 < level < 1:", "if False:"),
        ("list", "return float(d.mean()), float(d.mean() - half), float(d.mean() + half)",
         "return [float(d.mean()), float(d.mean() - half), float(d.mean() + half)]"),
    ],
}  # fmt: skip
