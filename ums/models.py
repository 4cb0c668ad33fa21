"""Trained networks as files that later versions still read: ``model.json`` and ``weights.npz`` in a folder.

The manifest, ``model.json``, describes every network layer by layer, so that reading it takes neither the
code that built the network nor the study that trained it; and it says what the network is for: what its
inputs are, what each task's outputs mean, what it was trained and tested on.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ums import layers
from ums.backend import Device, to_numpy
from ums.checkpoint import read_kept, write
from ums.data.normalisation import Normalisation
from ums.files import write_whole
from ums.layers import Layer, Sequential
from ums.reading import digest_of, read_verified, reading, with_digest

MANIFEST, WEIGHTS = "model.json", "weights.npz"
MODELS, USE = "models", "use.json"
"""In a study's folder: that of its models, and in it the file that says which of them to use."""
FORMAT = 1
"""Of the manifest; a change that an older version could not read makes it 2."""

NOTICE = "For research and teaching. Not a medical device, and not for clinical use."


@dataclass(frozen=True, eq=False)
class Model:
    """Networks that were read from a folder.

    Attributes:
        networks: Task -> network from normalised image to output.
        about: The manifest.
    """

    networks: dict[str, Layer]
    about: dict[str, Any]

    @property
    def size(self) -> int:
        """The side of the images, in pixels, that the networks were trained on."""
        return int(self.about["input"]["size"])

    @property
    def normalisation(self) -> Normalisation:
        """What makes images in 0..255 the networks' inputs."""
        return Normalisation(self.about["input"]["background"])

    def to(self, device: Device) -> Model:
        """Move all networks to a device."""
        for network in self.networks.values():
            network.to(device)
        return self


def save_model(folder: str | Path, networks: Mapping[str, Layer], about: Mapping[str, Any]) -> None:
    """Write networks and what is to be known about them.

    Args:
        folder: It is made; a model that is there already is replaced.
        networks: Task -> network from image to output, of layers of :mod:`ums.layers` alone.
        about: Ready for JSON; ``input`` must have ``size``, ``channels`` and ``background``
            (:class:`ums.data.Normalisation`), and ``tasks`` an entry for each network.

    Raises:
        ValueError: A network has a layer that cannot be described, or ``about`` lacks something.
        OSError: A file cannot be written; the message names it.
    """
    if missing := {"size", "channels", "background"} - set(about.get("input", ())):
        raise ValueError(f"about['input'] lacks {', '.join(sorted(missing))}")
    if set(about.get("tasks", ())) != set(networks):
        raise ValueError(f"about['tasks'] must have the networks' names, {', '.join(networks)}")
    described = {name: describe(network) for name, network in networks.items()}
    arrays = {
        f"{name}/{array}": to_numpy(value)
        for name, network in networks.items()
        for array, value in network.state_dict().items()
    }
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, "notice": NOTICE, **about}
    content = with_digest(content | {"networks": described})
    write(place / WEIGHTS, arrays, {}, content["digest"])
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_whole(place / MANIFEST, text.encode())


def load_model(folder: str | Path) -> Model:
    """Read a model from its folder, or from a study's folder the model that the study recommends.

    Raises:
        FileNotFoundError: There is no model.
        ValueError: A file is damaged, or was written by a later version; the message names it.
    """
    place = Path(folder)
    if (use := place / MODELS / USE).is_file():
        place = use.parent / read_verified(use, "model")["model"]
    path = place / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{place}: no model, that is a folder with {MANIFEST}")
    about = read_verified(path, "format", "networks", "input", "tasks")
    if about["format"] > FORMAT:
        raise ValueError(f"{path}: format {about['format']} is of a later version of ums than this")
    arrays, _ = read_kept(place / WEIGHTS, digest_of(about))
    networks = {}
    with reading(path):
        for name, description in about["networks"].items():
            own = {
                k.removeprefix(f"{name}/"): v for k, v in arrays.items() if k.startswith(f"{name}/")
            }
            networks[name] = build(description)
            networks[name].load_state_dict(own)
    return Model(networks, about)


def describe(layer: Layer) -> Any:
    """A layer as JSON can hold it, without its weights: a list for a Sequential, else a dict.

    Raises:
        ValueError: It is a layer of one's own, which :func:`build` would not know.
    """
    if type(layer) is Sequential:
        return [describe(each) for each in layer]
    if type(layer).__name__ not in layers.__all__ or type(layer).__module__ != layers.__name__:
        raise ValueError(f"{layer!r} is no layer of ums.layers, and cannot be saved as a model")
    return {"layer": type(layer).__name__} | layer.arguments()


def build(description: Any) -> Layer:
    """The layer that :func:`describe` described, with random weights.

    Raises:
        ValueError: There is no such layer.
    """
    if isinstance(description, list):
        return Sequential(*map(build, description))
    arguments = dict(description)
    kind = vars(layers).get(name := arguments.pop("layer"))
    if not (isinstance(kind, type) and issubclass(kind, Layer)):
        raise ValueError(f"unknown layer {name!r}")
    if "rng" in inspect.signature(kind).parameters:
        arguments["rng"] = np.random.default_rng(0)
    return kind(**arguments)
