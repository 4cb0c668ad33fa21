"""The report's pictures: denoised images, lung outlines, training curves, scores, examples.

Each function takes plain arrays, lists and dicts and returns a `report.Figure` on a white ground.
Lines and outlines are SVG, mosaics of images PNG. Images are grey (H, W), or colour (H, W, 3) where
a function says so, in the range 0 .. 255 unless `data_range` says otherwise. A method keeps its
colour from figure to figure. `ValueError` where lists that belong together differ in length.
"""

import numpy as np

from ums.experiments.report.page import Figure
from ums.experiments.report.style import (
    INK,
    PAGE,
    WRONG,
    check_lengths,
    draw_history,
    draw_outline,
    label_row,
    line_legend,
    listed,
    method_colours,
    new_sheet,
    outline_legend,
    panel_titles,
    pixels,
    saved,
    scale_losses,
    show_image,
    stamp,
)


def denoising_panel(
    clean, noisy, denoised, titles, noisy_psnr, denoised_psnr, data_range=255.0, name="denoising"
):
    """Show one image per noise level: clean, noisy, denoised, and what the denoiser got wrong.

    clean, noisy, denoised: (N, H, W), one row of pictures each; titles: N names of noise levels;
    noisy_psnr, denoised_psnr: N values in dB. The error is `|denoised - clean|`, all rows on one
    scale whose top is the 99.5th percentile.
    """
    check_lengths("denoising_panel", clean, noisy, denoised, titles, noisy_psnr, denoised_psnr)
    clean, noisy, denoised = (np.asarray(x, dtype=np.float64) for x in (clean, noisy, denoised))
    N, H, W = clean.shape
    errors = np.abs(denoised - clean)
    top = max(float(np.percentile(errors, 99.5)), 1e-9 * data_range)
    height = 0.35 + 2.02 * N * H / W
    with new_sheet(PAGE, height) as sheet:
        axes = sheet.subplots(N, 4, squeeze=False)
        for row, title in enumerate(titles):
            for ax, pictures in zip(axes[row], (clean, noisy, denoised), strict=False):
                show_image(ax, pictures[row], data_range)
            scale = axes[row, 3].imshow(errors[row], cmap="magma", vmin=0, vmax=top)
            axes[row, 3].set_axis_off()
            label_row(axes[row, 0], title)
            stamp(axes[row, 1], f"{noisy_psnr[row]:.1f} dB")
            stamp(axes[row, 2], f"{denoised_psnr[row]:.1f} dB")
        headings = ("Clean", "Noisy", "Denoised", "|Denoised − clean|")
        for ax, heading in zip(axes[0], headings, strict=True):
            ax.set_title(heading)
        room = {"aspect": 14 * N, "pad": 0.04, "extend": "max", "extendfrac": 0.02}
        bar = sheet.colorbar(scale, ax=axes[:, 3], label=f"error, of {data_range:g}", **room)
        bar.outline.set_visible(False)
        data = saved(sheet, "png")
    caption = (
        "A test image at each noise level, with its PSNR before and after denoising. Right: the "
        "remaining error, on one scale for all rows."
    )
    alt = (
        f"Clean, noisy and denoised image and remaining error for {', '.join(titles)}. "
        f"PSNR from {listed(noisy_psnr)} to {listed(denoised_psnr)} dB."
    )
    return Figure(name, data, caption, alt, width=pixels(PAGE))


def outline_panel(
    images, true_masks, predicted_masks, ious, titles=None, data_range=255.0, name="outlines"
):
    """Show each image once per method, with the true outline (white) and the method's (coloured).

    images, true_masks: (N, H, W); predicted_masks: list of (method, masks (N, H, W)); ious: per
    method N values, stamped on the pictures; titles: N row labels. An empty mask has no outline.
    """
    methods = [method for method, _ in predicted_masks]
    check_lengths("outline_panel", images, true_masks, *[masks for _, masks in predicted_masks])
    check_lengths("outline_panel", methods, ious)
    N, M = len(images), len(methods)
    H, W = np.shape(images)[1:3]
    side = min(PAGE / M, 3.2)
    width = max(side * M, 4.2)
    colours = method_colours(methods)
    with new_sheet(width, side * N * H / W + 0.75) as sheet:
        axes = sheet.subplots(N, M, squeeze=False)
        for column, (method, masks) in enumerate(predicted_masks):
            axes[0, column].set_title(method)
            for row, ax in enumerate(axes[:, column]):
                show_image(ax, images[row], data_range)
                draw_outline(ax, true_masks[row], "white", 1.0)
                draw_outline(ax, masks[row], colours[method], 1.5)
                stamp(ax, f"IoU {ious[column][row]:.3f}")
        for ax, title in zip(axes[:, 0], titles or (), strict=False):
            label_row(ax, title)
        outline_legend(sheet, {"true outline": "white", **colours})
        data = saved(sheet, "svg")
    caption = (
        "True outline in white, each method's in its own colour, with the intersection over union "
        "of that image."
    )
    scores = "; ".join(f"{m} {listed(v, 3)}" for m, v in zip(methods, ious, strict=True))
    alt = f"{N} images with true and predicted outlines. IoU by method: {scores}."
    return Figure(name, data, caption, alt, width=pixels(width))


