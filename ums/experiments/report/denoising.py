"""The section on a source that learns to denoise."""

from __future__ import annotations

from ums.experiments.report.page import Section
from ums.experiments.report.pictures import denoising_panel
from ums.experiments.report.sections import source_curves
from ums.experiments.report.tables import Column, Table, formatted
from ums.experiments.results.records import StudyRecords

UNTRAINED = "The source is untrained here, and separate models saw the images as they are."


def denoising_gain(study: StudyRecords) -> str:
    """How much denoising changes the PSNR, in a sentence."""
    noises = study.parts[""].one("source-test")["denoising"]
    gains = [row["denoised"]["PSNR"] - row["noisy"]["PSNR"] for row in noises]
    worst, best = (formatted(gain, "{:+.1f} dB") for gain in (min(gains), max(gains)))
    return f"Denoising changes the PSNR by {worst} to {best}, depending on the noise."


def denoising_section(
    study: StudyRecords, printed: list[dict[str, float]] | None = None
) -> Section:
    """Denoising by noise (Table 2), one image with every noise, and the source's training.

    ``printed`` are the paper's numbers, by noise.
    """
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
    note = f"Means over {noises[0]['images']} test images on which the source was not trained; PSNR in dB."
    if printed:
        note += (
            " The symbols of the paper's noise levels are missing from its text: its rows, weakest first, "
            "stand beside ours in that order, at strengths that need not be the same."
        )
    if side < 176:
        note += f" At {side} pixels MS-SSIM has fewer than its five scales."
    anchor, title = ("table-2", "Table 2, denoising") if printed else ("denoising", "Denoising")
    table = Table(anchor, title, columns, rows, printed, note)
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
    return Section("The source: denoising", text, [table, panel, *curves])
