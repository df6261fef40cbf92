"""Where trainers keep a network: every layout opens as the very tensors that were put in, and a choice is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from benchmarks.reference.public_files import write_lcr_byol
from models.classifiers.start import start_from
from models.encoder import load_encoder
from models.sizes import build_without_memory
from models.weights.match import load_weights
from models.weights.styles import unwrap_checkpoint
from runtime.errors import WeightsError

State = dict[str, Tensor]
ODD = torch.ones(3, 3)
CHILDREN = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}


def pre(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


def other(state: State) -> State:
    """A second network of the same shapes, which must not be taken."""
    return {name: value + 1 for name, value in state.items()}


def numbered(state: State) -> State:
    """`nn.Sequential(*list(resnet.children())[:-1])`, as lightly's and Barlow Twins' examples build it."""
    return {".".join((CHILDREN[name.split(".")[0]], *name.split(".")[1:])): value for name, value in state.items()}


def sgd() -> dict:
    """An optimiser that has stepped: its tensors are no network's."""
    return {"state": {0: {"momentum_buffer": torch.ones(64, 3, 7, 7), "step": torch.tensor(3.0)}}, "param_groups": [{}]}


LAYOUTS: dict[str, Callable[[State], dict]] = {
    "SwAV": lambda s: pre(s | {"projection_head.0.weight": ODD, "prototypes.weight": ODD}, "module."),
    "SwAV's full checkpoint": lambda s: {"optimizer": sgd(), "epoch": 3, "state_dict": pre(s | {
        "projection_head.3.bias": ODD, "prototypes.prototypes0.weight": ODD}, "module.")},
    "model_state_dict": lambda s: {"model_state_dict": s, "optimizer_state_dict": sgd(), "epoch": 3, "loss": 0.1},
    "AveragedModel": lambda s: {"n_averaged": torch.tensor(3)} | pre(s, "module."),
    "AveragedModel of DataParallel": lambda s: {"n_averaged": torch.tensor(3)} | pre(s, "module.module."),
    "Lightning": lambda s: {"state_dict": pre(s, "model."), "pytorch-lightning_version": "2.4", "epoch": 1,
                            "optimizer_states": [sgd()], "hyper_parameters": {"lr": 0.1}},
    "Lightning, compiled": lambda s: {"state_dict": pre(s, "model._orig_mod.")},
    "Lightning with a loss that learns": lambda s: {"state_dict": pre(s, "net.") | {"criterion.centers": ODD}},
    "Lightning under a name of one's own": lambda s: {"state_dict": pre(s, "my_cnn.") | {"my_head.weight": ODD}},
    "solo-learn": lambda s: {"state_dict": pre(s, "backbone.") | pre(other(s), "momentum_backbone.") | {
        "classifier.weight": ODD, "projector.0.weight": ODD, "momentum_projector.0.weight": ODD, "queue": ODD}},
    "DINO": lambda s: {"student": pre(other(s), "module.backbone.") | {"module.head.mlp.0.weight": ODD},
                       "teacher": pre(s, "backbone.") | {"head.mlp.0.weight": ODD, "head.last_layer.weight_v": ODD},
                       "optimizer": sgd(), "epoch": 3, "dino_loss": {"center": ODD}},
    "DINOv2's training": lambda s: {"model": pre(s, "teacher.backbone.") | pre(other(s), "student.backbone.") | {
        "student.dino_head.mlp.0.weight": ODD, "teacher.ibot_head.mlp.0.weight": ODD, "dino_loss.center": ODD}},
    "DINOv2's teacher": lambda s: {"teacher": pre(s, "backbone.") | {"dino_head.mlp.0.weight": ODD}},
    "a student of a larger teacher": lambda s: {"state_dict": pre(s, "student.") | {
        f"teacher.{name}": torch.cat([value, value]) if value.dim() else value for name, value in s.items()}},
    "MoCo v3": lambda s: {"state_dict": pre(s, "module.base_encoder.") | pre(other(s), "module.momentum_encoder.") | {
        "module.base_encoder.fc.0.weight": ODD, "module.base_encoder.fc.1.running_mean": ODD,
        "module.predictor.0.weight": ODD}, "arch": "resnet18", "optimizer": sgd()},
    "MoCo v2": lambda s: {"state_dict": pre(s, "module.encoder_q.") | pre(other(s), "module.encoder_k.") | {
        "module.encoder_q.fc.0.weight": ODD, "module.encoder_q.fc.2.weight": ODD, "module.queue": ODD}},
    "SimSiam": lambda s: {"state_dict": pre(s | {"fc.0.weight": ODD, "fc.1.weight": ODD}, "module.encoder.") | {
        "module.predictor.0.weight": ODD}, "optimizer": sgd()},
    "SimCLR": lambda s: {"state_dict": pre(s | {"fc.0.weight": ODD, "fc.2.weight": ODD}, "backbone.")},
    "SupCon": lambda s: {"model": pre(s, "encoder.module.") | {"head.0.weight": ODD}},
    "Barlow Twins": lambda s: {"model": pre(s, "module.backbone.") | {"module.projector.0.weight": ODD,
                                                                      "module.bn.running_mean": ODD}},
    "BYOL of lucidrains": lambda s: pre(s, "online_encoder.net.") | pre(other(s), "target_encoder.net.") | {
        "online_encoder.projector.0.weight": ODD, "online_predictor.0.weight": ODD},
    "lightly": lambda s: {"state_dict": pre(numbered(s), "backbone.") | {
        f"backbone_momentum.{name}": value + 1 for name, value in numbered(s).items()} | {
        "projection_head.layers.0.weight": ODD, "prediction_head.layers.0.weight": ODD}},
    "lightly's DINO": lambda s: pre(s, "teacher_backbone.") | pre(other(s), "student_backbone.") | {
        "student_head.layers.0.weight": ODD},
    "Sequential": numbered,
    "VISSL": lambda s: {"classy_state_dict": {"base_model": {"model": {
        "trunk": pre(s, "_feature_blocks."), "heads": {"0.clf.0.weight": ODD}}}}, "phase": 3},
    "mmselfsup": lambda s: {"meta": {"epoch": 3}, "state_dict": pre(s, "backbone.") | {"neck.fc0.weight": ODD,
                                                                                       "head.cls.weight": ODD}},
    "timm": lambda s: {"epoch": 3, "arch": "resnet18", "state_dict": s, "state_dict_ema": other(s), "metric": 77.1},
    "timm, compiled": lambda s: {"state_dict": pre(s, "_orig_mod."), "state_dict_ema": pre(other(s), "module.")},
    "DeepSpeed": lambda s: {"module": s, "optimizer": sgd()},
    "a body in `features`": lambda s: {"model": pre(s, "features.") | {"fc.weight": ODD}},
    "children in `features`": lambda s: pre(numbered(s), "features.") | {"fc.weight": ODD},
    "an optimiser among the tensors": lambda s: s | {"optimizer": sgd(), "epoch": 3},
    "wrapped twice": lambda s: {"net": {"state_dict": pre(s, "module.model.backbone.")}, "lr_scheduler": {"x": ODD}},
    "Mean Teacher": lambda s: {"model": s, "teacher": other(s)},
    "two networks, one trained": lambda s: {"ema": other(s), "net": s, "optim": sgd()},
    "an average only": lambda s: {"model_ema": pre(s, "module.")},
    "parts in dictionaries": lambda s: {"backbone": s, "head": {"weight": ODD}, "optimizer": sgd()},
    "ema-pytorch": lambda s: pre(s, "online_model.") | pre(other(s), "ema_model.") | {"initted": torch.tensor(True),
                                                                                      "step": torch.tensor(9)},
}
CHOICES = {"DINO": "teacher", "DINOv2's training": "teacher", "solo-learn": "backbone", "timm": "state_dict",
           "lightly": "backbone", "lightly's DINO": "teacher_backbone", "MoCo v3": "base_encoder",
           "BYOL of lucidrains": "online_encoder", "Mean Teacher": "model", "two networks, one trained": "net", "a student of a larger teacher": "student"}


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=0).state_dict()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_network_comes_out_as_it_was_put_in(
    layout: str, state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(LAYOUTS[layout](state), tmp_path / "x.pth")
    net = load_encoder(tmp_path / "x.pth", arch="test_resnet").backbone.net
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    said = capsys.readouterr().out
    assert said.count("\n") == (": " in said) and (layout not in CHOICES or f": {CHOICES[layout]} is taken" in said)


def test_a_file_with_one_network_says_nothing(state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for layout in ("SwAV", "Lightning", "AveragedModel", "VISSL", "Sequential", "Barlow Twins"):
        torch.save(LAYOUTS[layout](state), tmp_path / "x.pth")
        load_weights(timm.create_model("test_resnet", num_classes=0), tmp_path / "x.pth")
    assert capsys.readouterr().out == ""


def test_mae_and_dinov2_fill_a_vit(tmp_path: Path) -> None:
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32)
    plain = net.state_dict()
    mae = {"model": plain | {"mask_token": torch.ones(1, 1, 8), "decoder_pos_embed": torch.ones(1, 5, 8),
                             "decoder_blocks.0.norm1.weight": ODD, "decoder_embed.weight": ODD}, "optimizer": sgd()}
    dinov2 = {"teacher": pre(plain, "backbone.") | {"backbone.mask_token": torch.ones(1, 192)}}
    for content in (mae, dinov2):
        torch.save(content, tmp_path / "x.pth")
        target = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32)
        load_weights(target, tmp_path / "x.pth")
        assert all(torch.equal(value, plain[name]) for name, value in target.state_dict().items())


