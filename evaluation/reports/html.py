"""What every page shares: one style sheet, and pictures within the page."""

from __future__ import annotations

import base64
import io

from PIL import Image

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2430; max-width: 1150px; margin: 2.5rem auto; padding: 0 1.2rem }
h1 { font-size: 1.7rem; margin-bottom: .2rem }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem }
p.lead, figcaption, td.p { color: #566274 }
img { max-width: 100%; border: 1px solid #dde3ea; border-radius: 6px }
ol.first { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 1rem }
ol.first { padding: 0; list-style: none }
ol.first figure { margin: 0 }
figcaption { font-size: .78rem; overflow-wrap: anywhere; line-height: 1.3 }
table { border-collapse: collapse; font-size: .93rem }
td, th { padding: .32rem .7rem; border-bottom: 1px solid #e4e9ef; text-align: left }
th { border-bottom: 2px solid #8fa0b3 }
td.n { text-align: right; font-variant-numeric: tabular-nums }
"""


def embed(picture: Image.Image) -> str:
    """A picture as a JPEG data URI."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
