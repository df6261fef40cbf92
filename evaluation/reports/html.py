"""Pages of one file: templates that share one style sheet, and pictures within the page."""

from __future__ import annotations

import base64
import io
import re
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"  # pages that work: templates with scripts, some of which the desk sends too
MODULES = re.compile(r"^import .*\n|^export (?=function|const)", re.MULTILINE)


def render(template: str, **values: object) -> str:
    """A page from templates/<template>.html, or of those that work, static/<template>.html.

    Values are escaped wherever they stand; one that the template needs and does not get raises
    `jinja2.UndefinedError`.
    """
    return load_templates().get_template(f"{template}.html").render(values)


@lru_cache
def load_templates(folder: Path = STATIC) -> Environment:
    """The templates of a folder beside those that all pages share; every value is escaped and none may be missing."""
    return Environment(loader=FileSystemLoader([TEMPLATES, folder]), autoescape=True, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)


def embed_style(name: str) -> Markup:
    """A style sheet of static/ for the page itself."""
    return Markup((STATIC / name).read_text(encoding="utf-8"))


def embed_scripts(*names: str) -> Markup:
    """Modules of static/ as one script, what others import first: a page opened as a file may import nothing."""
    return Markup("\n".join(MODULES.sub("", (STATIC / name).read_text(encoding="utf-8")) for name in names))


def embed_picture(picture: Image.Image | bytes) -> str:
    """A data URI of a picture, as a JPEG of quality 82; the content of a PNG or JPEG file is taken as it is."""
    kind, content = "jpeg", io.BytesIO()
    if isinstance(picture, bytes):
        kind = "jpeg" if picture.startswith(b"\xff\xd8") else "png"
        content.write(picture)
    else:
        picture.convert("RGB").save(content, "JPEG", quality=82)
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
