"""Plumage in a program of your own (docs/library.md).

from plumage import DDT, load_classifier, load_encoder
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plumage.finder import install_finder

if TYPE_CHECKING:
    import plumage.DDT as DDT
    from plumage.evaluation.library.embedder import Embedder
    from plumage.evaluation.library.embedder import open_embedder as load_encoder
    from plumage.evaluation.library.recogniser import Prediction, Recogniser
    from plumage.evaluation.library.recogniser import open_recogniser as load_classifier
    from plumage.runtime.errors import BrokenNetwork, ConfigError, DataError, WeightsError

__all__ = ["DDT", "BrokenNetwork", "ConfigError", "DataError", "Embedder", "Prediction", "Recogniser", "WeightsError",
           "load_classifier", "load_encoder"]
# Where each name is found when it is first asked for, so that `import plumage` alone imports no torch. DDT is a room.
_PLACES = {
    "load_encoder": ("evaluation.library.embedder", "open_embedder"),
    "load_classifier": ("evaluation.library.recogniser", "open_recogniser"),
    "Embedder": ("evaluation.library.embedder", "Embedder"),
    "Recogniser": ("evaluation.library.recogniser", "Recogniser"),
    "Prediction": ("evaluation.library.recogniser", "Prediction"),
    "__version__": ("runtime", "VERSION"),
    **{name: ("runtime.errors", name) for name in ("BrokenNetwork", "ConfigError", "DataError", "WeightsError")},
}

install_finder()


def __getattr__(name: str) -> object:
    """One of the names above; `DDT` too where `import plumage` stands alone."""
    from importlib import import_module

    if name == "DDT":
        return import_module("plumage.DDT")
    if name not in _PLACES:
        raise AttributeError(f"module 'plumage' has no attribute {name!r}")
    room, own_name = _PLACES[name]
    return getattr(import_module(f"plumage.{room}"), own_name)
