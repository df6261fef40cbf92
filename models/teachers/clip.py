"""CLIP as a teacher: its two towers behind one interface, and the tensors that its text tower made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones import standardise
from models.teachers.frozen import FrozenTeacher
from models.weights.files import read_object
from models.weights.read import fingerprint
from runtime.errors import WeightsError

TEXTS_AT_ONCE = 128


class Tokenizer(Protocol):
    """What cuts texts into numbers: [C] texts -> LongTensor [C, context_length]."""

    context_length: int

    def __call__(self, texts: list[str], /) -> Tensor:
        """Padded, and cut where a text is longer."""


class ClipModel(nn.Module):
    """open_clip's interface as far as it is used here. Its own models have it; none is made of this class."""

    visual: nn.Module
    logit_scale: Tensor
    encode_image: Callable[[Tensor], Tensor]
    encode_text: Callable[[Tensor], Tensor]


class ClipTeacher(FrozenTeacher["ClipNetwork"]):
    """CLIP's image encoder, unit rows; `encode_text` gives the rows that its answers are compared with.

    The text tower stays in float32 whatever the precision of the images' side. `context` is the number of tokens that
    it reads, start and end included.
    """

    def __init__(
        self, network: ClipNetwork, *, tokenizer: Tokenizer, size: int, dim: int, precision: str = "fp32"
    ) -> None:
        super().__init__(network, size=size, dim=dim, precision=precision)
        self.tokenizer = tokenizer
        self.context = tokenizer.context_length

    def fingerprint(self) -> str:
        """sha256 of the weights, and the activation, which the weights do not show."""
        return super().fingerprint() + self._activation()

    def text_fingerprint(self) -> str:
        """The same of the text tower alone, which does not change with the images' size or number format."""
        state = self.network.clip.state_dict()
        return fingerprint({name: state[name] for name in state if not name.startswith("visual.")}) + self._activation()

    def encode_text(self, texts: list[str]) -> Tensor:
        """Sentences, cut to the model's context -> unit rows [C, dim], float32."""
        device = self.network.mean.device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            parts = [self.network.clip.encode_text(self.tokenizer(texts[start : start + TEXTS_AT_ONCE]).to(device))
                     for start in range(0, len(texts), TEXTS_AT_ONCE)]
        return F.normalize(torch.cat(parts).float(), dim=-1)

    def count_tokens(self, texts: list[str]) -> list[int]:
        """How many tokens each text is, start and end included, uncut."""
        if hasattr(self.tokenizer, "encode"):
            return [len(self.tokenizer.encode(text)) + 2 for text in texts]
        assert hasattr(self.tokenizer, "tokenizer")  # one from the hub
        return [len(self.tokenizer.tokenizer(text)["input_ids"]) for text in texts]

    def _answer(self, images: Tensor) -> Tensor:
        return F.normalize(self.network(images).float(), dim=-1)

    def _activation(self) -> str:
        return "-quickgelu" if has_quick_gelu(self.network) else ""


class ClipNetwork(nn.Module):
    """An open_clip model with the normalisation of its images: [B, 3, H, W] -> [B, D]."""

    mean: Tensor
    std: Tensor

    def __init__(self, clip: ClipModel, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    @property
    def net(self) -> nn.Module:
        """The images' tower, whose number format is the teacher's precision."""
        return self.clip.visual

    def forward(self, images: Tensor) -> Tensor:
        """uint8 or float 0..1 [B, 3, H, W] -> image embeddings [B, D], not normalised."""
        images = standardise(images, self.mean, self.std)
        return self.clip.encode_image(images.to(next(self.net.parameters()).dtype))


def has_quick_gelu(network: nn.Module) -> bool:
    """True for a CLIP that was built with OpenAI's activation."""
    return any(type(part).__name__ == "QuickGELU" for part in network.modules())


def read_text_tensor(
    path: str | Path, *, rows: int | None = None, width: int | None = None, as_stored: bool = False
) -> Tensor:
    """Text prototypes of a file, float32 [C, D]: unit rows, or, `as_stored`, as half precision has left them.

    Raises WeightsError when it is not [rows, width].
    """
    tensor = read_object(path)
    if not isinstance(tensor, Tensor) or tensor.dim() != 2 or not tensor.is_floating_point():
        found = f"{list(tensor.shape)} of {tensor.dtype}" if isinstance(tensor, Tensor) else type(tensor).__name__
        raise WeightsError(f"{path} holds {found}; a text tensor is one float matrix [classes, width]")
    for what, wanted, there in (("rows (classes)", rows, tensor.shape[0]), ("columns (width)", width, tensor.shape[1])):
        if wanted is not None and wanted != there:
            raise WeightsError(f"{path} has {there} {what}, {wanted} are needed; encode the descriptions again")
    norms = tensor.float().norm(dim=1)
    if not torch.isfinite(norms).all() or (norms == 0).any():
        raise WeightsError(f"{path} has rows that are zero or not finite; encode the descriptions again")
    return tensor.float() if as_stored else tensor.float() / norms[:, None]
