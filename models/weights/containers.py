"""Where in a checkpoint the network lies: within dictionaries, behind prefixes, beside a second network.

Trainers put a network into dictionaries (`state_dict`, `model`, ...) and modules (`module.`, `backbone.`, ...), in any
nesting. Both are names with a dot here. A network is recognised by the layers that networks begin with.

One rule decides between two networks: the one that the optimiser trained is taken, not its moving average (query before
key, online before target, backbone before momentum_backbone, model before model_ema); but of a student and a teacher of
the same shapes, which is self-distillation, the teacher, as DINO's authors do. What was taken is for callers to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

State = dict[str, Tensor]
PREFIXES = ("module.", "_orig_mod.", "_fsdp_wrapped_module.")
# Dictionaries and modules that hold a network, those of the trained one first.
TRAINED = ("state_dict.", "model_state_dict.", "model_state.", "classy_state_dict.", "base_model.", "model.", "module.",
           "net.", "network.", "backbone.", "student.", "student_backbone.", "trunk.", "encoder.", "feature_extractor.",
           "resnet.", "cnn.", "vit.", "features.", "_feature_blocks.", "encoder_q.", "base_encoder.", "0.",
           "online_model.")
AVERAGED = ("model_ema.", "state_dict_ema.", "ema_state_dict.", "ema_model.", "ema.", "teacher.", "teacher_backbone.",
            "momentum_backbone.", "backbone_momentum.", "momentum_encoder.", "encoder_momentum.", "encoder_k.",
            "target_encoder.", "target_network.", "target_backbone.")
DISTILLED = (("teacher.", "student."), ("teacher_backbone.", "student_backbone."), ("teacher_backbone.", "backbone."))
DICTIONARIES = ("state_dict.", "model_state_dict.", "model_state.", "model.", "module.", "net.", "model_ema.",
                "state_dict_ema.", "teacher.")
# The layers with which networks begin, under timm's, torchvision's and the papers' names.
STEM = re.compile(r"(conv1|conv_stem|_conv_stem|conv_proj|patch_embed\w*|stem\w*|features|downsample_layers|cls_token|"
                  r"class_token|layer0|layer1|layers|stages|blocks|body|visual|embeddings)\.|(cls_token|class_token)$|"
                  r"0\.weight$|4\.0\.conv1\.")
# A network of another family within `features`, which begins VGG's and DenseNet's names.
INNER = re.compile(r"features\.((layer1|conv_stem|patch_embed|blocks)\.|cls_token$|4\.0\.conv1\.)")
# Dictionaries of a training state in which no network is looked for.
ASIDE = re.compile(r"optim|lr_|sched|scaler|amp$|rng|random|loops|callbacks|hyper_parameters|args|param_groups", re.I)
# What pre-training keeps beside or behind a network, and is not needed again.
PRETEXT = re.compile(r"(module\.)?(projection_head|prediction_head|projector|predictor|prototypes|queue|momentum_|"
                     r"decoder_|n_averaged|step$|initted$|dino_head|ibot_head)")
# Projection heads in the classifier's place.
PROJECTION = re.compile(r"(fc|head)\.(\d+|mlp|last_layer)\.")
# Behind the children of torchvision's ResNet in a Sequential.
RESNET_CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4", "9": "fc"}


@dataclass(frozen=True)
class FoundNetwork:
    """The tensors of a network, how it is called in its file, and the other networks there."""

    state: State
    name: str = ""
    rivals: tuple[str, ...] = ()

    @property
    def choice(self) -> str:
        """What was taken of several, in words; "" where there was no choice."""
        return f"holds {self.name} and {', '.join(self.rivals)}: {self.name} is taken" if self.rivals else ""


def flatten_tensors(content: Mapping, before: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors at any depth of dictionaries, under their names joined by dots."""
    for name, value in content.items():
        if isinstance(value, Tensor):
            yield f"{before}{name}", value
        elif isinstance(value, Mapping) and not ASIDE.match(str(name)):
            yield from flatten_tensors(value, f"{before}{name}.")


