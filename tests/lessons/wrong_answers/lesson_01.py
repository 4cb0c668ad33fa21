"""What students get wrong in lesson 1: (name, a piece of the solution, what stands in its place)."""

EXPOSED = "images[n][film[n]].mean(), images[n][film[n]].std()"
DRAWN = "testing = np.isin(patients, drawn)"

WRONG = {
    "as_shown": [
        ("not inverted", "return 255 - pixels", "return pixels"),
        ("off by one", "return 255 - pixels", "return 0 - pixels"),
        ("64-bit integers", "return 255 - pixels", "return 255 - pixels.astype(int)"),
        ("kinds exchanged", 'if kind == "MONOCHROME1":', 'if kind != "MONOCHROME1":'),
        ("inverted in place", "return 255 - pixels", "pixels[...] = 255 - pixels; return pixels"),
        ("unknown kind guessed", 'raise ValueError(f"neither', 'return pixels  # (f"neither'),
    ],
    "normalise": [
        ("statistics of the batch", EXPOSED, "images[film].mean(), images[film].std()"),
        ("border counted", EXPOSED, "images[n].mean(), images[n].std()"),
        ("inverted", "(images[n] - mu)", "(mu - images[n])"),
        ("factor 4 forgotten", "(images[n] - mu) / (4 * sigma)", "(images[n] - mu) / sigma"),
        ("variance for deviation", "images[n][film[n]].std()", "images[n][film[n]].var()"),
        ("border always -1", "min(-1, -mu / (4 * sigma))", "-1"),
        ("border by the formula", "np.where(film[n], (images[n] - mu) / (4 * sigma), off_film)",
         "(images[n] - mu) / (4 * sigma)"),
        ("channel axis forgotten", "return x[..., None]", "return x"),
        ("float64", "return x[..., None]", "return x[..., None].astype(float)"),
        ("not returned", "return x[..., None]", "x[..., None]"),
    ],
    "split_rows": [
        ("rows drawn", "names = np.unique(patients)", "names = np.array(patients)"),
        ("rows split", DRAWN, "testing = rng.random(len(patients)) < share"),
        ("share of the rows", "round(share * len(names))", "round(share * len(patients))"),
        ("always the first patients", "rng.permutation(names)", "names"),
        ("chance of its own", "rng.permutation(names)", "np.random.default_rng().permutation(names)"),
        ("sides of names", "np.flatnonzero(testing)", "patients[testing]"),
        ("test rows in training too", "np.flatnonzero(~testing)", "np.arange(len(patients))"),
    ],
}  # fmt: skip
