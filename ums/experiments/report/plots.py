"""The pictures of a study over folds: scores, gradients' angles, heat maps, and what sharing saves.

As in `ums.experiments.report.pictures`: plain arrays, lists and dicts in, a `report.Figure` out, a method in
its own colour, and `ValueError` where what belongs together differs in length.
"""

from math import ceil
from textwrap import fill

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.ticker import MaxNLocator

from ums.experiments.report.page import Figure
from ums.experiments.report.style import (
    INK,
    PAGE,
    SOFT,
    check_lengths,
    draw_outline,
    label_row,
    line_legend,
    method_colours,
    new_sheet,
    outline_legend,
    panel_titles,
    pixels,
    saved,
    show_image,
    stamp,
)

OUTLINES = (("white", "-"), ("#6fe3ff", (0, (3, 1.5))), ("#b6ff6f", ":"))


def fold_dots(groups, paper=None, xlabel="IoU", name="folds"):
    """Draw every fold's score, their mean with its interval, and the paper's, strategies in rows.

    groups: group, such as a hospital and a measure -> {strategy -> `report.Estimate`}, the same
    number of folds throughout a group. paper: group -> {strategy -> value}, where one is printed.
    xlabel: one for all groups, or group -> xlabel; groups of one label share their scale.
    """
    paper = {group: values for group, values in (paper or {}).items() if values}
    check_lengths("fold_dots", groups)
    for group, scores in groups.items():
        check_lengths(f"fold_dots, {group}", *[estimate.folds for estimate in scores.values()])
    for group, values in paper.items():
        if unknown := sorted(set(values) - set(groups.get(group, ()))):
            raise ValueError(f"fold_dots, {group}: no scores of {', '.join(unknown)}")
    strategies = list(dict.fromkeys(s for scores in groups.values() for s in scores))
    labels = {g: xlabel if isinstance(xlabel, str) else xlabel[g] for g in groups}
    limits = _limits(groups, paper, labels)
    colours = method_colours(strategies)
    columns = {1: 1, 2: 2, 4: 2, 6: 2, 8: 2}.get(len(groups), 3)
    rows = -(-len(groups) // columns)
    width = PAGE if columns > 1 else 6.8
    titles = panel_titles(groups, columns)
    height = 0.5 * len(strategies) + 0.8 + 0.15 * max(t.count("\n") for t in titles.values())
    with new_sheet(width, height * rows + 0.35) as sheet:
        sheet.get_layout_engine().set(h_pad=0.09, w_pad=0.08)
        axes = sheet.subplots(rows, columns, squeeze=False)
        for ax in axes.flat[len(groups) :]:
            ax.set_axis_off()
        for i, (group, scores) in enumerate(groups.items()):
            ax = axes.flat[i]
            ax.set_title(titles[group], loc="left", fontweight="bold")
            for row, strategy in enumerate(strategies):
                if strategy in scores:
                    theirs = paper.get(group, {}).get(strategy)
                    _draw_estimate(ax, row, scores[strategy], theirs, colours[strategy])
            ax.set_xlabel(labels[group])
            ax.set_xlim(*limits[labels[group]])
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.set_yticks(range(len(strategies)), strategies if i % columns == 0 else [])
            ax.set_ylim(len(strategies) - 0.4, -0.65)
            ax.grid(axis="x")
            ax.tick_params(left=False)
            ax.spines["left"].set_visible(False)
        line_legend(sheet, {k: v for k, v in ESTIMATES.items() if k != "paper" or paper})
        data = saved(sheet, "svg")
    every = [estimate for scores in groups.values() for estimate in scores.values()]
    counts = " or ".join(str(count) for count in sorted({len(e.folds) for e in every}))
    caption = f"A small dot is one fold (of {counts}), the large dot and the number their mean"
    if any(estimate.has_interval for estimate in every):
        caption += ", the line its 95 % bootstrap interval"
    caption += "; the diamond is the paper's figure." if paper else "."
    told = [
        f"{group}, {strategy} " + _told(estimate, paper.get(group, {}).get(strategy))
        for group, scores in groups.items()
        for strategy, estimate in scores.items()
    ]
    alt = f"Scores over folds, with 95 % intervals of the mean. {'; '.join(told)}."
    return Figure(name, data, caption, alt, width=pixels(width))


ESTIMATES = {
    "one fold": {"ls": "", "marker": "o", "ms": 4, "alpha": 0.55, "mew": 0},
    "mean over folds, 95 % interval": {"lw": 1.6, "marker": "o", "ms": 5.5},
    "paper": {"ls": "", "marker": "D", "ms": 6, "mfc": "none", "mec": INK, "mew": 1.2},
}


def _draw_estimate(ax, row, estimate, theirs, colour):
    """Draw one strategy's folds below, and its mean, interval and the paper's figure on a line."""
    dots, mean, diamond = ESTIMATES.values()
    below = row + 0.27 + 0.12 * (np.arange(len(estimate.folds)) % 2 - 0.5)
    ax.plot(estimate.folds, below, color=colour, **dots)
    if estimate.has_interval:
        ends = [estimate.low, estimate.high]
        ax.plot(ends, [row, row], color=colour, lw=mean["lw"], marker="|", ms=7, mew=mean["lw"])
    ax.plot(estimate.mean, row, color=colour, **mean, zorder=3)
    if not np.isnan(estimate.mean):
        written = {"ha": "center", "va": "bottom", "fontsize": 8}
        ax.text(estimate.mean, row - 0.17, f"{estimate.mean:.3f}", **written)
    if theirs is not None:
        ax.plot(theirs, row, **diamond, zorder=4)


def _limits(groups, paper, labels):
    """Return label -> the axis of its groups, a little longer than what is drawn there reaches."""
    values = {label: [] for label in labels.values()}
    for group, scores in groups.items():
        for strategy, estimate in scores.items():
            theirs = paper.get(group, {}).get(strategy, np.nan)
            values[labels[group]] += [*estimate.folds, estimate.low, estimate.high, theirs]
    ends = {label: (np.nanmin(all_), np.nanmax(all_)) for label, all_ in values.items()}
    rooms = {label: 0.08 * (high - low) or 0.05 for label, (low, high) in ends.items()}
    return {label: (low - rooms[label], high + rooms[label]) for label, (low, high) in ends.items()}


def _told(estimate, theirs):
    words = f"{estimate.mean:.3f}"
    if estimate.has_interval:
        words += f" [{estimate.low:.3f}, {estimate.high:.3f}]"
    words += f", folds {min(estimate.folds):.3f} to {max(estimate.folds):.3f}"
    return words + ("" if theirs is None else f", paper {theirs:g}")


def cosine_curves(cosines, name="cosines"):
    """Draw the cosine between two tasks' gradients over epochs, each fold and their mean.

    cosines: label -> one sequence over epochs per fold; folds may end at different epochs. The mean
    is over the folds still running, drawn thinner where some are not.
    """
    check_lengths("cosine_curves", cosines)
    for label, folds in cosines.items():
        check_lengths(f"cosine_curves, {label}", folds)
        if not all(map(len, folds)):
            raise ValueError(f"cosine_curves, {label}: a fold without epochs")
    colours = method_colours(cosines)
    means = {label: _mean_of_running(folds) for label, folds in cosines.items()}
    width = 7.2
    with new_sheet(width, 3.6) as sheet:
        ax = sheet.subplots()
        for label, folds in cosines.items():
            for fold in folds if len(folds) > 1 else ():
                ax.plot(range(1, len(fold) + 1), fold, color=colours[label], lw=0.7, alpha=0.45)
            mean, all_run = means[label], min(map(len, folds))
            epochs = np.arange(1, len(mean) + 1)
            ax.plot(epochs, mean, color=colours[label], lw=1.3, zorder=3)
            ax.plot(epochs[:all_run], mean[:all_run], color=colours[label], lw=2.4, zorder=3)
        values = [value for folds in cosines.values() for fold in folds for value in fold]
        _zero_line(ax, values)
        longest = max(map(len, means.values()))
        ax.set_xlim(1 - 0.02 * longest, 1.02 * longest)
        ax.set_xlabel("epoch")
        ax.set_ylabel("cosine of the gradients")
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        ax.grid(axis="y")
        entries = {label: {"color": colour, "lw": 2.2} for label, colour in colours.items()}
        several = any(len(folds) > 1 for folds in cosines.values())
        line_legend(sheet, entries | ({"one fold": {"lw": 0.7}} if several else {}))
        data = saved(sheet, "svg")
    caption = (
        "Cosine of the angle between two tasks' gradients on the shared encoder, mean over an epoch's "
        "steps: above 0 a step for one task lowers the other's loss too, below 0 it raises it."
    )
    if several:
        caption += " Bold: the mean over the folds still running, thinner once some have ended."
    told = [
        f"{label} {mean[0]:.3f} in the first epoch, {mean[-1]:.3f} in the last, mean "
        f"{np.nanmean(mean):.3f}, below 0 in {np.sum(mean < 0)} of {len(mean)} epochs"
        for label, mean in means.items()
    ]
    alt = f"Cosine between gradients over epochs, mean over folds: {'; '.join(told)}."
    return Figure(name, data, caption, alt, width=pixels(width))


def _mean_of_running(folds):
    """Return the mean at each epoch over the folds that reach it, NaN where none has a value."""
    longest = max(map(len, folds))
    table = np.full((len(folds), longest), np.nan)
    for row, fold in zip(table, folds, strict=True):
        row[: len(fold)] = fold
    count = np.sum(~np.isnan(table), axis=0)
    return np.where(count, np.nansum(table, axis=0) / np.maximum(count, 1), np.nan)


def _zero_line(ax, values):
    """Mark 0 and what the two sides of it mean, with room for the words on both."""
    low, high = min(0, np.nanmin(values)), max(0, np.nanmax(values))
    room = 0.2 * max(high - low, 0.01)
    ax.set_ylim(min(low - room / 3, -room), max(high + room / 3, room))
    ax.axhline(0, color=INK, lw=1.1)
    for words, up in (("help\neach other ↑", 1), ("work against\neach other ↓", -1)):
        place = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points"}
        side = "bottom" if up > 0 else "top"
        ax.annotate(words, (1, 0), (6, 5 * up), va=side, color=SOFT, fontsize=8.5, **place)


def heat_map_panel(images, maps, outlines, titles, inside, data_range=255.0, name="heat-maps"):
    """Show where each network looks: a column per image, a row per network below the image itself.

    images: (N, H, W); maps: network -> (N, H, W) in [0, 1]; titles: N strings. outlines: outline's
    name -> boolean masks (N, H, W), at most three, or the masks of the lungs alone. inside: network
    -> N shares of the map inside the first outline's masks, NaN where the map is 0 everywhere.
    """
    if not isinstance(outlines, dict):
        outlines = {"lungs": outlines}
    check_lengths(
        "heat_map_panel", images, titles, *maps.values(), *outlines.values(), *inside.values()
    )
    if len(outlines) > len(OUTLINES):
        raise ValueError(f"heat_map_panel: {len(outlines)} outlines; {len(OUTLINES)} can be drawn")
    if list(maps) != list(inside) or not maps:
        raise ValueError(f"heat_map_panel: maps of {list(maps)}, shares of {list(inside)}")
    if any(np.min(m) < 0 or np.max(m) > 1 + 1e-6 for m in maps.values()):
        raise ValueError("heat_map_panel: maps must lie in [0, 1]")
    N, (H, W) = len(images), np.shape(images)[1:3]
    where = next(iter(outlines))
    styles = dict(zip(outlines, OUTLINES, strict=False))
    area = np.mean(outlines[where], axis=(1, 2))
    side = min((PAGE - 0.8) / N, 2.4)
    width = max(side * N + 0.8, 4.6)
    with new_sheet(width, side * (1 + len(maps)) * H / W + 0.9) as sheet:
        axes = sheet.subplots(1 + len(maps), N, squeeze=False)
        label_row(axes[0, 0], "image")
        for column, title in enumerate(titles):
            axes[0, column].set_title(title)
            show_image(axes[0, column], images[column], data_range)
            stamp(axes[0, column], f"{where} {_percent(area[column])}")
        for row, (network, its) in zip(axes[1:], maps.items(), strict=True):
            label_row(row[0], fill(network, int(side * H / W / 0.072)))
            for column, ax in enumerate(row):
                grey = np.clip(np.asarray(images[column], np.float64) / data_range, 0, 1)
                ax.imshow(laid_over(grey, np.asarray(its[column], np.float64)))
                ax.set_axis_off()
                share = inside[network][column]
                stamp(ax, "no map" if np.isnan(share) else f"{_percent(share)} inside")
        for ax, column in zip(axes.flat, np.tile(np.arange(N), 1 + len(maps)), strict=True):
            for outline, masks in outlines.items():
                colour, style = styles[outline]
                draw_outline(ax, masks[column], colour, 1.2, style)
        _heat_bar(sheet, axes[1:])
        outline_legend(
            sheet, {o: c for o, (c, _) in styles.items()}, {o: s for o, (_, s) in styles.items()}
        )
        data = saved(sheet, "png")
    caption = (
        f"What speaks for the class each network gives the image, laid over it. The numbers are the "
        f"share of the map inside the outline ({where}), to be read beside the share of the image that "
        "lies inside, which stands in the first row."
    )
    words = [title.replace("\n", " ") for title in titles]
    told = [f"{title} {_percent(share)}" for title, share in zip(words, area, strict=True)]
    alt = f"Heat maps over {N} images. Share of the image inside ({where}): {', '.join(told)}. "
    alt += "Share of the map inside: " + "; ".join(
        f"{network} {', '.join(map(_percent, shares))}" for network, shares in inside.items()
    )
    return Figure(name, data, caption, alt + ".", width=pixels(width))


def _percent(share):
    return "none" if np.isnan(share) else f"{100 * share:.0f} %"


def laid_over(grey, heat):
    """Lay a heat map (H, W) in [0, 1] over a grey image in [0, 1]: (H, W, 3).

    From clear through magenta to yellow, which differ from each other and from greys in lightness
    or in blue, so that red-green blindness does not hide them; the image is dimmed below it.
    """
    colour = colormaps["plasma"](0.15 + 0.85 * heat)[..., :3]
    cover = 0.8 * heat[..., None] ** 0.7
    return (1 - cover) * 0.75 * grey[..., None] + cover * colour


def _heat_bar(sheet, axes):
    shades = ListedColormap(laid_over(np.full(256, 0.4), np.linspace(0, 1, 256)))
    bar = sheet.colorbar(ScalarMappable(cmap=shades), ax=axes, aspect=14 * len(axes), pad=0.015)
    bar.set_ticks([0, 1], labels=["0", "most"])
    bar.set_label("speaks for the class", labelpad=-20)
    bar.outline.set_visible(False)


def crossover(costs, xlabel="Tasks", ylabel="Minutes", tasks=None, name="crossover"):
    """Draw the cost of 1, 2, ... tasks, and from which task on the first way is cheaper.

    costs: label -> (fixed, for each task), the first being compared with each of the others.
    tasks: how many to draw; by default as many as show the crossings, 6 to 40.
    """
    check_lengths("crossover, fixed cost and cost for each task", (0, 0), *costs.values())
    if len(costs) < 2:
        raise ValueError(f"crossover: two ways or more are needed; got {len(costs)}")
    (first, ours), *others = costs.items()
    turns = {label: _turn(ours, theirs) for label, theirs in others}
    crossings = {crossing for crossing, _ in turns.values() if crossing}
    tasks = tasks or int(np.clip(1.3 * max(crossings, default=0) + 2, 6, 40))
    count = np.arange(1, tasks + 1)
    colours = method_colours(costs)
    totals = {label: fixed + each * count for label, (fixed, each) in costs.items()}
    top = max(total.max() for total in totals.values())
    with new_sheet(PAGE, 3.7) as sheet:
        ax = sheet.subplots()
        for (label, total), marker in zip(totals.items(), "osD^vP" * len(costs), strict=False):
            ax.plot(count, total, color=colours[label], lw=2, marker=marker, ms=4.5, clip_on=False)
        shown = {turn: words for turn, words in turns.values() if turn and turn <= tasks}
        for i, (turn, words) in enumerate(sorted(shown.items())):
            against = " and ".join(label for label, (its, _) in turns.items() if its == turn)
            words += f",\nagainst {against}" if len(others) > 1 else ""
            height = totals[first][turn - 1]
            ax.plot([turn] * 2, [0, height], color=SOFT, lw=1.2, ls=":", zorder=1)
            ax.plot(turn, height, "o", ms=12, mfc="none", mec=INK, mew=1.4, zorder=4)
            foot = (turn, (0.05 + 0.2 * i) * top)
            ax.annotate(words.replace(" the ", " the\n"), foot, (5, 0), **NOTE)
        ax.set_xlim(1 - 0.02 * tasks, tasks)
        ax.set_ylim(0, 1.04 * top)
        ends = {label: fill(label, 34) for label in costs}
        for label, (turn, words) in turns.items():
            ends[label] += "" if turn in shown else f",\n{words.replace('pays', 'dearer')}"
        lines = 1 + max(text.count("\n") for text in ends.values())
        heights = _apart([t[-1] for t in totals.values()], (0.05 * lines + 0.03) * top)
        for (label, total), height in zip(totals.items(), heights, strict=True):
            ax.annotate(
                ends[label],
                (tasks, total[-1]),
                (1.035, height),
                textcoords=ax.get_yaxis_transform(),
                va="center",
                arrowprops={"arrowstyle": "-", "color": colours[label], "lw": 1, "shrinkA": 1},
            )
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        ax.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        ax.grid(axis="y")
        data = saved(sheet, "svg")
    words = ", ".join(f"{told} against {label}" for label, (_, told) in turns.items())
    caption = f"Total by number of tasks. {first}: {words}."
    each = "; ".join(
        f"{label} {f:.1f} and {e:.1f} for each task" for label, (f, e) in costs.items()
    )
    alt = f"{ylabel} by number of tasks: {each}. {first}: {words}."
    return Figure(name, data, caption, alt, width=pixels(PAGE))


NOTE = {"textcoords": "offset points", "va": "bottom", "fontsize": 8.5}


def _turn(ours, theirs):
    """Return the number of tasks at which the cheaper way changes, or None, and that in words."""
    ahead, saved_each = ours[0] - theirs[0], theirs[1] - ours[1]
    pays_at_first = ahead < saved_each
    if saved_each > 0 and not pays_at_first:
        turn = int(ahead // saved_each) + 1
        return turn, f"pays from the {_ordinal(turn)} task on"
    if saved_each < 0 and pays_at_first:
        turn = ceil(ahead / saved_each) - 1
        return turn, f"pays up to the {_ordinal(turn)} task"
    return None, "pays from the first task on" if pays_at_first else "never pays"


def _ordinal(number):
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0)
    return f"{number}{ending or 'th'}"


def _apart(heights, gap):
    """Return the heights, in their order, moved up and down until no two are nearer than the gap."""
    order = np.argsort(heights)
    placed = np.asarray(heights, np.float64)[order]
    for _ in range(100):
        for i in range(len(placed) - 1):
            lack = gap - (placed[i + 1] - placed[i])
            if lack > 0:
                placed[i : i + 2] += (-lack / 2, lack / 2)
    return placed[np.argsort(order)]
