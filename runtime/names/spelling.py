"""Names as text. A file's name may hold bytes that are no UTF-8, line breaks, backslashes and outer spaces; a table
that names it must be UTF-8, keep to its lines, and lead back to the file.

In tables such signs stand as \\xHH, the byte in two capital hexadecimal digits: bytes that are no UTF-8 (\\xE9),
control characters (\\x0A), a backslash (\\x5C), a space at either end (\\x20). `unspell` turns them back.
"""

from __future__ import annotations

import codecs
import re
import sys

UNPRINTED = re.compile("[\x00-\x1f\x7f\udc80-\udcff]")  # Python keeps the byte 0xE9 as the letter U+DCE9
SPELLED = re.compile(r"\\x([01][0-9A-F]|20|5C|7F|[89A-F][0-9A-F])")
ON_ERROR = "spell"  # for `errors=` where text is encoded: what cannot be written is spelled


def show_name(name: str) -> str:
    """A name for people, on one line: what cannot be printed, or a name of nothing but spaces, stands as \\xHH."""
    if name.isspace():
        name = name.replace(" ", r"\x20")
    return UNPRINTED.sub(lambda found: _escape(found[0]), name)


def spell(name: str) -> str:
    """A name for a table; `unspell` gives it back, whatever it holds."""
    text = show_name(name.replace("\\", r"\x5C"))
    body = text.strip(" ")
    if body == text:
        return text
    start = len(text) - len(text.lstrip(" "))
    return r"\x20" * start + body + r"\x20" * (len(text) - start - len(body))


def unspell(cell: str) -> str:
    """The name that a table's cell stands for; a backslash that begins no \\xHH stays one."""
    return SPELLED.sub(lambda found: _unescape(found[1]), cell)


def unspell_path(cell: str) -> str:
    """The path that a table's cell stands for, with "/" between folders: other backslashes are Windows' separators."""
    return re.sub(rf"{SPELLED.pattern}|\\", lambda found: _unescape(found[1]) if found[1] else "/", cell)


def escape_cell(text: str) -> str:
    """Text as a cell of a Markdown table: nothing in it ends the cell or the line, or begins markup."""
    return re.sub(r"([\\|`<$])", r"\\\1", show_name(text))


def make_printing_safe() -> None:
    """Let what a terminal or a log cannot encode be spelled there, instead of raising UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ON_ERROR)


def _escape(letter: str) -> str:
    return f"\\x{ord(letter) & 0xFF:02X}"


def _unescape(digits: str) -> str:
    byte = int(digits, 16)
    return chr(byte if byte < 0x80 else 0xDC00 + byte)


def _spell_error(error: UnicodeError) -> tuple[str, int]:
    """Bytes of file names as in tables, all else as Python writes it: \\u2192."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    told = (show_name(letter) if UNPRINTED.match(letter) else letter.encode("ascii", "backslashreplace").decode()
            for letter in letters)
    return "".join(told), error.end


codecs.register_error(ON_ERROR, _spell_error)
