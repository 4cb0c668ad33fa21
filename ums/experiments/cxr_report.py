"""The chest X-ray experiment's page: Tables 2, 3 and 4 beside the paper's, and the pictures."""

from __future__ import annotations

import platform

import numpy as np
import scipy

from ums import __version__
from ums.experiments import figures, paper
from ums.experiments.cxr_sets import HELD_OUT, OTHER
from ums.experiments.report import Column, Report, Section, Table, formatted
from ums.metrics.image_quality import psnr

HOSPITALS = (HELD_OUT, OTHER)
STRATEGIES = {
    "independent": "Independent",
    "alternating": "Alternating",
    "joint": "Joint",
    "separate": "Separate (baseline)",
}
TASKS = {"lungs": "Lung segmentation", "abnormality": "Abnormality"}


def build(outcome) -> Report:
    """The whole report of one :class:`ums.experiments.cxr.Outcome`."""
    return Report(
        title="Chest X-ray: one denoising source, two heads",
        subtitle="Independent, alternating and joint fine-tuning on a shared encoder, against "
        "separate models; after Zamzmi, Rajaraman and Antani (2021), section 4.1.",
        summary=_summary(outcome),
        sections=[make(outcome) for make in SECTIONS],
        run=_run(outcome),
    )


def name_of(outcome, hospital: str) -> str:
    """The set's own name: Shenzhen, held-out part, or Montgomery."""
    prepared = outcome.sets.target if hospital == HOSPITALS[0] else outcome.sets.test
    name = prepared.about.get("name") or prepared.folder.name
    return f"{name}, held-out part" if hospital == HOSPITALS[0] else name


def _mean(outcome, strategy: str, hospital: str, task: str, measure: str) -> float:
    return float(np.mean(outcome.scores[strategy][hospital][task][measure]))


def _summary(outcome) -> list[str]:
    """The main figures in words; nothing here is not in a table below."""
    other = name_of(outcome, HOSPITALS[1])
    lines = []
    for task, measure in (("lungs", "IoU"), ("abnormality", "MCC")):
        values = []
        for strategy, label in STRATEGIES.items():
            here, there = (
                formatted(_mean(outcome, strategy, hospital, task, measure), "{:.3f}")
                for hospital in HOSPITALS
            )
            values.append(
                f"{label} {here} on the training hospital's held-out part, {there} on {other}"
            )
        lines.append(f"{TASKS[task]}, {measure}: " + "; ".join(values) + ".")
    gains = [row["denoised"]["PSNR"] - row["noisy"]["PSNR"] for row in outcome.denoising]
    worst, best = (formatted(gain, "{:+.1f} dB") for gain in (min(gains), max(gains)))
    lines.append(
        f"Denoising changes the PSNR by {worst} (the weakest gain of all noise levels) to {best} (the "
        "strongest)."
    )
    lines.append("One run, one split, one seed: differences of a few hundredths mean little.")
    return lines


# ------------------------------------------------------------------------ sections


def _hospitals(outcome) -> Section:
    """The change of hospital, side by side."""
    measures = (("lungs", "IoU"), ("lungs", "F-score"), ("abnormality", "MCC"))
    measures += (("abnormality", "Accuracy"),)
    names = [name_of(outcome, hospital) for hospital in HOSPITALS]
    rows = []
    for strategy, label in STRATEGIES.items():
        for task, measure in measures:
            here, there = (_mean(outcome, strategy, h, task, measure) for h in HOSPITALS)
            row = {"Strategy": label, "Task": TASKS[task], "Measure": measure}
            rows.append(row | {names[0]: here, names[1]: there, "Change": there - here})
    numbers = [Column(name, "{:.3f}") for name in names] + [Column("Change", "{:+.3f}")]
    table = Table(
        "hospitals", "The change of hospital", ["Strategy", "Task", "Measure", *numbers], rows
    )
    iou = {
        name_of(outcome, hospital): {
            label: outcome.scores[strategy][hospital]["lungs"]["IoU"]
            for strategy, label in STRATEGIES.items()
        }
        for hospital in HOSPITALS
    }
    text = (
        "Every network was trained on one hospital's images only. Here are the same networks on images "
        "of that hospital they have not seen, and on all images of another one."
    )
    return Section("From one hospital to another", text, [table], [figures.score_strip(iou)])


