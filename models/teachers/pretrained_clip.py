"""CLIP with weights, through open_clip. The one file that imports it."""

from __future__ import annotations

import difflib
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from models.teachers.clip import ClipModel, ClipNetwork, ClipTeacher, Tokenizer
from models.teachers.frozen import TeacherLook, set_norm, settle_precision
from models.weights import hub
from models.weights.files import find_weights, read_checkpoint
from models.weights.match import match_state
from models.weights.styles import unwrap_checkpoint
from models.weights.usual import CLIP_ARCH
from runtime.errors import WeightsError

OPENAI_EXTRAS = ("input_resolution", "context_length", "vocab_size")
QUICK_GELU_NAMES = ("openai", "quickgelu", "metaclip", "dfn")  # published weights that were trained with QuickGELU


def check_clip(name: str, look: TeacherLook) -> None:
    """Raise WeightsError for a name that open_clip does not know, or a side that its patches do not fill."""
    name = name or look.clip_arch
    if look.size is None:
        _read_clip_config(name)
    else:
        _refuse_clip_size(name, look.size)


def build_clip(name: str, weights: str | Path, look: TeacherLook) -> ClipTeacher:
    """The CLIP that open_clip knows by `name` ("": `look.clip_arch`), with weights of a file, the hub, or none."""
    import open_clip

    name = name or look.clip_arch
    model = _create_clip(name, weights, look.size)
    config = open_clip.get_model_preprocess_cfg(model)
    size = config["size"] if isinstance(config["size"], int) else config["size"][0]
    network = ClipNetwork(model, config["mean"], config["std"]).to(look.device)
    set_norm(network.mean, network.std, look.norm)
    precision = settle_precision(network, look.precision, size)
    with torch.no_grad():
        dim = network(torch.zeros(1, 3, size, size, device=look.device)).shape[1]
    tokenizer = _find_tokenizer(name, asked=str(weights).partition(":")[0] == "hub")
    return ClipTeacher(network, tokenizer=tokenizer, size=size, dim=dim, precision=precision)


def _read_clip_config(name: str) -> dict:
    import open_clip

    config = open_clip.get_model_config(name)
    if config is None:
        close = difflib.get_close_matches(name, open_clip.list_models(), n=5)
        hint = f"Did you mean {', '.join(close)}?" if close else "Names look like ViT-B-16, ViT-L-14-quickgelu, RN50"
        raise WeightsError(f"open_clip knows no model '{name}'. {hint}")
    return config


def _refuse_clip_size(name: str, size: int) -> None:
    vision = _read_clip_config(name)["vision_cfg"]
    step = 32 if isinstance(vision.get("layers"), list) else vision.get("patch_size", 1)  # a ResNet halves five times
    if size % step:
        near = [side for side in (size // step * step, (size // step + 1) * step) if side]
        raise WeightsError(f"--teacher-size {size}: {name} looks at patches of {step} pixels, which do not fill that "
                           f"side; take {' or '.join(map(str, near))}")


def _find_tokenizer(name: str, *, asked: bool) -> Tokenizer:
    """What cuts text into the model's tokens. Some come from the hub: out of its cache, or loaded where `asked`."""
    import open_clip

    if not _read_clip_config(name)["text_cfg"].get("hf_tokenizer_name"):
        return open_clip.get_tokenizer(name)
    remedy = f"Say --teacher-weights hub once where there is a network, or take a model such as {CLIP_ARCH}"
    if asked:
        return hub.download(lambda: open_clip.get_tokenizer(name), f"the tokenizer of {name}", remedy)
    try:
        with hub.no_network():
            return open_clip.get_tokenizer(name)
    except Exception as error:  # every hub client raises its own kind
        raise WeightsError(f"{name} reads text with a tokenizer that is not in the hub's cache, and nothing is "
                           f"downloaded unless asked for. {remedy}") from error


def _create_clip(name: str, weights: str | Path, size: int | None) -> ClipModel:
    """The open_clip model with its weights, on the CPU in float32."""
    import open_clip

    _read_clip_config(name)
    if size is not None:
        _refuse_clip_size(name, size)
    place, _, tag = str(weights).partition(":")
    if place == "hub":
        return _download_clip(name, tag, size)
    state = {} if str(weights) == "none" else read_checkpoint(weights)
    quick = bool(state) and _uses_quick_gelu(state, find_weights(weights).name)
    if quick and not name.endswith("-quickgelu"):
        warnings.warn(f"{weights} looks trained with QuickGELU: building {name} with it", stacklevel=2)
    if state and name.endswith("-quickgelu") and not quick:
        plain = name.removesuffix("-quickgelu")
        warnings.warn(f"{weights} does not look like OpenAI's; if it was trained with GELU, name {plain}", stacklevel=2)
    with _quiet_open_clip(), hub.no_network():
        model = open_clip.create_model(name, load_weights=False, force_quick_gelu=quick, force_image_size=size)
    if state:
        _fill_clip(model, state, str(weights))
    return model


def _uses_quick_gelu(state: Mapping, file_name: str) -> bool:
    """OpenAI's archives carry three extra numbers, their bare state dicts mix half and full floats."""
    types = {tensor.dtype for tensor in unwrap_checkpoint(state).values() if tensor.is_floating_point()}
    mixed = torch.float16 in types and torch.float32 in types
    named = any(word in file_name.lower() for word in QUICK_GELU_NAMES)
    return named or mixed or any(extra in state for extra in OPENAI_EXTRAS)


def _fill_clip(model: ClipModel, checkpoint: Mapping, source: str) -> None:
    """Strictly load OpenAI's or open_clip's names; position embeddings follow another image size."""
    from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed

    state = {name: value for name, value in unwrap_checkpoint(checkpoint).items() if name not in OPENAI_EXTRAS}
    state.pop("attn_mask", None)  # old open_clip files keep the causal mask, which the model makes itself
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    if "logit_scale" in state:
        state["logit_scale"] = state["logit_scale"].reshape(model.logit_scale.shape)
    own = model.state_dict().get("visual.positional_embedding")
    given = state.get("visual.positional_embedding")
    if own is not None and given is not None and own.shape[1:] == given.shape[1:]:
        resize_pos_embed(state, model)
    model.load_state_dict(match_state(state, model, source=source))


def _download_clip(name: str, tag: str, size: int | None) -> ClipModel:
    """The model with published weights: OpenAI's, or those that open_clip knows by `tag`."""
    import open_clip

    plain, tag = name.removesuffix("-quickgelu"), tag or "openai"
    known = open_clip.list_pretrained_tags_by_model(plain)
    if tag not in known:
        raise WeightsError(f"open_clip knows no weights '{tag}' of {plain}, only {', '.join(known) or 'none'}")
    quick = bool(open_clip.get_pretrained_cfg(plain, tag).get("quick_gelu"))
    with _quiet_open_clip():
        return hub.download(
            lambda: open_clip.create_model(plain, tag, force_quick_gelu=quick, force_image_size=size),
            f"open_clip's weights {tag} of {plain}", f"Without network, download {plain}.pt or "
            "open_clip_model.safetensors elsewhere and give its path as the teacher's weights")


@contextmanager
def _quiet_open_clip() -> Iterator[None]:
    """Without open_clip's remark that a model is random, which is about to be filled here."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