@pytest.mark.parametrize("arch", [
    "volo_d1_224", "vgg11", "densenet121", "densenetblur121d", "dpn68", "rexnet_100", "aimv2_large_patch14_224", "test_vit", "dla34", "nasnetalarge", "efficientvim_m1",
    "inception_resnet_v2", "regnety_002", "crossvit_9_240", "selecsls42", "tresnet_m", "tnt_s_patch16_224"])
@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": pre(s, "module.")}])
def test_names_of_networks_are_not_taken_for_wrappers(arch: str, wrap: Callable) -> None:
    """timm's networks have modules called `network`, `trunk`, `body`, `weights` themselves."""
    if not timm.is_model(arch):
        pytest.skip(f"timm {timm.__version__} has no {arch}")
    for classes in (0, 3):
        state = build_without_memory(lambda: timm.create_model(arch, num_classes=classes)).state_dict()
        assert set(unwrap_checkpoint(wrap(state))) == set(state)


def test_numbered_parts_of_other_networks_keep_their_numbers() -> None:
    state = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)).state_dict()
    assert set(unwrap_checkpoint(state)) == set(state)


@pytest.mark.parametrize("names, words", [
    (["vit.embeddings.cls_token", "vit.encoder.layer.0.attention.attention.query.weight"], "transformers' names"),
    (["class_token", "conv_proj.weight", "encoder.layers.encoder_layer_0.ln_1.weight"], "torchvision's"),
    (["features.0.0.weight", "features.1.0.block.0.0.weight"], "torchvision's")])
