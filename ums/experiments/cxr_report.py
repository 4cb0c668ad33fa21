"""The chest X-ray study's page: Tables 2 to 6 and Figure 7 beside the paper's, and its claims."""

from __future__ import annotations

import platform

import numpy as np
import scipy

from ums import __version__
from ums.experiments import figures, paper
from ums.experiments.claims import CLAIMS, verdict
from ums.experiments.cxr_sets import DIVERSE, SIMILAR
from ums.experiments.part_report import (
    LABELS,
    Costs,
    PartFigures,
    comparison_table,
    cosines,
    cost_table,
    crossover_figure,
    curves,
    score_dots,
    score_table,
)
from ums.experiments.parts import CLASSIFICATION, SEGMENTATION
from ums.experiments.protocol import CONTROL, HELD_OUT, SHOWN, STRATEGIES, TEST, PartOutcome
from ums.experiments.report import (
    Column,
    Estimate,
    Report,
    Section,
    Table,
    Verdict,
    formatted,
    formatted_p,
)
from ums.experiments.study_figures import heat_map_panel
from ums.metrics.image_quality import psnr
from ums.metrics.significance import bootstrap_interval, paired_permutation

PAPER_SCORES = {DIVERSE: paper.TABLE_3, SIMILAR: paper.TABLE_5}
PAPER_COSTS = {DIVERSE: paper.TABLE_4, SIMILAR: paper.TABLE_6}
SCORE_TABLE, COST_TABLE = {DIVERSE: 3, SIMILAR: 5}, {DIVERSE: 4, SIMILAR: 6}


def build(outcome) -> Report:
    """The whole report of one :class:`ums.experiments.cxr.Outcome`."""
    seed = outcome.settings.seed
    parts = [PartFigures(part, seed) for part in outcome.parts.values()]
    costs = {name: Costs(part, outcome.source) for name, part in outcome.parts.items()}
    sections = [_claims(parts)]
    for part in parts:
        sections.append(_scores(part))
        if part.outcome.heat:
            sections.append(_heat_maps(part.outcome, seed))
        sections.append(_cost(costs[part.part.name]))
        sections.append(_training(part.outcome))
    sections.insert(1, _source(outcome))
    time = f"{outcome.seconds / 60:.1f} minutes, what was finished before left out"
    return Report(
        title="Chest X-ray: one denoising source, shared",
        subtitle="Independent, alternating and joint fine-tuning on a shared encoder, against "
        "separate models; after Zamzmi, Rajaraman and Antani (2021), section 4.1.",
        summary=_summary(outcome, parts, costs),
        sections=sections,
        run=facts_of_run(outcome.sets, outcome.settings, outcome.device)
        | {"Time of this run": time},
    )


def _summary(outcome, parts: list[PartFigures], costs: dict[str, Costs]) -> list[str]:
    """The main figures in words; nothing here is not in a table below."""
    lines = []
    for figures_ in parts:
        part = figures_.part
        for task in part.tasks:
            values = ", ".join(
                f"{strategy} {figures_.mean(strategy, TEST, task.name, task.measure):.3f}"
                for strategy in STRATEGIES
            )
            lines.append(f"{task.title}, {task.measure} on {part.tested}: {values}.")
    table = _claims(parts).tables[0]
    counts = [sum(row["Here"] is v for row in table.rows) for v in Verdict]
    lines.append(
        f"Of the paper's claims about which strategy scores higher, {counts[0]} hold here, "
        f"{counts[1]} do not, and {counts[2]} cannot be told from chance."
    )
    for name, cost in costs.items():
        shared, separate = (cost.minutes(s).mean() for s in ("independent", "separate"))
        both = [minutes + cost.source_minutes for minutes in (shared, separate)]
        lines.append(
            f"Training time, {name} tasks: heads on the shared source {shared:.1f} minutes a fold, "
            f"separate models {separate:.1f}; with the source or the denoiser {both[0]:.1f} and "
            f"{both[1]:.1f}."
        )
    gains = [row["denoised"]["PSNR"] - row["noisy"]["PSNR"] for row in outcome.denoising]
    worst, best = (formatted(gain, "{:+.1f} dB") for gain in (min(gains), max(gains)))
    lines.append(f"Denoising changes the PSNR by {worst} to {best}, by the noise.")
    return lines


# ------------------------------------------------------------------------ claims


