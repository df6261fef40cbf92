"""ONNX: one file, any number of images, mean, std and names in its metadata.

The graph is traced by torch's TorchScript-based exporter: LEAD's EfficientNet-Lite0 took 0.6 s on a CPU where the newer
one (torch.export) took 14 s and onnxscript, with equal numbers.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.flags.evaluate.export import ExportOptions
from engine.workflows.export.package import Package, Run, as_texts, list_facts, name_results
from engine.workflows.export.pixels import PixelNetwork, make_example
from engine.workflows.export.subject import Exportable
from runtime.errors import ConfigError

if TYPE_CHECKING:
    import onnx

LINEAR = ["MatMul", "Gemm"]
IN_INTEGERS = ("MatMulInteger", "DynamicQuantizeMatMul")
INPUT = "images"


def make_onnx(exportable: Exportable, options: ExportOptions) -> Package:
    """The network as ONNX; raises ConfigError for one that has no such graph."""
    model = trace_onnx(exportable, options)
    facts = list_facts(exportable, options.pixels) | {"opset": options.opset, "quantised": options.quantise}
    full = None
    name = "model.onnx"
    if options.quantise == "int8":
        full = run_onnx(model.SerializeToString(), exportable)
        model, name = quantise_onnx(model, exportable), "model_int8.onnx"
    for key, value in as_texts(facts).items():
        model.metadata_props.add(key=key, value=value)
    content = model.SerializeToString()
    lines = ("import onnxruntime", f'session = onnxruntime.InferenceSession("{name}")',
             f'{name_results(exportable)} = session.run(None, {{"{INPUT}": pixels}})')
    return Package({name: content}, run_onnx(content, exportable), options.pixels, lines,
                   f"ONNX opset {options.opset}", full)


def trace_onnx(exportable: Exportable, options: ExportOptions) -> onnx.ModelProto:
    """The graph, whose first axis may have any length."""
    import onnx

    names = list(exportable.chosen)
    try:
        with warnings.catch_warnings(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")  # that the exporter is old, and what becomes a constant
            torch.onnx.export(
                PixelNetwork(exportable, options.pixels), (make_example(exportable, options.pixels),), f"{folder}/x",
                input_names=[INPUT], output_names=names, opset_version=options.opset, dynamo=False,
                dynamic_axes={name: {0: "N"} for name in (INPUT, *names)})
            model = onnx.load(f"{folder}/x")
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        first = str(error).strip().split("\n")[0][:300]
        raise ConfigError(f"{exportable.arch} cannot be written as ONNX, opset {options.opset} ({first}); take another "
                          "--opset, or --to torchscript") from error
    for value in (*model.graph.input, *model.graph.output):  # one name for the one axis of images
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    return model


def run_onnx(content: bytes, exportable: Exportable) -> Run:
    """onnxruntime on the CPU, with as many threads as torch."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])

    def run(pixels: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(exportable.chosen, session.run(None, {INPUT: pixels})))

    return run


def quantise_onnx(model: onnx.ModelProto, exportable: Exportable) -> onnx.ModelProto:
    """Linear layers in 8 bits. Convolutions stay: of LEAD's Lite0 they were 2.9 times slower so, and far off."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        full, small = Path(folder, "full.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, full)
        logging.disable(logging.WARNING)  # a general advice about the graph
        try:
            quantize_dynamic(full, small, weight_type=QuantType.QInt8, op_types_to_quantize=LINEAR,
                             extra_options={"MatMulConstBOnly": True})
        finally:
            logging.disable(logging.NOTSET)
        quantised = onnx.load(small)
    if not any(node.op_type in IN_INTEGERS for node in quantised.graph.node):
        raise ConfigError(f"--quantise int8: no linear layer of {exportable.arch} leads to "
                          f"{', '.join(exportable.chosen)}, and convolutions stay as they are; leave it out")
    return quantised