def test_names_that_are_not_timms_are_said_to_be_so(names: list[str], words: str, tmp_path: Path) -> None:
    torch.save(dict.fromkeys(names, ODD), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=f"{words}.*take timm's file of it"):
        load_weights(timm.create_model("test_vit", num_classes=0), tmp_path / "x.pth")


def test_a_network_trained_without_the_max_pool_is_said_to_be_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An encoder is built without it; other commands keep their network, and say what that means."""
    torch.save(write_lcr_byol("resnet18"), tmp_path / "byol.pth")
    load_weights(timm.create_model("resnet18", num_classes=0), tmp_path / "byol.pth")
    assert "was trained without the max-pool, which this network has" in capsys.readouterr().out
    notes = start_from(timm.create_model("resnet18", num_classes=3), tmp_path / "byol.pth")
    assert sum("was trained without the max-pool, which this network has" in note for note in notes) == 1


@pytest.mark.slow
def test_every_family_of_timms_keeps_its_names() -> None:
    """One network of each family, with its head, as it is and behind two wrappers; three lie in an `encoder` whole."""
    families: dict[str, str] = {}
    for name in timm.list_models():
        families.setdefault(timm.models.model_entrypoint(name).__module__, name)
    for name in families.values():
        try:
            with torch.device("meta"):
                state = timm.create_model(name).state_dict()
        except (RuntimeError, NotImplementedError):  # it looks at numbers while it is built
            continue
        within = {key.removeprefix("encoder.") for key in state}
        for content in (state, {"state_dict": pre(state, "module.")}, {"state_dict": pre(state, "model.")}):
            assert set(unwrap_checkpoint(content)) in (set(state), within), name


@pytest.mark.parametrize("place", ["checkpoint.model.", "extractor.model.", "cnn_body.inner.net."])
def test_a_network_is_found_behind_names_that_nobody_knows(tmp_path: Path, place: str) -> None:
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    torch.save(pre(state, place) | {"head_of_mine.0.weight": ODD, "loss.proxies": ODD}, tmp_path / "x.pth")
    found = load_encoder(tmp_path / "x.pth", arch="test_resnet").backbone.net.state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())


def test_two_networks_behind_unknown_names_are_not_chosen_between(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    torch.save(pre(state, "one.model.") | pre(other(state), "two.model."), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="0 of"):
        load_encoder(tmp_path / "x.pth", arch="test_resnet")


def test_byol_keeps_what_a_network_has_in_its_head(tmp_path: Path) -> None:
    state = timm.create_model("test_convnext", num_classes=0).state_dict()
    assert "head.norm.weight" in state
    torch.save(pre(state, "online_encoder.net.") | pre(other(state), "target_encoder.net.")
               | {"online_encoder.net.head.fc.weight": ODD, "online_encoder.net.head.0.weight": ODD}, tmp_path / "x.pth")
    found = load_encoder(tmp_path / "x.pth", arch="test_convnext").backbone.net.state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())
