"""The plain transcription of the plug-in module around a transformer, whose class token is one of the positions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from benchmarks.reference.pim import Levels, ReferencePim


class LastBlocks(nn.Module):
    """timm's ViT as the four last blocks' tokens [B, 1 + h w, C], class token first; no norm and no head, as traced."""

    def __init__(self, net: VisionTransformer) -> None:
        super().__init__()
        assert net.cls_token is not None and net.pos_embed is not None
        self.cls_token, self.pos_embed = net.cls_token, net.pos_embed
        self.patch_embed, self.blocks = net.patch_embed, net.blocks

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W], standardised."""
        patches = self.patch_embed.proj(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1) + self.pos_embed
        found = []
        for block in self.blocks:
            tokens = block(tokens)
            found.append(tokens)
        return found[-4:]


class PlainTokenFpn(nn.Module):
    """Tokens [B, S, C] -> [B, F, S]; a step down is a 1x1 convolution whose channels are positions."""

    def __init__(self, channels: dict[str, int], positions: dict[str, int], width: int) -> None:
        super().__init__()
        names = list(channels)
        for i, name in enumerate(names):
            given = channels[name]
            self.add_module(f"Proj_{name}", nn.Sequential(nn.Linear(given, given), nn.ReLU(), nn.Linear(given, width)))
            if i and positions[name] != positions[names[i - 1]]:
                self.add_module(f"Up_{name}", nn.Conv1d(positions[name], positions[names[i - 1]], 1))

    def forward(self, tokens: Levels) -> Levels:
        """Every level with the deeper ones added."""
        names = list(tokens)
        out = {name: getattr(self, f"Proj_{name}")(tokens[name]) for name in names}
        for i in range(len(names) - 1, 0, -1):
            deep = out[names[i]]
            if hasattr(self, f"Up_{names[i]}"):
                deep = getattr(self, f"Up_{names[i]}")(deep)
            out[names[i - 1]] = out[names[i - 1]] + deep
        return {name: rows.transpose(1, 2).contiguous() for name, rows in out.items()}


class ReferenceTokenPim(ReferencePim):
    """`backbone`: images -> four levels of tokens, shallow to deep."""

    def __init__(
        self, backbone: nn.Module, channels: list[int], positions: list[int], classes: int, *, width: int,
        selects: Sequence[int],
    ) -> None:
        super().__init__(backbone, channels, classes, width=width, selects=list(selects))
        names = list(self.selects)
        self.fpn = PlainTokenFpn(dict(zip(names, channels)), dict(zip(names, positions)), width)
