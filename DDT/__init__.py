"""Deep descriptor transforming: where is the object? (Wei et al., arXiv 1707.06397)

Programs of somebody's own call `DDT.locate(images)`, or `DDT.fit(images).locate(others)`: DDT/library/locator.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # relative, so that it is right for `plumage.DDT` too
    from .library.located import Located as Located
    from .library.locator import Locator as Locator
    from .library.locator import fit_locator as fit
    from .library.locator import locate as locate

__all__ = ["Located", "Locator", "fit", "locate"]


def __getattr__(name: str) -> object:
    """What programs call, when it is first asked for: `python -m DDT --help` does without torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from DDT.library import located, locator

    return {"Located": located.Located, "Locator": locator.Locator, "fit": locator.fit_locator,
            "locate": locator.locate}[name]