def _claims(parts: list[PartFigures]) -> Section:
    """Each claim on each task: what was measured, and what that says of it."""
    rows = []
    for part in parts:
        tasks = {task.name: task for task in part.part.tasks}
        for claim in CLAIMS:
            if claim.part != part.part.name:
                continue
            for name in claim.tasks:
                compared = part.comparison(name, claim.better, claim.worse)
                differences = compared.seen_from(claim.better)
                rows.append(
                    {
                        "The paper": f"{LABELS[claim.better]} above {LABELS[claim.worse].lower()}",
                        "Task": tasks[name].title,
                        "Here": verdict(differences, compared.corrected),
                        "Measure": tasks[name].measure,
                        "Difference here": Estimate(differences),
                        "p": compared.corrected,
                        "Said in": claim.source,
                    }
                )
    columns = ["The paper", "Task", "Here", "Measure", Column("Difference here", "{:+.3f}")]
    columns += [Column("p", formatted_p), "Said in"]
    note = (
        "Differences on the test set, mean and standard deviation over folds. A claim holds or does not "
        "where the difference is significant at 0.05 after Holm's correction over all comparisons of its "
        "part, and has one sign in all folds: p says how far other test cases might turn a difference, "
        "the folds how far another training would. The tests stand with the parts' tables."
    )
    return Section(
        "What the paper claims, and what shows here",
        "",
        [Table("claims", "Claims on which strategy scores higher", columns, rows, note=note)],
    )


# ------------------------------------------------------------------------ scores


def _scores(part: PartFigures) -> Section:
    """Tables 3 and 5, with spread and intervals, and the comparisons behind them."""
    name, number = part.part.name, SCORE_TABLE[part.part.name]
    blocks = [score_dots(part, PAPER_SCORES[name])]
    kinds = list(dict.fromkeys(task.kind for task in part.part.tasks))
    for kind in kinds:
        words = {SEGMENTATION: "segmentation", CLASSIFICATION: "classification"}[kind]
        for where, place in ((TEST, part.part.tested), (HELD_OUT, part.part.held_out)):
            theirs = PAPER_SCORES[name] if where == TEST else {}
            title = f"Table {number}, {words}: {place}" if theirs else f"{words.title()}: {place}"
            note = _score_note(part, kind) if theirs else ""
            anchor = f"table-{number}-{words}" if theirs else f"{name}-{words}-{where}"
            blocks.append(score_table(part, kind, where, anchor, title, theirs, note))
    blocks.append(comparison_table(part, f"{name}-comparisons"))
    if part.outcome.masks["independent"]:
        blocks.append(_outlines(part.outcome))
    k = len(part.outcome.folds)
    text = (
        f"{k} folds by patient: each network learned from {k - 1} of them (less a share that decides "
        "when to stop) and was tested on the one held out and on the whole of a set never learned from. "
        "The source may have seen images of the folds, without labels; those of that set, never. A "
        "figure is the mean of the folds' networks ± their standard deviation, with the 95 % bootstrap "
        f"interval over {part.part.tested}'s patients or those held out."
    )
    return Section(part.part.title, text, blocks=blocks)


def _score_note(part: PartFigures, kind: str) -> str:
    if kind == SEGMENTATION:
        return (
            "Means over images; F-score and IoU are of the lungs, image by image. The paper's IoU lies "
            "above its F-score, which an IoU of the lungs alone cannot (IoU = F / (2 - F)), so it "
            "stands beside the mean of the lungs' and the background's IoU. The paper's figures are "
            "for 138 Montgomery images."
        )
    if part.part.name == DIVERSE:
        return "The F-score is of the abnormal class. An MCC of 0 is what guessing scores."
    return (
        "The F-score is of the class named first. The paper's figures are for the published test set, "
        "624 images, after 10 folds."
    )