def _score_table(outcome, task: str, title: str, measures: list[str], note: str) -> Table:
    """Table 3 for one task: each strategy at each hospital; the paper tested on Montgomery."""
    rows, paper_rows = [], []
    for strategy, label in STRATEGIES.items():
        for hospital in HOSPITALS:
            row = {"Strategy": label, "Tested on": name_of(outcome, hospital)}
            row["Images"] = len(outcome.tested[hospital][task])
            values = {m: _mean(outcome, strategy, hospital, task, m) for m in measures}
            rows.append(row | values)
            theirs = paper.TABLE_3[strategy, task] if hospital == HOSPITALS[1] else {}
            paper_rows.append({m: v for m, v in theirs.items() if m in measures})
    columns = [Column(m, "{:.3f}", "{:.2f}") for m in measures]
    heads = ["Strategy", "Tested on", Column("Images", "{:,d}")]
    return Table(f"table-3-{task}", title, [*heads, *columns], rows, paper_rows, note)


def _lungs(outcome) -> Section:
    table = _score_table(
        outcome,
        "lungs",
        "Table 3, lung segmentation",
        ["Accuracy", "F-score", "IoU", "Two-class IoU"],
        "Means over images; F-score and IoU are of the lungs, image by image. The paper's IoU lies "
        "above its F-score, which an IoU of the lungs alone cannot (IoU = F / (2 - F)), so it stands "
        "beside the mean of the lungs' and the background's IoU. The paper's figures are for 138 "
        "Montgomery images.",
    )
    rows = outcome.tested[HOSPITALS[1]]["lungs"]
    test = outcome.sets.test
    first = next(iter(STRATEGIES))
    order = np.argsort(outcome.scores[first][HOSPITALS[1]]["lungs"]["IoU"])
    picked = [order[-1], order[len(order) // 2], order[len(order) // 10], order[0]]
    titles = ["best", "median", "worst tenth", "worst"]
    scores = {s: outcome.scores[s][HOSPITALS[1]]["lungs"] for s in STRATEGIES}
    panel = figures.outline_panel(
        test.images[rows[picked]],
        test.masks[rows[picked]] > 0,
        [(label, scores[s]["predicted"][picked]) for s, label in STRATEGIES.items()],
        [scores[s]["IoU"][picked] for s in STRATEGIES],
        titles=titles,
    )
    panel.caption = (
        f"Lungs in images of {name_of(outcome, HOSPITALS[1])}: the true outline in white, the predicted "
        f"one in colour. The rows are chosen by the {STRATEGIES[first].lower()} head's IoU."
    )
    return Section("Lung segmentation", "", [table], [panel])


def _abnormality(outcome) -> Section:
    table = _score_table(
        outcome,
        "abnormality",
        "Table 3, abnormality classification",
        ["Accuracy", "F-score", "MCC", "AUC"],
        "The F-score is of the abnormal class. An MCC of 0 is what guessing scores.",
    )
    hospital, test = HOSPITALS[1], outcome.sets.test
    rows = outcome.tested[hospital]["abnormality"]
    result = outcome.scores["independent"][hospital]["abnormality"]
    truth, said = result["labels"], result["predicted"]
    picked = [
        i
        for t, p in ((0, 0), (1, 1), (0, 1), (1, 0))
        for i in np.flatnonzero((truth == t) & (said == p))[:2]
    ]
    words = ("normal", "abnormal")
    panel = figures.examples_panel(
        test.images[rows[picked]],
        [f"{words[truth[i]]}, said {words[said[i]]}" for i in picked],
        [bool(truth[i] == said[i]) for i in picked],
    )
    panel.caption = (
        f"Images of {name_of(outcome, hospital)} and what the independent head says of them: the first "
        "two of each kind, right and wrong."
    )
    return Section("Abnormality classification", "", [table], [panel])


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
        "Means over test images no part of the training has seen; PSNR in dB. The paper's noise levels "
        "were lost with its symbols: its rows, weakest first, stand beside ours in that order, at "
        "strengths that need not be the same."
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
    text = (
        "The source is a convolutional autoencoder that is given noisy images and learns to return the "
        "clean ones. Its encoder, frozen, is what the independent heads stand on; its decoder is where "
        "the segmentation head starts."
    )
    return Section("The source: denoising", text, [table], [panel])


def _cost(outcome) -> Section:
    """Table 4: seconds and trainable parameters, part by part and in total."""
    source, tuned = outcome.source, outcome.tuned
    heads, models = tuned["independent"], tuned["separate"]
    ours = [_cost_row("Proposed", "Shared source (denoising)", source)]
    ours += [_cost_row("Proposed", f"{TASKS[t]} head", r) for t, r in heads.items()]
    ours.append(_total("Proposed", "Source and heads", ours))
    theirs = [_cost_row("Baseline", "Separate denoiser", source)]
    theirs += [
        _cost_row("Baseline", f"Separate {TASKS[t].lower()} model", r) for t, r in models.items()
    ]
    theirs.append(_total("Baseline", "Three separate models", theirs))
    both = [
        row for strategy in ("alternating", "joint") for row in _together_rows(outcome, strategy)
    ]
    keys = ["source", *(("independent", t) for t in heads), "proposed"]
    keys += ["denoiser", *(("separate", t) for t in models), "baseline"]
    columns = ["Approach", "Part", Column("Minutes", "{:.2f}"), Column("Epochs", "{:d}")]
    columns += [Column("Trainable parameters", "{:,d}")]
    note = (
        "Wall time of training on this machine. The separate denoiser is the source itself, trained "
        "once and counted on both sides: it would be the same network on the same images by the same "
        "recipe, and the paper gives both the same time. The paper's count for lung segmentation is "
        "that of a whole six-layer network, ours of the head alone; its 295,715 for a classification "
        "head is of no such head on this encoder. Tuned alternately or jointly the encoder learns on: "
        "its parameters count once, and the paper gives no cost for these."
    )
    paper_rows = [paper.TABLE_4[key] for key in keys] + [{}] * len(both)
    rows = [*ours, *theirs, *both]
    table = Table("table-4", "Table 4, cost", columns, rows, paper_rows, note)
    return Section("Cost", "", [table], [])


def _cost_row(approach: str, part: str, tuned) -> dict:
    return {
        "Approach": approach,
        "Part": part,
        "Minutes": tuned.seconds / 60,
        "Epochs": len(tuned.history.train),
        "Trainable parameters": tuned.trainable,
    }


def _together_rows(outcome, strategy: str) -> list[dict]:
    """An encoder that learns on with its heads, and that with the source before it."""
    label, source = STRATEGIES[strategy], outcome.source
    tuned = list(outcome.tuned[strategy].values())
    minutes, heads = sum(t.seconds for t in tuned) / 60, sum(t.trainable for t in tuned)
    row = {"Approach": label, "Part": "Encoder and both heads", "Minutes": minutes}
    row |= {"Epochs": len(tuned[0].history.train), "Trainable parameters": tuned[0].shared + heads}
    total = {"Approach": label, "Part": "Source, then these"}
    total |= {"Minutes": source.seconds / 60 + minutes}
    return [row, total | {"Trainable parameters": source.trainable + heads}]


def _total(approach: str, part: str, rows: list[dict]) -> dict:
    sums = {name: sum(row[name] for row in rows) for name in ("Minutes", "Trainable parameters")}
    return {"Approach": approach, "Part": part} | sums


def _training(outcome) -> Section:
    histories = {"Source: denoising (MSE)": outcome.source.history.to_dict()}
    for strategy, label in STRATEGIES.items():
        for task, tuned in outcome.tuned[strategy].items():
            histories[f"{label}: {TASKS[task].lower()}"] = tuned.history.to_dict()
    text = (
        "The weights of the best validation epoch are the ones kept. The loss is the mean squared error "
        "for denoising, half binary cross-entropy and half Dice for the lungs, and categorical "
        "cross-entropy for the abnormality."
    )
    return Section("Training", text, [], [figures.training_curves(histories)])


SECTIONS = (_hospitals, _lungs, _abnormality, _source, _cost, _training)


def _run(outcome) -> dict[str, str]:
    """What was run: data, settings, versions."""
    sets, settings = outcome.sets, outcome.settings
    facts = {}
    for role, prepared in (
        ("Source images", sets.source),
        ("Training hospital", sets.target),
        ("Other hospital", sets.test),
    ):
        splits = {s: int((prepared.splits == s).sum()) for s in ("train", "validation", "test")}
        counts = ", ".join(f"{n} {split}" for split, n in splits.items())
        if role == "Other hospital":
            counts = f"all {len(prepared)} for testing"
        source = prepared.about.get("source", prepared.folder.name)
        facts[role] = f"{source}: {len(prepared)} images ({counts})"
    height, width = sets.target.images.shape[1:]
    facts["Image size"] = f"{height} x {width}"
    facts["Network width"] = f"{settings.width:g} times the paper's"
    facts["Epochs at most"] = (
        f"source {settings.source_epochs}, segmentation {settings.epochs}, "
        f"classifiers {settings.classifier_epochs}"
    )
    facts["Batch, learning rate"] = f"{settings.batch}, {settings.learning_rate:g}"
    facts["Seed"] = str(settings.seed)
    facts["Device"] = outcome.device.name
    facts["Versions"] = (
        f"ums {__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"SciPy {scipy.__version__}"
    )
    facts["Time of this run"] = f"{outcome.seconds / 60:.1f} minutes, finished stages left out"
    return facts