def extract_network(state: State, known: Callable[[State], bool]) -> FoundNetwork:
    """The network in a flat state dict; all of it, unchanged, where none is recognised.

    `known` says of a state dict whether it is a layout that callers take apart themselves.
    """
    return _search(state, known) or FoundNetwork(_open_dictionaries(state))


def strip_prefixes(state: State) -> State:
    """Without the prefixes of DataParallel, FSDP and torch.compile, where all names have them."""
    for prefix in PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            return strip_prefixes({name.removeprefix(prefix): value for name, value in state.items()})
    return state


def drop_pretext(state: State) -> State:
    """Without projection heads, prototypes, queues and decoders; children of a Sequential ResNet under their names."""
    kept = {name: value for name, value in state.items() if not PRETEXT.match(name)}
    if _is_numbered(kept):
        return {".".join((RESNET_CHILDREN.get(name.split(".")[0], name.split(".")[0]), *name.split(".")[1:])): value
                for name, value in kept.items()}
    return kept


def under(state: State, prefix: str) -> State:
    """The tensors below a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _open_dictionaries(state: State) -> State:
    """What lies in the usual dictionaries, where no network is recognised in them."""
    state = strip_prefixes(state)
    inner = next((inner for place in DICTIONARIES if (inner := under(state, place))), None)
    return state if inner is None else _open_dictionaries(inner)


def _search(state: State, known: Callable[[State], bool]) -> FoundNetwork | None:
    state = strip_prefixes(state)
    if known(state):
        return FoundNetwork(state)
    if _begins(state):
        return FoundNetwork(drop_pretext(state))
    found = {place: inner for place in (*TRAINED, *AVERAGED) if (inner := _look(state, place, known))}
    if not found:
        return _search_strange(state, known)
    taken = _choose(found)
    # Nothing else is said of what is no network: heads and losses are another module's than the one taken.
    rivals = [place.rstrip(".") for place in found if place != taken and _is_rival(found[place], found[taken])]
    inner = found[taken]
    return inner if inner.rivals else FoundNetwork(inner.state, taken.rstrip("."), tuple(rivals))


def _look(state: State, place: str, known: Callable[[State], bool]) -> FoundNetwork | None:
    inner = under(state, place)
    return _search(inner, known) if inner else None


def _choose(found: Mapping[str, FoundNetwork]) -> str:
    for teacher, student in DISTILLED:
        if teacher in found and student in found and _shapes(found[teacher]) == _shapes(found[student]):
            return teacher
    return next(iter(found))


def _is_rival(other: FoundNetwork, taken: FoundNetwork) -> bool:
    """Another network, and not the same tensors once more in another place of the file."""
    return any(name not in taken.state or value is not taken.state[name] for name, value in other.state.items())


def _search_strange(state: State, known: Callable[[State], bool]) -> FoundNetwork | None:
    """The network in the only part that has one, at any depth, whatever it is called (`self.cnn_body = resnet50()`)."""
    parts = dict.fromkeys(name.split(".")[0] for name in state if "." in name)
    found = {part: inner for part in parts if not part.isdigit()
             and (inner := _search_part(strip_prefixes(under(state, f"{part}.")), known))}
    return next(iter(found.values())) if len(found) == 1 else None


def _search_part(state: State, known: Callable[[State], bool]) -> FoundNetwork | None:
    """The same in a part of another name; a head that begins with a numbered layer is no network."""
    head = "0.weight" in state and not _is_numbered(state)
    return None if head else _search(state, known)


def _is_numbered(state: State) -> bool:
    """Whether it is a ResNet as a Sequential of its children."""
    return any(name.startswith("4.0.conv1.") for name in state) and any(name.startswith("0.") for name in state)


def _begins(state: State) -> bool:
    """Whether there is the first layer of a network at this depth."""
    within = any(INNER.match(name) for name in state)
    return any(STEM.match(name) and not (within and name.startswith("features.")) for name in state)


def _shapes(found: FoundNetwork) -> list[tuple[str, tuple[int, ...]]]:
    return sorted((name, tuple(value.shape)) for name, value in found.state.items() if not name.startswith("head."))
