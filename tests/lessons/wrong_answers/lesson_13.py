"""What students get wrong in lesson 13: (name, a piece of the solution, what stands in its place)."""

WEIGHT = "total = total + gradient * (n / sum(sizes))"
REDUCE = "ring.chunk(r, (r - 1 - i) % P)[...] += got[r]"
GATHER = "ring.chunk(r, (r - i) % P)[...] = got[r]"
MEAN = "mean = total([x.sum(axis=0) for x in xs]) / M"
VAR = "var = total([((x - mean) ** 2).sum(axis=0) for x in xs]) / M"
MEAN_DY = "mean_dy = total([dy.sum(axis=0) for dy in dys]) / M"
DX = "gamma * rstd * (dy - mean_dy - xhat * along) for"

WRONG = {
    "mean_gradient": [
        ("plain mean", WEIGHT, "total = total + gradient / len(sizes)"),
        ("sum", WEIGHT, "total = total + gradient"),
        ("weighted, not divided", WEIGHT, "total = total + gradient * n"),
        ("changes the first in place", WEIGHT,
         "gradient *= n / sum(sizes)\n        total = total + gradient"),
    ],
    "ring_sum": [
        ("replaces instead of adding", REDUCE, REDUCE.replace("+=", "=")),
        ("adds to the chunk that it sends", REDUCE, "ring.chunk(r, (r - i) % P)[...] += got[r]"),
        ("adds in the second half, too", GATHER, GATHER.replace("] = ", "] += ")),
        ("gathers the wrong chunk", "ring.pass_on([(r + 1 - i) % P for r in range(P)])",
         "ring.pass_on([(r - i) % P for r in range(P)])"),
        ("a round too many", "for i in range(P - 1):\n        got = ring.pass_on([(r + 1",
         "for i in range(P):\n        got = ring.pass_on([(r + 1"),
        ("first half alone", GATHER, "pass"),
    ],
    "batch_statistics": [
        ("mean of means", MEAN, "mean = total([x.mean(axis=0) for x in xs]) / len(xs)"),
        ("own means in the variance", VAR,
         "var = total([((x - x.mean(axis=0)) ** 2).sum(axis=0) for x in xs]) / M"),
        ("deviation", VAR, VAR + "\n    var = var**0.5"),
        ("mean of variances", VAR, "var = total([x.var(axis=0) for x in xs]) / len(xs)"),
        ("divided by M - 1", VAR, VAR.replace("/ M", "/ (M - 1)")),
        ("no wire", MEAN, "mean = np.concatenate(xs).mean(axis=0)"
         "\n    return mean, np.concatenate(xs).var(axis=0)"),
        ("films through the wire", MEAN,
         "mean = total([np.concatenate(xs) for _ in xs]).mean(axis=0) / len(xs)"),
    ],
    "norm_backward": [
        ("own means", MEAN_DY, "mean_dy = dys[0].mean(axis=0)"),
        ("sum for the mean", MEAN_DY, MEAN_DY.replace(" / M", "")),
        ("mean forgotten", DX, "gamma * rstd * (dy - xhat * along) for"),
        ("variance forgotten", DX, "gamma * rstd * (dy - mean_dy) for"),
        ("gamma forgotten", DX, "rstd * (dy - mean_dy - xhat * along) for"),
        ("dy for xhat", "along = total([(dy * xhat).sum", "along = total([(dy * dy).sum"),
    ],
}  # fmt: skip
