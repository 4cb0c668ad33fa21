"""The section on a source that learns to denoise."""

from __future__ import annotations

from typing import Any

from ums.experiments.report.page import Section
from ums.experiments.report.pictures import denoising_panel
from ums.experiments.report.sections import source_curves
from ums.experiments.report.tables import Column, Table, formatted
from ums.experiments.results.records import StudyRecords

UNTRAINED = "The source is untrained here, and separate models saw the images as they are."


def denoising_gain(study: StudyRecords) -> str:
    """How much denoising changes the PSNR, and how much the best filter does, in a sentence."""
    noises = study.parts[""].one("source-test")["denoising"]
    network = [row["denoised"]["PSNR"] - row["noisy"]["PSNR"] for row in noises]
    filters = [
        max(row[name]["PSNR"] for name in row["strengths"]) - row["noisy"]["PSNR"] for row in noises
    ]
    ends = [formatted(end, "{:+.1f} dB") for of in (network, filters) for end in (min(of), max(of))]
    return (
        f"Denoising changes the PSNR by {ends[0]} to {ends[1]}, depending on the noise; the best of "
        f"{len(noises[0]['strengths'])} filters that know the noise, by {ends[2]} to {ends[3]}."
    )


def denoising_section(
    study: StudyRecords, printed: list[dict[str, float]] | None = None
) -> Section:
    """Denoising by noise (Table 2), beside filters, in one image, and the source's training.

    ``printed`` are the paper's numbers, by noise.
    """
    record = study.parts[""].one("source-test")
    noises, shown = record["denoising"], study.parts[""].arrays(record)
    side = min(shown["clean"].shape[1:])
    psnr = {name: [row["shown"][name] for row in noises] for name in ("noisy", "denoised")}
    panel = denoising_panel(shown, [row["noise"] for row in noises], psnr)
    text = (
        "The source is a convolutional autoencoder that is given noisy images and learns to return the "
        "clean ones. Its encoder is what all heads share; its decoder is where the segmentation head "
        "starts."
    )
    if not study.about["source trained"]:
        text += f" {UNTRAINED}"
    curves = source_curves(study, "Source: denoising (MSE)")
    tables = [_scores(noises, printed, side), filter_table(noises)]
    return Section("The source: denoising", text, [*tables, panel, *curves])


def _scores(
    noises: list[dict[str, Any]], printed: list[dict[str, float]] | None, side: int
) -> Table:
    """Table 2; the paper's rows stand beside the noises that the source learns from."""
    rows = [
        {"Noise": row["noise"]}
        | {f"{m}, noisy": row["noisy"][m] for m in ("PSNR", "SSIM")}
        | row["denoised"]
        for row in noises
    ]
    columns = ["Noise", Column("PSNR, noisy", "{:.2f}"), "SSIM, noisy"]
    columns += [Column("PSNR", "{:.2f}"), "SSIM", "MS-SSIM"]
    note = f"Means over {noises[0]['images']} test images on which the source was not trained; PSNR in dB."
    if unlearned := [row["noise"] for row in noises if not row["learned"]]:
        note += f" Noise as weak as {', '.join(unlearned)} was not among what it was trained on."
    if printed:
        note += (
            " The symbols of the paper's noise levels are missing from its text: its rows, weakest first, "
            "stand beside those that the source was trained on, at strengths that need not be the same."
        )
        theirs = iter(printed)
        printed = [next(theirs) if row["learned"] else {} for row in noises]
    if side < 176:
        note += f" At {side} pixels MS-SSIM has fewer than its five scales."
    anchor, title = ("table-2", "Table 2, denoising") if printed else ("denoising", "Denoising")
    return Table(anchor, title, columns, rows, printed, note)


def filter_table(noises: list[dict[str, Any]]) -> Table:
    """PSNR and SSIM of the network and of filters that learn nothing."""
    filters = list(noises[0]["strengths"])
    methods = {"network": "denoised"} | {name: name for name in filters}
    rows = [
        {"Noise": row["noise"]}
        | {f"{m}, {name}": row[key][m] for m in ("PSNR", "SSIM") for name, key in methods.items()}
        for row in noises
    ]
    columns: list[str | Column] = [
        Column(name, "{:.2f}" if "PSNR" in name else "") for name in rows[0]
    ]
    strengths = {name: [row["strengths"][name] for row in noises] for name in filters}
    ranges = [f"{name} {min(s):.2g} to {max(s):.2g}" for name, s in strengths.items()]
    note = (
        "The same test images and noise as above. The filters learn nothing, but each knows the noise: its "
        "strength has for every noise the highest PSNR on validation images with that noise "
        f"({', '.join(ranges)}; pixels for the blur, else grey levels). The network is one for all noises "
        "and is not told which it has before it."
    )
    return Table("denoising-filters", "Denoising beside filters", columns, rows, note=note)
