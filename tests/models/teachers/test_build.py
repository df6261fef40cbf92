"""Frozen teachers: what leaves them, what they hide, and how CLIP's files are read."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from models.teachers.build import build_teacher
from models.teachers.clip import has_quick_gelu, read_text_tensor
from models.teachers.frozen import EnsembleTeacher, resize
from runtime.errors import WeightsError

CLIP_CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}
pytestmark = [
    pytest.mark.filterwarnings("ignore:teacher .* has random weights"),
    pytest.mark.filterwarnings("ignore:.* looks trained with QuickGELU"),
]


@pytest.fixture(scope="module")
def clip_name(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A CLIP of a few thousand image weights, known to open_clip as `tiny-clip`."""
    import open_clip

    path = tmp_path_factory.mktemp("configs") / "tiny-clip.json"
    path.write_text(json.dumps(CLIP_CONFIG))
    open_clip.add_model_config(path)
    return "tiny-clip"


@pytest.fixture
def clip_model(clip_name: str) -> nn.Module:
    """The tiny CLIP with QuickGELU and reproducible weights."""
    import open_clip

    torch.manual_seed(4)
    return open_clip.create_model(clip_name, load_weights=False, force_quick_gelu=True).eval()


@pytest.fixture
def images() -> torch.Tensor:
    """Four noisy uint8 images of 32 pixels."""
    return torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _image_teacher(**kwargs):
    torch.manual_seed(0)
    return build_teacher("resnet10t", **{"weights": "none", "precision": "fp32", "size": 32, **kwargs})


def test_answers_are_ordinary_float32(images: torch.Tensor) -> None:
    for precision in ("fp32", "bf16"):
        answer = _image_teacher(precision=precision).encode(images)
        assert answer.dtype == torch.float32 and answer.shape == (4, 512)
        assert not answer.is_inference() and not answer.requires_grad


def test_a_student_can_learn_from_an_answer(images: torch.Tensor) -> None:
    student = nn.Linear(512, 3)
    student(_image_teacher().encode(images)).sum().backward()
    assert student.weight.grad.abs().sum() > 0


def test_autocast_around_a_teacher_changes_nothing(images: torch.Tensor) -> None:
    teacher = _image_teacher()
    with torch.autocast("cpu", torch.bfloat16):
        inside = teacher.encode(images)
    assert torch.equal(inside, teacher.encode(images))


def test_bf16_teacher_agrees_with_fp32(images: torch.Tensor) -> None:
    exact, coarse = _image_teacher().encode(images), _image_teacher(precision="bf16").encode(images)
    assert torch.cosine_similarity(exact, coarse).min() > 0.995
    assert not torch.equal(exact, coarse)


def test_a_teacher_is_hidden_from_optimiser_state_dict_and_train(images: torch.Tensor) -> None:
    method = nn.ModuleDict({"student": nn.Linear(2, 2), "teacher": _image_teacher()}).train()
    optimiser = torch.optim.SGD(method.parameters(), 0.1)
    assert sum(len(group["params"]) for group in optimiser.param_groups) == 2
    assert set(method.state_dict()) == {"student.weight", "student.bias"}
    network = method["teacher"].network
    assert not any(part.training for part in network.modules())
    assert not any(p.requires_grad for p in network.parameters())
    statistics = copy.deepcopy(network.state_dict())
    method["teacher"].encode(images)
    assert all(torch.equal(value, statistics[name]) for name, value in network.state_dict().items())


def test_a_hidden_network_follows_its_parent_to_a_device() -> None:
    parent = nn.ModuleDict({"teacher": _image_teacher()}).to("meta")
    assert {p.device.type for p in parent["teacher"].network.parameters()} == {"meta"}


def test_auto_settles_on_one_precision() -> None:
    assert _image_teacher(precision="auto").precision in {"fp32", "bf16"}


def test_teachers_resize_views_of_other_sizes(images: torch.Tensor) -> None:
    assert resize(images, 32) is images
    small = resize(images, 20)
    assert small.shape == (4, 3, 20, 20) and small.min() >= 0 and small.max() <= 1
    constant = torch.full((1, 3, 48, 48), 128, dtype=torch.uint8)
    teacher = _image_teacher()
    assert teacher.encode(constant).allclose(teacher.encode(constant[..., :32, :32]), atol=1e-4)


def test_student_norm_replaces_the_teachers_own() -> None:
    own = build_teacher("tf_efficientnet_lite0", weights="none", precision="fp32")
    student = build_teacher("tf_efficientnet_lite0", weights="none", precision="fp32", norm="student")
    assert own.network.mean.flatten().tolist() == pytest.approx([0.5] * 3)
    assert student.network.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert student.network.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])


def test_ensemble_puts_members_side_by_side(images: torch.Tensor) -> None:
    first, second = _image_teacher(), _image_teacher(size=64)
    both = EnsembleTeacher([first, second])
    assert (both.size, both.dim, both.widths) == (64, 1024, (512, 512))
    assert torch.equal(both.encode(images), torch.cat([first.encode(images), second.encode(images)], 1))
    assert len(list(both.parameters())) == 0
    built = build_teacher("resnet10t+resnet18", weights="none", precision="fp32", size=32)
    assert built.encode(images).shape == (4, 1024)


def test_ensemble_needs_a_source_for_every_member() -> None:
    with pytest.raises(WeightsError, match="2 members and 1 weights"):
        build_teacher("resnet10t+resnet18", weights="one.pth")


def test_fingerprint_tells_teachers_apart() -> None:
    first = _image_teacher()
    torch.manual_seed(9)
    other = build_teacher("resnet10t", weights="none", precision="fp32", size=32)
    assert first.fingerprint() == _image_teacher().fingerprint() != other.fingerprint()


