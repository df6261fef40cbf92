"""TorchScript: one file that torch loads without this project, or any Python; mean, std and names lie in it."""

from __future__ import annotations

import io
import json
import warnings

import numpy as np
import torch
from torch import nn

from engine.flags.evaluate.export import ExportOptions
from engine.workflows.export.package import Package, Run, list_facts, name_results
from engine.workflows.export.pixels import PixelNetwork, make_example
from engine.workflows.export.subject import Exportable
from models.encoder import Encoder
from models.heads import LinearHead, ProjectionHead
from models.plug_in.module import PlugIn
from runtime.errors import ConfigError

FACTS = "plumage.json"


def make_torchscript(exportable: Exportable, options: ExportOptions) -> Package:
    """The network as a traced graph; raises ConfigError for one that cannot be traced."""
    network = PixelNetwork(exportable, options.pixels)
    facts = list_facts(exportable, options.pixels) | {"quantised": options.quantise}
    content, full, name = trace_torchscript(network, exportable, options, facts), None, "model.torchscript.pt"
    if options.quantise == "int8":
        full, name = run_torchscript(content, exportable), "model_int8.torchscript.pt"
        content = trace_torchscript(quantise_linear(network, exportable), exportable, options, facts)
    lines = ("import torch", f'model = torch.jit.load("{name}")',
             f"{name_results(exportable).rstrip(',')} = model(torch.from_numpy(pixels))")
    return Package({name: content}, run_torchscript(content, exportable), options.pixels, lines,
                   f"TorchScript of torch {torch.__version__}", full)


def trace_torchscript(
    network: nn.Module, exportable: Exportable, options: ExportOptions, facts: dict[str, object]
) -> bytes:
    """The file of a graph, with the facts in it."""
    file = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # that TorchScript is old, and what becomes a constant
            graph = torch.jit.trace(network, (make_example(exportable, options.pixels),), check_trace=False)
            torch.jit.save(graph, file, _extra_files={FACTS: json.dumps(facts)})
    except (RuntimeError, ValueError, TypeError, StopIteration) as error:
        first = str(error).strip().split("\n")[0][:300]
        raise ConfigError(f"{exportable.arch} cannot be written as TorchScript ({first}); take --to onnx") from error
    return file.getvalue()


def run_torchscript(content: bytes, exportable: Exportable) -> Run:
    """The graph of a file, on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch.jit.load(io.BytesIO(content))

    @torch.no_grad()
    def run(pixels: np.ndarray) -> dict[str, np.ndarray]:
        found = graph(torch.from_numpy(pixels))
        rows = found if isinstance(found, (tuple, list)) else (found,)
        return {name: value.numpy() for name, value in zip(exportable.chosen, rows)}

    return run


def quantise_linear(network: PixelNetwork, exportable: Exportable) -> nn.Module:
    """Linear layers in 8 bits; raises ConfigError where there are none, or where their weights are used otherwise."""
    inside = network.network
    if isinstance(inside, Encoder) and isinstance(inside.head, ProjectionHead):
        inside.add_module("head", nn.Sequential(*inside.head))  # which may hold other layers than the head's own class
    if isinstance(inside, Encoder) and isinstance(inside.head, LinearHead):
        plain = nn.Linear(inside.head.in_features, inside.head.out_features, bias=inside.head.bias is not None)
        plain.load_state_dict(inside.head.state_dict())
        inside.add_module("head", plain)  # torch takes this very class, none that is derived from it
    if isinstance(inside, PlugIn):
        raise ConfigError("--quantise int8: the plug-in module's combiner reads its linear layers' weights, which "
                          "torch's 8 bits do not allow; take --to onnx")
    from torch.ao.quantization import quantize_dynamic

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch moves its quantisation elsewhere
        quantised = quantize_dynamic(network, {nn.Linear}, dtype=torch.qint8)
    if not any("quantized" in type(part).__module__ for part in quantised.modules()):
        raise ConfigError(f"--quantise int8: no linear layer of {exportable.arch} leads to "
                          f"{', '.join(exportable.chosen)}, and convolutions stay as they are; leave it out")
    return quantised
