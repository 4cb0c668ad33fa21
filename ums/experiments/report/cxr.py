"""The chest X-ray study's page: Tables 2 to 6 and Figure 7 beside the paper's, and its claims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ums.experiments.report import pictures as figures
from ums.experiments.report import sections as study_report
from ums.experiments.report.page import Report, Section
from ums.experiments.report.part_tables import LABELS, PartFigures
from ums.experiments.report.pictures import heat_map_panel
from ums.experiments.report.sections import InPaper, Wording, overlap_note
from ums.experiments.report.tables import Column, Table, formatted, formatted_p
from ums.experiments.results import paper
from ums.experiments.results.heat_maps import SHOWN
from ums.experiments.results.scores import estimated, sign_flips
from ums.experiments.runner import CONTROL, PartOutcome
from ums.experiments.settings import Outcome
from ums.experiments.tasks import CLASSIFICATION, DIVERSE, SEGMENTATION, SIMILAR
from ums.metrics.image_quality import psnr

_UNTRAINED = "The source is untrained here, and separate models saw the images as they are."
_PARTS = {
    DIVERSE: InPaper(
        paper.TABLE_3,
        3,
        paper.TABLE_4,
        4,
        {
            SEGMENTATION: overlap_note("lungs")
            + " The paper's figures are for 138 Montgomery images.",
            CLASSIFICATION: "The F-score is of the abnormal class. An MCC of 0 is what guessing scores.",
        },
        "The paper's count for lung segmentation is that of a whole six-layer network, ours "
        "of the head alone; its 295,715 for a classification head is of no such head on this encoder.",
    ),
    SIMILAR: InPaper(
        paper.TABLE_5,
        5,
        paper.TABLE_6,
        6,
        {
            CLASSIFICATION: "The F-score is of the class named first. The paper's figures are for the "
            "published test set, 624 images, after 10 folds.",
        },
        "The paper leaves the source out here: its totals stand beside those of the tasks alone.",
    ),
}
WORDING = Wording(
    title="Chest X-ray: one denoising source, shared",
    subtitle="Independent, alternating and joint fine-tuning on a shared encoder, against separate "
    "models; after Zamzmi, Rajaraman and Antani (2021), section 4.1.",
    learned="denoising",
    denoiser=True,
    seen="The source may have seen images of the folds, without labels, but none of that other set.",
    parts=_PARTS,
    claims=paper.CXR_CLAIMS,
    cost_note="The separate denoiser is the source itself, trained once and counted on both sides: it would "
    "be the same network on the same images by the same recipe, and the paper gives both the same time. "
    "What denoising takes of the baseline's images is not counted.",
)


def build(outcome: Outcome, denoising: list[dict]) -> Report:
    """The whole report; ``denoising`` are rows of :func:`ums.experiments.results.scores.score_denoising`."""
    gains = [row["denoised"]["PSNR"] - row["noisy"]["PSNR"] for row in denoising]
    worst, best = (formatted(gain, "{:+.1f} dB") for gain in (min(gains), max(gains)))

    summary = f"Denoising changes the PSNR by {worst} to {best}, by the noise."
    wording = WORDING
    if not outcome.settings.source_epochs:
        wording = replace(WORDING, denoiser=False, cost_note=_UNTRAINED)

    def of_part(part: PartFigures) -> list[Section]:
        return [_heat_maps(part.outcome, outcome.settings.seed)] if part.outcome.heat else []

    return study_report.build(
        outcome,
        wording,
        _source(outcome, denoising),
        of_part,
        [summary],
    )


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
            row[f"Inside the {name}"] = estimated(_mean_of_folds, (inside,), patients, rng)
            if strategy != CONTROL:
                change = inside - heat.inside[CONTROL][name].T
                known = ~np.isnan(change).all(axis=1)
                change = np.nanmean(change[known], axis=1)
                row[f"p, {name}"] = (
                    sign_flips(change, patients[known], rng) if len(change) else None
                )
        rows.append(row)
    even = {"Strategy": "A map that is the same everywhere"}
    rows.append(even | {f"Inside the {name}": float(mask.mean()) for name, mask in masks.items()})
    columns = ["Strategy"]
    for name in masks:
        columns += [Column(f"Inside the {name}", "{:.3f}"), Column(f"p, {name}", formatted_p)]
    note = (
        f"Share of the map's mass, mean over the {len(heat.rows)} abnormal images of {part.tested} that "
        "have masks, and over folds; images in which no place speaks for the class are left out. p: "
        "sign-flip test by patient that the share differs, either way, from that of the head that "
        "learned shuffled labels; not corrected. A share below that of a map that is the same everywhere "
        "means that the network looks elsewhere."
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


def _mean_of_folds(inside: np.ndarray) -> np.ndarray:
    """Each fold's mean of (n, k) shares that are not NaN; NaN, without a warning, where all are."""
    with np.errstate(invalid="ignore"):
        return np.nansum(inside, axis=0) / np.isfinite(inside).sum(axis=0)


# ------------------------------------------------------------------------ the source


def _source(outcome: Outcome, denoising: list[dict]) -> Section:
    rows = [
        {"Noise": row["noise"]}
        | {f"{m}, noisy": row["noisy"][m] for m in ("PSNR", "SSIM")}
        | row["denoised"]
        for row in denoising
    ]
    columns = ["Noise", Column("PSNR, noisy", "{:.2f}"), Column("SSIM, noisy", "{:.3f}")]
    columns += [Column("PSNR", "{:.2f}"), Column("SSIM", "{:.3f}", "{:.2f}")]
    columns += [Column("MS-SSIM", "{:.3f}", "{:.2f}")]
    side = min(outcome.sets.source.images.shape[1:])
    note = (
        f"Means over {denoising[0]['images']} test images that no part of the source's training has "
        "seen; PSNR in dB. The paper's noise levels were lost with its symbols: its rows, weakest first, "
        "stand beside ours in that order, at strengths that need not be the same."
    )
    if side < 176:
        note += f" At {side} pixels MS-SSIM has fewer than its five scales."
    table = Table("table-2", "Table 2, denoising", columns, rows, list(paper.TABLE_2), note)
    clean, noisy, denoised = (np.stack([row["pictures"][k] for row in denoising]) for k in range(3))
    picture_psnr = [
        [psnr(row["pictures"][0].astype(np.float64), row["pictures"][k]) for row in denoising]
        for k in (1, 2)
    ]
    titles = [row["noise"] for row in denoising]
    panel = figures.denoising_panel(clean, noisy, denoised, titles, *picture_psnr)
    pictures = [panel, *study_report.source_curves(outcome, "Source: denoising (MSE)")]
    text = (
        "The source is a convolutional autoencoder that is given noisy images and learns to return the "
        "clean ones. Its encoder is what all heads share; its decoder is where the segmentation head "
        "starts."
    )
    if not outcome.settings.source_epochs:
        text += f" {_UNTRAINED}"
    return Section("The source: denoising", text, [table], pictures)