def test_unknown_options_are_refused() -> None:
    with pytest.raises(WeightsError, match="teacher norm"):
        build_teacher("resnet10t", weights="none", norm="theirs")
    with pytest.raises(WeightsError, match="open_clip knows no model"):
        build_teacher("clip:ViT-Z-99", weights="none")


def test_random_teacher_is_announced() -> None:
    with pytest.warns(UserWarning, match="random weights"):
        build_teacher("resnet10t", weights="none", precision="fp32")


def _save_plain(model: nn.Module, path: Path) -> None:
    torch.save({name: value.clone() for name, value in model.state_dict().items()}, path)


def _save_training_run(model: nn.Module, path: Path) -> None:
    state = {f"module.{name}": value.clone() for name, value in model.state_dict().items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": state}, path)


@pytest.mark.parametrize("style", ["plain", "training run", "OpenAI's archive"])
def test_clip_files_of_every_style_load(
    style: str, clip_model: nn.Module, clip_name: str, images: torch.Tensor, tmp_path: Path, save_openai_archive: Callable
) -> None:
    path = tmp_path / "openai-clip.pt"
    save = {"plain": _save_plain, "training run": _save_training_run, "OpenAI's archive": save_openai_archive}[style]
    save(clip_model, path)
    teacher = build_teacher("clip", weights=path, clip_arch=clip_name, precision="fp32")
    assert (teacher.size, teacher.dim) == (32, 16) and has_quick_gelu(teacher.network)
    mean, std = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    pixels = (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        expected = clip_model.encode_image(pixels, normalize=True)
    assert teacher.encode(images).allclose(expected, atol=2e-3)


def test_quick_gelu_follows_the_file(
    clip_model: nn.Module, clip_name: str, tmp_path: Path, save_openai_archive: Callable
) -> None:
    _save_plain(clip_model, tmp_path / "laion.pt")
    plain = build_teacher("clip", weights=tmp_path / "laion.pt", clip_arch=clip_name, precision="fp32")
    assert not has_quick_gelu(plain.network)
    save_openai_archive(clip_model, tmp_path / "downloaded.pt")
    with pytest.warns(UserWarning, match="QuickGELU"):
        theirs = build_teacher("clip", weights=tmp_path / "downloaded.pt", clip_arch=clip_name, precision="fp32")
    assert has_quick_gelu(theirs.network)
    assert theirs.fingerprint().endswith("-quickgelu") and not plain.fingerprint().endswith("-quickgelu")


def test_quick_gelu_by_name_is_questioned_for_other_files(tmp_path: Path) -> None:
    import open_clip

    path = tmp_path / "tiny-quickgelu.json"
    path.write_text(json.dumps(CLIP_CONFIG | {"quick_gelu": True}))
    open_clip.add_model_config(path)
    _save_plain(open_clip.create_model("tiny-quickgelu", load_weights=False), tmp_path / "laion.pt")
    with pytest.warns(UserWarning, match="does not look like OpenAI's; .* name tiny"):
        build_teacher("clip:tiny-quickgelu", weights=tmp_path / "laion.pt", precision="fp32")


def test_clip_encodes_text(clip_model: nn.Module, clip_name: str, tmp_path: Path) -> None:
    _save_plain(clip_model, tmp_path / "openai.pt")
    teacher = build_teacher("clip", weights=tmp_path / "openai.pt", clip_arch=clip_name, precision="bf16")
    rows = teacher.encode_text(["a red bird", "a blue bird", "bird " * 200])
    assert rows.shape == (3, 16) and rows.dtype == torch.float32
    assert rows.norm(dim=1).allclose(torch.ones(3), atol=1e-5)
    assert not torch.equal(rows[0], rows[1])


def test_clip_at_another_size_keeps_its_weights(clip_model: nn.Module, clip_name: str, tmp_path: Path) -> None:
    _save_plain(clip_model, tmp_path / "openai.pt")
    teacher = build_teacher("clip", weights=tmp_path / "openai.pt", clip_arch=clip_name, precision="fp32", size=64)
    assert teacher.size == 64
    assert torch.equal(teacher.network.net.proj, clip_model.visual.proj)
    assert teacher.encode(torch.zeros(1, 3, 64, 64)).shape == (1, 16)


def test_wrong_clip_model_for_a_file_is_named(clip_model: nn.Module, tmp_path: Path) -> None:
    _save_plain(clip_model, tmp_path / "openai.pt")
    with pytest.raises(WeightsError, match="(?s)does not fit.*width 64 and patch 16"):
        build_teacher("clip:ViT-B-32", weights=tmp_path / "openai.pt", precision="fp32")


def test_text_tensor_comes_back_as_unit_rows(tmp_path: Path) -> None:
    rows = torch.randn(5, 8)
    torch.save((3 * rows).half(), tmp_path / "text.pt")
    read = read_text_tensor(tmp_path / "text.pt", rows=5, width=8)
    assert read.dtype == torch.float32
    assert read.allclose(nn.functional.normalize(rows, dim=1), atol=1e-3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.ones(4, 8), "4 rows"),
        (torch.ones(5, 7), "7 columns"),
        (torch.ones(5, 8, 1), "one float matrix"),
        (torch.ones(5, 8, dtype=torch.long), "one float matrix"),
        (torch.zeros(5, 8), "zero or not finite"),
        ({"text": torch.ones(5, 8)}, "holds dict"),
    ],
)
def test_text_tensor_that_does_not_fit_is_refused(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "text.pt")
    with pytest.raises(WeightsError, match=message):
        read_text_tensor(tmp_path / "text.pt", rows=5, width=8)