def training_curves(histories, ylabel="loss", name="training"):
    """Draw the loss over epochs, one panel per model, with the best epoch and learning-rate drops.

    histories: model -> its `ums.training.History`, or a list of them, one per fold of a
    cross-validation, of which the first is drawn bold with its learning-rate drops and the others
    thin. Models named alike up to a colon ("Joint: lungs", "Joint: abnormality") share their colour.
    A panel whose positive values span more than a factor of 10 is logarithmic.
    """
    histories = {m: h if isinstance(h, list) else [h] for m, h in histories.items()}
    check_lengths("training_curves", histories)
    for model, folds in histories.items():
        check_lengths(f"training_curves, {model}", folds)
    columns = {1: 1, 2: 2, 4: 2, 8: 2}.get(len(histories), 3)
    rows = -(-len(histories) // columns)
    width = PAGE if columns > 1 else 6.0
    colours = method_colours(dict.fromkeys(model.split(":")[0] for model in histories))
    titles = panel_titles(histories, columns)
    height = 2.35 + 0.15 * max(title.count("\n") for title in titles.values())
    with new_sheet(width, height * rows + 0.4) as sheet:
        axes = sheet.subplots(rows, columns, squeeze=False)
        for ax in axes.flat[len(histories) :]:
            ax.set_axis_off()
        for ax, (model, folds) in zip(axes.flat, histories.items(), strict=False):
            ax.set_title(titles[model], loc="left", fontweight="bold")
            ax.set_xlabel("epoch")
            for fold, history in enumerate(folds):
                draw_history(ax, history, colours[model.split(":")[0]], bold=fold == 0)
            scale_losses(ax, folds)
        for ax in axes[:, 0]:
            ax.set_ylabel(ylabel)
        line_legend(sheet, CURVES)
        data = saved(sheet, "svg")
    caption = "After each epoch, on the training and on the validation images."
    if any(len(folds) > 1 for folds in histories.values()):
        caption += " The first fold is drawn bold, the others thin."
    best = {m: [h.best_epoch + 1 for h in folds if h.validation] for m, folds in histories.items()}
    told = ", ".join(f"{m} at epoch {listed(epochs, 0)}" for m, epochs in best.items() if epochs)
    alt = f"Curves of {ylabel} for {', '.join(histories)}."
    alt += f" Weights kept: {told}." if told else ""
    return Figure(name, data, caption, alt, width=pixels(width))


CURVES = {
    "training": {"ls": "--", "lw": 1.1},
    "validation": {"lw": 1.8},
    "best epoch": {"ls": "", "marker": "o", "ms": 6},
    "learning rate reduced": {"ls": ":", "lw": 1.2},
}


def examples_panel(images, titles, correct=None, data_range=255.0, columns=4, name="examples"):
    """Show images with a title each; where `correct` (booleans) is given, mark right and wrong.

    images: N pictures (H, W) or (H, W, 3); titles: N strings such as "true normal, said abnormal",
    of one line or more.
    """
    check_lengths("examples_panel", images, titles, titles if correct is None else correct)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    marks = ["" if correct is None else ("✓ " if c else "✗ ") for c in correct or titles]
    H, W = np.shape(images[0])[:2]
    lines = 1 + max(title.count("\n") for title in titles)
    side = min(PAGE / columns, 3.2)
    width = side * columns
    with new_sheet(width, rows * (side * H / W + 0.17 * lines)) as sheet:
        sheet.get_layout_engine().set(h_pad=0.07)
        axes = sheet.subplots(rows, columns, squeeze=False)
        for ax in axes.flat[len(images) :]:
            ax.set_axis_off()
        for ax, image, mark, title in zip(axes.flat, images, marks, titles, strict=False):
            show_image(ax, image, data_range)
            ax.set_title(mark + title, color=WRONG if mark == "✗ " else INK, fontsize=8.5)
        data = saved(sheet, "png")
    words = {"": "", "✓ ": " (right)", "✗ ": " (wrong)"}
    told = [t.replace("\n", ", ") + words[mark] for t, mark in zip(titles, marks, strict=True)]
    alt = f"{len(images)} example images: {'; '.join(told)}."
    return Figure(name, data, "Examples from the test images.", alt, width=pixels(width))
