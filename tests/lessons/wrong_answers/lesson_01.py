"""What students hand in for lesson 1: (name, a piece of the solution, what stands in its place)."""

EXPOSED = "images[n][film[n]].mean(), images[n][film[n]].std()"
DRAWN = "testing = np.isin(patients, drawn)"
SHOWN = """    if kind == "MONOCHROME1":
        return 255 - pixels
    if kind == "MONOCHROME2":
        return pixels
    raise ValueError(f"neither MONOCHROME1 nor MONOCHROME2: {kind!r}")
"""
NORMALISE = """    x = np.zeros(images.shape, np.float32)
    for n in range(len(images)):
        mu, sigma = images[n][film[n]].mean(), images[n][film[n]].std()
        off_film = min(-1, -mu / (4 * sigma))
        x[n] = np.where(film[n], (images[n] - mu) / (4 * sigma), off_film)
    return x[..., None]
"""
SPLIT = """    names = np.unique(patients)
    drawn = rng.permutation(names)[: round(share * len(names))]
    testing = np.isin(patients, drawn)
    return np.flatnonzero(~testing), np.flatnonzero(testing)
"""
SIDES = "return np.flatnonzero(~testing), np.flatnonzero(testing)"
REFUSE = 'raise ValueError(f"neither MONOCHROME1 nor MONOCHROME2: {kind!r}")'
COUNT = "round(share * len(names))"

WRONG = {
    "as_shown": [
        ("not inverted", "return 255 - pixels", "return pixels"),
        ("off by one", "return 255 - pixels", "return 0 - pixels"),
        ("the sign alone", "return 255 - pixels", "return -pixels"),
        ("64-bit integers", "return 255 - pixels", "return 255 - pixels.astype(int)"),
        ("fractions", "return 255 - pixels", "return 255.0 - pixels"),
        ("kinds exchanged", 'if kind == "MONOCHROME1":', 'if kind != "MONOCHROME1":'),
        ("inverted in place", "return 255 - pixels", "pixels[...] = 255 - pixels; return pixels"),
        ("inverted about its own maximum", "return 255 - pixels", "return pixels.max() - pixels"),
        ("inverted about its own range", "return 255 - pixels",
         "return pixels.max() + pixels.min() - pixels"),
        ("unknown kind guessed", 'raise ValueError(f"neither', 'return pixels  # (f"neither'),
        ("part of the kind's name", 'if kind == "MONOCHROME1":', 'if "MONOCHROME1" in kind:'),
        ("beginning of the kind's name", 'if kind == "MONOCHROME2":', 'if kind.startswith("MONO"):'),
        ("another exception", REFUSE, "raise KeyError(kind)"),
        ("exception returned", REFUSE, "return ValueError(kind)"),
        ("printed", "return 255 - pixels", "print(255 - pixels)"),
    ],
    "normalise": [
        ("statistics of the batch", EXPOSED, "images[film].mean(), images[film].std()"),
        ("border counted", EXPOSED, "images[n].mean(), images[n].std()"),
        ("border counted in the deviation", EXPOSED, "images[n][film[n]].mean(), images[n].std()"),
        ("inverted", "(images[n] - mu)", "(mu - images[n])"),
        ("factor 4 forgotten", "(images[n] - mu) / (4 * sigma)", "(images[n] - mu) / sigma"),
        ("variance for deviation", "images[n][film[n]].std()", "images[n][film[n]].var()"),
        ("by the range", EXPOSED, "images[n][film[n]].mean(), np.ptp(images[n][film[n]])"),
        ("median for the mean", EXPOSED, "np.median(images[n][film[n]]), images[n][film[n]].std()"),
        ("mean not subtracted", "(images[n] - mu)", "(images[n])"),
        ("precedence", "(images[n] - mu) / (4 * sigma)", "(images[n] - mu) / 4 * sigma"),
        ("border always -1", "min(-1, -mu / (4 * sigma))", "-1"),
        ("border never above -1", "min(-1, -mu / (4 * sigma))", "max(-1, -mu / (4 * sigma))"),
        ("border 0", "min(-1, -mu / (4 * sigma))", "0"),
        ("border by the formula", "np.where(film[n], (images[n] - mu) / (4 * sigma), off_film)",
         "(images[n] - mu) / (4 * sigma)"),
        ("channel axis forgotten", "return x[..., None]", "return x"),
        ("channel axis first", "return x[..., None]", "return x[:, None]"),
        ("float64", "return x[..., None]", "return x[..., None].astype(float)"),
        ("float16", "return x[..., None]", "return x[..., None].astype(np.float16)"),
        ("first image only", "range(len(images))", "range(1)"),
        ("not returned", "return x[..., None]", "x[..., None]"),
    ],
    "split_rows": [
        ("the order of a set", "names = np.unique(patients)", "names = np.array(list(set(patients)))"),
        ("rows drawn", "names = np.unique(patients)", "names = np.array(patients)"),
        ("rows split", DRAWN, "testing = rng.random(len(patients)) < share"),
        ("share of the rows", COUNT, "round(share * len(patients))"),
        ("always the first patients", "rng.permutation(names)", "names"),
        ("chance of its own", "rng.permutation(names)", "np.random.default_rng().permutation(names)"),
        ("a seed of its own", "rng.permutation(names)", "np.random.default_rng(0).permutation(names)"),
        ("rounded down", COUNT, "int(share * len(names))"),
        ("rounded up", COUNT, "int(np.ceil(share * len(names)))"),
        ("sides exchanged", SIDES, "return np.flatnonzero(testing), np.flatnonzero(~testing)"),
        ("sides of names", "np.flatnonzero(testing)", "patients[testing]"),
        ("masks", SIDES, "return ~testing, testing"),
        ("lists of numbers", SIDES,
         "return list(np.flatnonzero(~testing)), list(np.flatnonzero(testing))"),
        ("test side alone", SIDES, "return np.flatnonzero(testing)"),
        ("test rows in training too", "np.flatnonzero(~testing)", "np.arange(len(patients))"),
        ("patients drawn twice", "rng.permutation(names)[: round(share * len(names))]",
         "rng.choice(names, round(share * len(names)))"),
        ("patients shuffled in place", "names = np.unique(patients)",
         "rng.shuffle(patients)\n    names = np.unique(patients)"),
        ("rows of the drawn patients in their order", SIDES,
         "return np.flatnonzero(~testing), np.concatenate(\n"
         "        [np.flatnonzero(patients == name) for name in drawn]\n    )"),
    ],
}  # fmt: skip

