"""safetensors: the whole network, its description and facts in the header; this project loads it as its own file."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as save_tensors

from engine.workflows.export.package import Package, Run, as_texts, list_facts
from engine.workflows.export.subject import Exportable, list_known
from models.classifiers.file import load_classifier
from models.encoder import Encoder, describe_encoder, load_encoder
from models.network import ClassNetwork, OutputNetwork
from models.weights.styles import CLASSIFIER_FORMAT, EXPORT_FORMAT
from runtime.files import write_bytes

NAME = "model.safetensors"


def make_safetensors(exportable: Exportable) -> Package:
    """All tensors under our own names; the file is read again before it counts."""
    network = exportable.network
    tensors = {name: value.detach().clone().contiguous() for name, value in network.state_dict().items()}
    if isinstance(network, Encoder):
        tensors |= {f"centre.{name}": mean.detach().float().cpu() for name, mean in network.centre.items()}
    facts = list_facts(exportable, "chw") | {"unit": False}
    header = {"plumage_format": EXPORT_FORMAT if isinstance(network, Encoder) else CLASSIFIER_FORMAT,
              "plumage_meta": json.dumps(describe_all(exportable))}
    content = save_tensors(tensors, as_texts(facts) | header)
    run = run_network(load_back(content, exportable), exportable)
    return Package({NAME: content}, run, "chw", list_lines(exportable), "safetensors, of the whole network")


def describe_all(exportable: Exportable) -> dict[str, object]:
    """What our own files say of themselves."""
    view = {"recipe": exportable.view.recipe, "size": exportable.view.size}
    known = list_known(exportable) | {"crop_bottom": exportable.crop_bottom}
    if isinstance(exportable.network, Encoder):
        return known | {"size": view["size"], "eval_view": view["recipe"]} | describe_encoder(exportable.network)
    assert isinstance(exportable.network, ClassNetwork)
    return known | {"network": exportable.network.describe(), "class_names": list(exportable.names),
                    "sources": [asdict(source) for source in exportable.sources], "view": view}


def load_back(content: bytes, exportable: Exportable) -> OutputNetwork:
    """The network as this project loads it from the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, NAME)
        write_bytes(path, content)
        return load_encoder(path) if isinstance(exportable.network, Encoder) else load_classifier(path).network


def run_network(network: OutputNetwork, exportable: Exportable) -> Run:
    """Its outputs by name."""

    @torch.no_grad()
    def run(pixels: np.ndarray) -> dict[str, np.ndarray]:
        found = network.outputs(torch.from_numpy(pixels))
        return {name: found[name].numpy() for name in exportable.chosen}

    return run


def list_lines(exportable: Exportable) -> tuple[str, ...]:
    """How the file is loaded, with this project installed or in its folder: pictures in, see docs/library.md."""
    if isinstance(exportable.network, Encoder):
        return ("from plumage import load_encoder", f'encoder = load_encoder("{NAME}")',
                "embeddings = encoder.embed(paths)")
    return ("from plumage import load_classifier", f'classifier = load_classifier("{NAME}")',
            "shares = classifier.probabilities(paths)")
