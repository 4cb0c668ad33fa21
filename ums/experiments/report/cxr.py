"""The chest X-ray study's page: Tables 2 to 6 and Figure 7 beside the paper's, and its claims."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ums.experiments.names import CLASSIFICATION, CONTROL, DIVERSE, SEGMENTATION, SIMILAR
from ums.experiments.report import sections
from ums.experiments.report.group import LABELS
from ums.experiments.report.page import Report, Section
from ums.experiments.report.pictures import denoising_panel, heat_map_panel
from ums.experiments.report.sections import GroupText, PageText, overlap_note
from ums.experiments.report.tables import Column, Table, formatted, formatted_p
from ums.experiments.results import paper
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.records import StudyRecords
from ums.experiments.results.scores import estimated, sign_flips

_UNTRAINED = "The source is untrained here, and separate models saw the images as they are."
TEXT = PageText(
    title="Chest X-ray: one denoising source, shared",
    subtitle="Independent, alternating and joint fine-tuning on a shared encoder, against separate "
    "models; after Zamzmi, Rajaraman and Antani (2021), section 4.1.",
    source="denoising",
    denoiser=True,
    seen="The source may have seen images of the folds, without labels, but none of that other set.",
    groups={
        DIVERSE: GroupText(
            3,
            4,
            {
                SEGMENTATION: overlap_note("lungs")
                + " The paper's numbers are for 138 Montgomery images.",
                CLASSIFICATION: "The F-score is of the abnormal class. Guessing has an MCC of 0.",
            },
            "The paper's count for lung segmentation is that of a whole six-layer network, ours that "
            "of the head alone; its 295,715 for a classification head fit no such head on this encoder.",
        ),
        SIMILAR: GroupText(
            5,
            6,
            {
                CLASSIFICATION: "The F-score is of the class named first. The paper's numbers are for the "
                "published test set, 624 images, after 10 folds."
            },
            "The paper leaves the source out here: its totals stand beside those of the tasks alone.",
        ),
    },
    claims=paper.claims("cxr"),
    cost_note="The separate denoiser is the source itself, trained once and counted on both sides: it would "
    "be the same network on the same images by the same recipe, and the paper gives both the same time. "
    "The time to denoise the baseline's images is not counted.",
)


def build(study: StudyRecords) -> Report:
    """The whole page."""
    seed, trained = study.about["seed"], study.about["source trained"]
    noises = study.parts[""].one("source-test")["denoising"]
    gains = [row["denoised"]["PSNR"] - row["noisy"]["PSNR"] for row in noises]
    worst, best = (formatted(gain, "{:+.1f} dB") for gain in (min(gains), max(gains)))
    return sections.build(
        study,
        TEXT if trained else replace(TEXT, denoiser=False, cost_note=_UNTRAINED),
        _source(study),
        lambda group: [_heat_maps(group, seed)] if group.heat_maps else [],
        [f"Denoising changes the PSNR by {worst} to {best}, depending on the noise."],
    )


def _heat_maps(group: GroupResults, seed: int) -> Section:
    """Figure 7, and how much of the maps lies where the disease can be."""
    labels = LABELS | {CONTROL: "Independent, shuffled labels"}
    kept = group.pictures
    images = kept["heat maps images"]
    panel = heat_map_panel(
        images,
        {label: kept[f"heat maps {arm}"] for arm, label in labels.items()},
        {name: kept[f"heat maps in {name}"] for name in group.heat_map_cases["area"]},
        [f"abnormal {i + 1}" for i in range(len(images))],
        {label: group.heat_maps[arm]["lungs"][0][: len(images)] for arm, label in labels.items()},
        name="figure-7",
    )
    text = (
        'Figure 7\'s heat maps (Grad-CAM of the class "abnormal", with the networks at inference) show '
        "which places raise the score. Whether that is the disease is another question: a head that "
        "learned shuffled labels has heat maps too, and they are shown here as a control."
    )
    return Section("Heat maps", text, [_heat_map_table(group, labels, seed), panel])


def _heat_map_table(group: GroupResults, labels: dict[str, str], seed: int) -> Table:
    """Shares of the maps inside each mask, tested against the control."""
    rng, patients = np.random.default_rng([seed, 7]), np.array(group.heat_map_cases["patients"])
    area: dict[str, float] = group.heat_map_cases["area"]
    rows: list[dict[str, Any]] = []
    for arm, label in labels.items():
        row: dict[str, Any] = {"Strategy": label}
        for name in area:
            inside = group.heat_maps[arm][name].T  # (n, k)
            row[f"Inside the {name}"] = estimated(_mean_of_folds, (inside,), patients, rng)
            if arm != CONTROL:
                change = inside - group.heat_maps[CONTROL][name].T
                known = ~np.isnan(change).all(axis=1)
                change = np.nanmean(change[known], axis=1)
                p = sign_flips(change, patients[known], rng) if len(change) else None
                row[f"p, {name}"] = p
        rows.append(row)
    even = {f"Inside the {name}": share for name, share in area.items()}
    rows.append({"Strategy": "A map that is the same everywhere"} | even)
    columns: list[str | Column] = ["Strategy"]
    for name in area:
        columns += [f"Inside the {name}", Column(f"p, {name}", formatted_p)]
    note = (
        f"Share of the map's mass, mean over the {len(patients)} abnormal images of {group.test_name} that "
        "have masks, and over folds; images in which no place speaks for the class are left out. p: "
        "two-sided sign-flip test by patient against the head that learned shuffled labels, not corrected. "
        "A share below that of a map that is the same everywhere means that the network looks elsewhere."
    )
    return Table("heat-maps", "Where the abnormality networks look", columns, rows, note=note)


def _mean_of_folds(values: np.ndarray) -> np.ndarray:
    """Each fold's mean of (n, k) values that are not NaN; NaN, without a warning, where all are."""
    return np.asarray(np.ma.masked_invalid(values).mean(axis=0).filled(np.nan))


def _source(study: StudyRecords) -> Section:
    """Table 2, one image with every noise, and the source's training."""
    record = study.parts[""].one("source-test")
    noises, shown = record["denoising"], study.parts[""].arrays(record)
    rows = [
        {"Noise": row["noise"]}
        | {f"{m}, noisy": row["noisy"][m] for m in ("PSNR", "SSIM")}
        | row["denoised"]
        for row in noises
    ]
    columns = ["Noise", Column("PSNR, noisy", "{:.2f}"), "SSIM, noisy"]
    columns += [Column("PSNR", "{:.2f}"), "SSIM", "MS-SSIM"]
    side = min(shown["clean"].shape[1:])
    note = (
        f"Means over {noises[0]['images']} test images on which the source was not trained; PSNR in dB. "
        "The symbols of the paper's noise levels are missing from its text: its rows, weakest first, "
        "stand beside ours in that order, at strengths that need not be the same."
    )
    if side < 176:
        note += f" At {side} pixels MS-SSIM has fewer than its five scales."
    table = Table("table-2", "Table 2, denoising", columns, rows, paper.denoising(), note)
    psnr = {name: [row["shown"][name] for row in noises] for name in ("noisy", "denoised")}
    panel = denoising_panel(shown, [row["noise"] for row in noises], psnr)
    text = (
        "The source is a convolutional autoencoder that is given noisy images and learns to return the "
        "clean ones. Its encoder is what all heads share; its decoder is where the segmentation head "
        "starts."
    )
    if not study.about["source trained"]:
        text += f" {_UNTRAINED}"
    curves = sections.source_curves(study, "Source: denoising (MSE)")
    return Section("The source: denoising", text, [table, panel, *curves])