MESSAGES = {
    "as_shown": {
        "inverted about its own maximum": "10, 100, 200",
        "another exception": "it raised KeyError",
        "inverted in place": "changed pixels in place",
        "fractions": "must be uint8, got float64",
    },
    "normalise": {"float16": "must be float32, got float16"},
    "split_rows": {
        "sides exchanged": "rows to train on first",
        "rounded down": "rounded 4; on your test side there are 3",
        "lists of numbers": r"got list\. For a list there is np\.array",
        "masks": "got bool",
        "patients shuffled in place": "changed patients in place",
        "rounded up": "rounded",
    },
}

RIGHT = {
    "as_shown": [
        ("bits inverted", "return 255 - pixels", "return ~pixels"),
        ("exclusive or", "return 255 - pixels", "return pixels ^ 255"),
        ("a function of NumPy", "return 255 - pixels", "return np.invert(pixels)"),
        ("through wider integers", "return 255 - pixels",
         "return (255 - pixels.astype(int)).astype(np.uint8)"),
        ("a table", "return 255 - pixels", "return np.arange(255, -1, -1, dtype=np.uint8)[pixels]"),
        ("a copy", 'if kind == "MONOCHROME2":\n        return pixels',
         'if kind == "MONOCHROME2":\n        return pixels.copy()'),
        ("refused first", SHOWN, """    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError
    return np.where(kind == "MONOCHROME1", 255 - pixels, pixels)
"""),
        ("a dictionary", SHOWN, """    try:
        return {"MONOCHROME1": 255 - pixels, "MONOCHROME2": pixels}[kind]
    except KeyError:
        raise ValueError(kind) from None
"""),
    ],
    "normalise": [
        ("masked arrays", NORMALISE, """    exposed = np.ma.masked_array(images.astype(float), ~film)
    mu = np.array(exposed.mean(axis=(1, 2)))[:, None, None]
    sigma = np.array(exposed.std(axis=(1, 2)))[:, None, None]
    x = np.where(film, (images - mu) / (4 * sigma), np.minimum(-1, -mu / (4 * sigma)))
    return x.astype(np.float32)[..., np.newaxis]
"""),
        ("not a number off the film", NORMALISE, """    exposed = np.where(film, images, np.nan)
    mu = np.nanmean(exposed, axis=(1, 2), keepdims=True)
    sigma = np.nanstd(exposed, axis=(1, 2), keepdims=True)
    x = np.where(film, images - mu, np.minimum(-4 * sigma, -mu)) / (4 * sigma)
    return np.expand_dims(x, 3)
"""),
        ("sums by hand", EXPOSED, "images[n][film[n]].sum() / film[n].sum(), np.sqrt(\n"
         "            ((images[n][film[n]] - images[n][film[n]].mean()) ** 2).mean()\n        )"),
        ("a list of films", NORMALISE, """    inputs = []
    for image, exposed in zip(images, film):
        mu, sigma = image[exposed].mean(), image[exposed].std()
        x = (image - mu) / (4 * sigma)
        x[~exposed] = min(-1, -mu / (4 * sigma))
        inputs.append(x.reshape(*x.shape, 1))
    return np.array(inputs, dtype=np.float32)
"""),
    ],
    "split_rows": [
        ("a list of two", SIDES, "return [np.flatnonzero(~testing), np.flatnonzero(testing)]"),
        ("drawn by choice", "rng.permutation(names)[: round(share * len(names))]",
         "rng.choice(names, round(share * len(names)), replace=False)"),
        ("shuffled in place", SPLIT, """    names = sorted(set(patients))
    rng.shuffle(names)
    drawn = set(names[: round(share * len(names))])
    train = [row for row in range(len(patients)) if patients[row] not in drawn]
    test = [row for row in range(len(patients)) if patients[row] in drawn]
    return np.array(train), np.array(test)
"""),
        ("the last patients of an order", "rng.permutation(names)[: round(share * len(names))]",
         "names[rng.permutation(len(names))][-round(share * len(names)) :]"),
        ("set operations", SIDES,
         "rows = np.arange(len(patients))\n    return np.setdiff1d(rows, rows[testing]), rows[testing]"),
    ],
}  # fmt: skip
