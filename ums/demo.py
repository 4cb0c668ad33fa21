"""A page to try a model: drop an image, and see outlines, probabilities and heat maps.

``python -m ums demo --model results/cxr`` needs ``pip install 'ums-rep[demo]'``. The page is served to this
computer alone; images do not leave it. For research and teaching, not for clinical use.
"""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np

from ums.backend import Device
from ums.models import Model
from ums.predictions import outlined, pictures, predict_image, row

ADDRESS = "127.0.0.1"
"""Of this computer alone."""


def make_page(model: Model, device: Device) -> Any:
    """The page of a model, which must be on the device: a ``gradio.Interface``."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing is to leave this computer
    import gradio

    def look(path: str) -> tuple[list[tuple[np.ndarray, str]], list[list[Any]], str]:
        try:
            found = predict_image(model, path, device)
        except (OSError, ValueError, MemoryError) as error:
            raise gradio.Error(str(error)) from error
        shown = [(outlined(found), "outlines" if found.masks else "the image")]
        shown += [(picture, name) for name, picture in pictures(found) if name.endswith("-map")]
        said = {k: v for k, v in row(found, model).items() if k not in ("file", "warnings")}
        gallery = [(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), name) for picture, name in shown]
        return gallery, [[*line] for line in said.items()], "; ".join(found.warnings) or "none"

    return gradio.Interface(
        look,
        gradio.File(label="A PNG, JPEG or DICOM file", type="filepath"),
        [
            gradio.Gallery(label="What the model sees", columns=3),
            gradio.Dataframe(headers=["", "the model says"], label="In numbers"),
            gradio.Textbox(label="Warnings"),
        ],
        title=model.about.get("title", "ums"),
        description=model.about["notice"],
        submit_btn="Look",
        flagging_mode="never",
    )


def serve(model: Model, device: Device, port: int | None = None) -> None:
    """Serve the page to this computer until it is interrupted; prints its address."""
    page = make_page(model, device)
    page.launch(
        server_name=ADDRESS, server_port=port, share=False, prevent_thread_lock=True, quiet=True
    )
    print(f"{page.local_url}: the page, for this computer alone; Ctrl-C ends it", flush=True)
    page.block_thread()
