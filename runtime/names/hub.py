"""Names of networks as the pages of model hubs print them."""

from __future__ import annotations

PREFIXES = ("https://huggingface.co/", "hf-hub:", "hf_hub:", "timm/")


def strip_hub(name: str) -> str:
    """`hf-hub:timm/NAME`, `hf_hub:timm/NAME`, `timm/NAME` or the page's address -> NAME; others as they are."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name
