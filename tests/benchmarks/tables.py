"""The benchmark's tables, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from statistics import geometric_mean
from typing import NamedTuple

from cases import flops
from record import RIVALS, Result
from with_ums import LADDER

KINDS = {"step": "training step", "inference": "inference"}


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Markdown, the first column to the left, the others to the right."""
    rule = [":--", *["--:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]


def digits(value: float) -> str:
    """With one digit after the point below 100, two below 10, three below 1."""
    return f"{value:.{(value < 100) + (value < 10) + (value < 1)}f}"


def ms(seconds: float) -> str:
    return digits(seconds * 1e3)


def spread(ratio: tuple[float, float, float]) -> list[str]:
    middle, low, high = ratio
    return [f"**{middle:.2f}**", f"{low:.2f} to {high:.2f}"]


def _against_torch(results, rate) -> list[list[str]]:
    rows = []
    for result in results:
        done = flops(result.case)
        speed = done / result.median("ums") if done else None
        rows.append(
            [
                named(result),
                ms(result.median("ums")),
                ms(result.median(result.rival)),
                *spread(result.ratio()),
                f"{speed / 1e9:.0f}" if speed else "",
                f"{speed / rate:.0%}" if speed else "",
                f"{result.peak_mib['ums']:.0f}",
                f"{result.peak_mib[result.rival]:.0f}",
            ]
        )
    return rows


AGAINST = ["ums, ms", "PyTorch, ms", "ratio", "of single turns", "GFLOP/s", "of the product"]
AGAINST += ["peak, MiB", "PyTorch's"]


def against_torch(title: str, results, rate) -> list[str]:
    """Times, ratios and memory beside PyTorch's."""
    return [title, "", *table(["", *AGAINST], _against_torch(results, rate))]


def one_convolution(results, rate) -> list[str]:
    """What else one might write."""
    names = {"loop": "a loop over pixels", LADDER[0]: "windows of the whole batch",
             "ums": "ums", "torch": "PyTorch", "torch channels_last": "channels_last"}  # fmt: skip
    rows = [
        [r.case.name, *(f"{ms(r.median(c))} ({r.ratio(c, 'ums')[0]:.2g})" for c in names)]
        for r in results
    ]
    head = ["forward, ms (times ums's)", *names.values()]
    return ["### One convolution, several ways", "", *table(head, rows)]


def ladder(results, rate) -> list[str]:
    """One idea after the other."""
    (result,) = results
    rows = []
    for i, name in enumerate(LADDER):
        time, before = result.median(name), result.median(LADDER[max(0, i - 1)])
        peak = f"{result.peak_mib[name]:.0f}"
        rows.append([name, ms(time), f"{before / time:.2f}" if i else "", peak])
    head = ["the autoencoder's training step", "ms", "times faster", "peak, MiB"]
    return ["### What each idea buys", "", *table(head, rows)]


def frozen(results, rate) -> list[str]:
    """Features computed once."""
    (result,) = results
    every = "ums, encoder every time"
    ratio = spread(result.ratio(every, "ums"))
    row = [f"{8 * result.case.batch} images", ms(result.median(every)), ms(result.median("ums"))]
    head = ["an epoch of a classification head", "through the frozen encoder, ms"]
    head += ["on kept features, ms", "times faster", "of single turns"]
    return ["### Frozen means free", "", *table(head, [[*row, *ratio]])]


def per_pixel(result, contestant: str) -> float:
    """Nanoseconds for each pixel of the batch."""
    case = result.case
    return result.median(contestant) / (case.batch * case.side**2) * 1e9


def scaling(by: str, title: str, results, rate) -> list[str]:
    """Cost per pixel against the side or the batch."""
    rows = [
        [
            str(getattr(r.case, by)),
            ms(r.median("ums")),
            ms(r.median(r.rival)),
            *spread(r.ratio()),
            digits(per_pixel(r, "ums")),
            digits(per_pixel(r, r.rival)),
        ]
        for r in results
    ]
    head = [by, "ums, ms", "PyTorch, ms", "ratio", "of single turns", "ums, ns per pixel"]
    return [title, "", *table([*head, "PyTorch's"], rows)]


def paper(results: list[Result]) -> list[Result]:
    """Those of images and batches as large as the paper's."""
    return [r for r in results if (r.case.side, r.case.batch) == (256, 16)]


def networks(results: list[Result], rate: float) -> list[str]:
    """Beside PyTorch at the paper's size, then all sizes and peers."""
    text = []
    if large := paper(results):
        text += [*against_torch("### Networks, 256 x 256, batch 16", large, rate), ""]
    if len(results) == len(large):
        return text[:-1]
    return [*text, *each_peer(results), "", *all_cells(results)]


def each_peer(results: list[Result]) -> list[str]:
    """ums beside each peer, over all networks and sizes."""
    rows = []
    for peer, name in RIVALS.items():
        if ratios := [r.ratio(to=peer)[0] for r in results if peer in r.times]:
            fastest = sum(r.best == peer for r in results)
            mean, extremes = geometric_mean(ratios), f"{min(ratios):.2f} to {max(ratios):.2f}"
            rows.append([name, f"**{mean:.2f}**", extremes, f"{fastest} of {len(ratios)}"])
    head = [
        "ums beside",
        "geometric mean of the ratios",
        "least to greatest",
        "it is the fastest peer in",
    ]
    return ["### Networks of all sizes, by peer", "", *table(head, rows)]


def all_cells(results: list[Result]) -> list[str]:
    """Milliseconds of everyone, network by network and size by size."""
    peers = [peer for peer in RIVALS if any(peer in r.times for r in results)]
    rows = []
    for r in results:
        times = [ms(r.median(peer)) if peer in r.times else "" for peer in peers]
        row = [named(r), f"{r.case.side}", f"{r.case.batch}"]
        row += [ms(r.median("ums")), *times, *spread(r.ratio())]
        rows.append([*row, f"**{r.ratio(to=r.best)[0]:.2f}**"])
    head = ["milliseconds", "side", "batch", "ums", *(RIVALS[peer] for peer in peers)]
    head += ["ums / PyTorch's better", "of single turns", "ums / best peer"]
    return ["### Networks of all sizes", "", *table(head, rows)]


def all_ops(results: list[Result], rate: float) -> list[str]:
    """Beside PyTorch at the paper's size, then the ratios at all sizes."""
    text = []
    if large := paper(results):
        text += [*against_torch("### Ops, forward and backward, batch 16", large, rate), ""]
    if len(results) == len(large):
        return text[:-1]
    title = "### Ops, forward and backward, all sizes"
    ratios = by_size("ums / PyTorch's better", [results], lambda r: r.ratio()[0])
    return [*text, title, "", *ratios]


def by_size(what: str, runs: Sequence[list[Result]], ratio: Callable[[Result], float]) -> list[str]:
    """A ratio of each network or op, a row for each, at all sizes; those of several runs side by side."""
    cells = list(dict.fromkeys((r.case.side, r.case.batch) for r in runs[0]))
    rows: dict[str, dict] = {}
    for r in chain.from_iterable(runs):
        row = rows.setdefault(named(r), {})
        row.setdefault((r.case.side, r.case.batch), []).append(f"{ratio(r):.2f}")
    head = [what, *(f"{side} px, batch {n}" for side, n in cells)]
    return table(
        head, [[name, *(" / ".join(row.get(c, [])) for c in cells)] for name, row in rows.items()]
    )


def named(result: Result) -> str:
    """A network with what was done, or an op."""
    case = result.case
    return f"{case.name}, {KINDS[case.kind]}" if case.kind in KINDS else case.name


class Measured(NamedTuple):
    """A number, the limit it should keep to, and where it was found."""

    what: str
    limit: float
    value: float
    where: str = ""


def targets(results: dict[str, list[Result]]) -> Iterator[Measured]:
    """What the targets speak of, as far as it was measured."""
    cells, ops = results.get("networks", []), results.get("ops", [])
    if cells:
        eager, best = [r.ratio()[0] for r in cells], [r.ratio(to=r.best)[0] for r in cells]
        yield Measured(f"{MEAN} / PyTorch's better layout", 0.8, geometric_mean(eager))
        yield Measured(f"{MEAN} / best peer", 1.0, geometric_mean(best))
        worst = max(cells, key=lambda r: r.ratio()[0])
        yield Measured(
            "worst network, ums / PyTorch's better layout", 1.3, max(eager), place(worst)
        )
    steps = {(r.case.side, r.case.batch): r for r in cells
             if (r.case.name, r.case.kind) == ("autoencoder", "step")}  # fmt: skip
    if large := steps.get((256, 16)):
        what = "autoencoder, training step, 256 px, batch 16, ums / PyTorch's better layout"
        yield Measured(what, 0.5, large.ratio()[0])
    if ops:
        worst = max(ops, key=lambda r: r.ratio()[0])
        what = "worst op, ums / PyTorch's better layout"
        yield Measured(what, 1.3, worst.ratio()[0], place(worst))
    if large and (small := steps.get((64, 16))):
        what = "autoencoder, training step, batch 16, cost per pixel at 64 px / at 256 px"
        yield Measured(what, 1.3, per_pixel(small, "ums") / per_pixel(large, "ums"))


MEAN = "geometric mean over all networks and sizes, ums"


def place(result: Result) -> str:
    """Which case it was."""
    return f"{named(result)}, {result.case.side} px, batch {result.case.batch}"


def summary(runs: Sequence[dict[str, list[Result]]]) -> list[str]:
    """Each target beside what was measured in each run, met if it was in all; and all networks' ratios."""
    rows = []
    for group in zip(*map(targets, runs), strict=False):
        said = [f"**{one.value:.2f}**" + f" ({one.where})" * bool(one.where) for one in group]
        met = all(one.value <= one.limit for one in group)
        rows.append([group[0].what, f"{group[0].limit:g}", *said, "yes" if met else "no"])
    measured = [f"run {i + 1}" for i in range(len(runs))] if len(runs) > 1 else ["measured"]
    text = ["### Targets", "", *table(["", "at most", *measured, "met"], rows)] if rows else []
    cells = [run.get("networks", []) for run in runs]
    if all(len(results) > len(paper(results)) for results in cells):
        text += ["", "### Networks of all sizes, each run", ""]
        text += by_size("ums / PyTorch's better", cells, lambda r: r.ratio()[0])
        text += ["", *by_size("ums / best peer", cells, lambda r: r.ratio(to=r.best)[0])]
    return text


TABLES = {
    "networks": networks,
    "ops": all_ops,
    "convolution": one_convolution,
    "ladder": ladder,
    "frozen": frozen,
    "sides": partial(
        scaling, "side", "### The autoencoder's training step by image side, batch 16"
    ),
    "batches": partial(scaling, "batch", "### The autoencoder's training step by batch, 128 x 128"),
}