def _outlines(outcome: PartOutcome) -> figures.Figure:
    """True and predicted outlines of the first fold's networks on the test set."""
    part, test = outcome.part, outcome.part.test
    task = next(t for t in part.tasks if t.kind == SEGMENTATION)
    rows = task.test.rows
    iou = {s: outcome.tested[s][TEST][task.name].values["IoU"][0] for s in STRATEGIES}
    order = np.argsort(iou["independent"])
    picked = [order[-1], order[len(order) // 2], order[len(order) // 10], order[0]]
    panel = figures.outline_panel(
        test.images[rows[picked]],
        test.masks[rows[picked]] > 0,
        [(LABELS[s], outcome.masks[s][task.name][picked]) for s in STRATEGIES],
        [iou[s][picked] for s in STRATEGIES],
        titles=["best", "median", "worst tenth", "worst"],
    )
    panel.caption = (
        f"Lungs in images of {part.tested}: the true outline in white, the predicted one in colour, by "
        "the first fold's networks. The images are chosen by the independent head's IoU."
    )
    return panel


# ------------------------------------------------------------------------ heat maps


def _heat_maps(outcome: PartOutcome, seed: int) -> Section:
    """Figure 7, and how much of the maps lies where the disease can be."""
    part, heat = outcome.part, outcome.heat
    rng = np.random.default_rng([seed, 7])
    labels = LABELS | {CONTROL: "Independent, shuffled labels"}
    masks = {"lungs": heat.lungs, "opacity": heat.opacities}
    masks = {name: mask for name, mask in masks.items() if mask is not None}
    rows = []
    patients = part.test.patients[heat.rows]
    for strategy, label in labels.items():
        row = {"Strategy": label}
        for name in masks:
            inside = heat.inside[strategy][name].T  # (n, k)
            interval = bootstrap_interval(_mean, (inside,), rng, resamples=1000, groups=patients)
            row[f"Inside the {name}"] = Estimate(_mean(inside, axis=0).tolist(), *interval)
            if strategy != CONTROL:
                change = inside - heat.inside[CONTROL][name].T
                change = np.nanmean(change[~np.isnan(change).all(axis=1)], axis=1)
                row[f"p, {name}"] = paired_permutation(change, rng) if len(change) else None
        rows.append(row)
    even = {"Strategy": "A map that is the same everywhere"}
    rows.append(even | {f"Inside the {name}": float(mask.mean()) for name, mask in masks.items()})
    columns = ["Strategy"]
    for name in masks:
        columns += [Column(f"Inside the {name}", "{:.3f}"), Column(f"p, {name}", formatted_p)]
    note = (
        f"Share of the map's mass, mean over the {len(heat.rows)} abnormal images of {part.tested} that "
        "have masks and over folds. p: sign-flip test on the images, against the head that learned "
        "shuffled labels; not corrected."
    )
    table = Table("heat-maps", "Where the abnormality networks look", columns, rows, note=note)
    shown = slice(0, SHOWN)
    outlines = {name: mask[shown] for name, mask in masks.items()}
    panel = heat_map_panel(
        part.test.images[heat.rows[shown]],
        {labels[s]: heat.shown[s] for s in labels},
        outlines,
        [f"abnormal {i + 1}" for i in range(len(heat.rows[shown]))],
        {labels[s]: heat.inside[s]["lungs"][0][shown] for s in labels},
        name="figure-7",
    )
    text = (
        'Figure 7\'s heat maps (Grad-CAM of the class "abnormal", networks as used for predictions) show '
        "which places raise the score. Whether that is the disease is another question: a head that "
        "learned shuffled labels has heat maps too, and they stand here as a control."
    )
    return Section("Heat maps", text, [table], [panel])


def _mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """The mean of what is not NaN; NaN, without a warning, where all is."""
    with np.errstate(invalid="ignore"):
        return np.nansum(values, axis=axis) / np.isfinite(values).sum(axis=axis)


# ------------------------------------------------------------------------ the source


def _source(outcome) -> Section:
    rows = [
        {"Noise": row["noise"]}
        | {f"{m}, noisy": row["noisy"][m] for m in ("PSNR", "SSIM")}
        | row["denoised"]
        for row in outcome.denoising
    ]
    columns = ["Noise", Column("PSNR, noisy", "{:.2f}"), Column("SSIM, noisy", "{:.3f}")]
    columns += [Column("PSNR", "{:.2f}"), Column("SSIM", "{:.3f}", "{:.2f}")]
    columns += [Column("MS-SSIM", "{:.3f}", "{:.2f}")]
    side = min(outcome.sets.source.images.shape[1:])
    note = (
        "Means over test images no part of the source's training has seen; PSNR in dB. The paper's "
        "noise levels were lost with its symbols: its rows, weakest first, stand beside ours in that "
        "order, at strengths that need not be the same."
    )
    if side < 176:
        note += f" At {side} pixels MS-SSIM has fewer than its five scales."
    table = Table("table-2", "Table 2, denoising", columns, rows, list(paper.TABLE_2), note)
    clean, noisy, denoised = (
        np.stack([row["pictures"][k] for row in outcome.denoising]) for k in range(3)
    )
    picture_psnr = [
        [
            psnr(row["pictures"][0].astype(np.float64), row["pictures"][k])
            for row in outcome.denoising
        ]
        for k in (1, 2)
    ]
    titles = [row["noise"] for row in outcome.denoising]
    panel = figures.denoising_panel(clean, noisy, denoised, titles, *picture_psnr)
    pictures = [panel]
    if outcome.source.history.validation:
        histories = {"Source: denoising (MSE)": outcome.source.history}
        pictures.append(figures.training_curves(histories, name="training-source"))
    text = (
        "The source is a convolutional autoencoder that is given noisy images and learns to return the "
        "clean ones. Its encoder is what all heads share; its decoder is where the segmentation head "
        "starts."
    )
    return Section("The source: denoising", text, [table], pictures)


# ------------------------------------------------------------------------ cost and training


def _cost(costs: Costs) -> Section:
    """Tables 4 and 6, and after how many tasks sharing pays."""
    name = costs.part.name
    note = (
        "Wall time of training on this machine, mean and standard deviation over folds; epochs to the "
        "one whose weights were kept. The separate denoiser is the source itself, trained once and "
        "counted on both sides: it would be the same network on the same images by the same recipe, and "
        "the paper gives both the same time. What denoising takes of the baseline's images is not "
        "counted. "
    )
    if name == DIVERSE:
        note += (
            "The paper's count for lung segmentation is that of a whole six-layer network, ours of the "
            "head alone; its 295,715 for a classification head is of no such head on this encoder. "
        )
    else:
        note += "The paper leaves the source out here: its totals stand beside those of the tasks alone. "
    note += "Tuned alternately or jointly the encoder learns on: its parameters count once."
    title = f"Table {COST_TABLE[name]}, cost of the {name} tasks"
    table = cost_table(costs, f"table-{COST_TABLE[name]}", title, PAPER_COSTS[name], note)
    return Section(f"Cost: {name} tasks", "", [table], [crossover_figure(costs)])


def _training(outcome: PartOutcome) -> Section:
    text = (
        "The weights of the best validation epoch are the ones kept. The loss is categorical "
        "cross-entropy for classes, half binary cross-entropy and half Dice for masks. Below: the cosine "
        "of the tasks' gradients on the shared encoder while they are tuned jointly. Above 0 a step for "
        "one task helps the other as well; below, they undo each other's."
    )
    return Section(
        f"Training: {outcome.part.name} tasks", text, [], [curves(outcome), cosines(outcome)]
    )


def facts_of_run(sets, settings, device) -> dict[str, str]:
    """What was run: data, settings, versions."""
    counts = [f"{(sets.source.splits == s).sum()} {s}" for s in ("train", "validation", "test")]
    facts = {"Source images": _described(sets.source, ", ".join(counts))}
    for part in sets.parts:
        used = len(np.unique(np.concatenate([task.test.rows for task in part.tasks])))
        title = part.name.title()
        facts[f"{title}, to learn from"] = _described(part.learn, f"{len(part.pool)} in folds")
        facts[f"{title}, to test on"] = _described(part.test, f"{used} for testing")
    height, width = sets.source.images.shape[1:]
    facts["Image size"] = f"{height} x {width}"
    facts["Folds"] = str(settings.folds)
    facts["Network width"] = f"{settings.width:g} times the paper's"
    facts["Epochs at most"] = (
        f"source {settings.source_epochs}, segmentation {settings.epochs}, "
        f"classifiers {settings.classifier_epochs}"
    )
    facts["Batch, learning rate"] = f"{settings.batch}, {settings.learning_rate:g}"
    facts["Weights of the joint loss"] = settings.joint_weights
    facts["Augmentation"] = "yes" if settings.augment else "no"
    facts["Pixels on the film"] = f"above {settings.dark}" if settings.dark >= 0 else "all"
    facts["Statistics of a frozen batch norm"] = f"of the {settings.statistics}'s images"
    facts["Labels learned from"] = f"{settings.labels:.0%}"
    facts["Seed"] = str(settings.seed)
    facts["Device"] = device.name
    facts["Versions"] = (
        f"ums {__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"SciPy {scipy.__version__}"
    )
    return facts


def _described(prepared, counts: str) -> str:
    source = prepared.about.get("source", prepared.folder.name)
    return f"{source}: {len(prepared)} images ({counts})"
