"""Takes the parts out of a ``multipart/form-data`` body, byte for byte (RFC 7578). Pure.

Written here because the standard library's parser is one for mail: it descends into nested messages, so
that a body of 60 kB can exhaust the stack, and it decodes and mends what must stay as it was sent.
"""

from __future__ import annotations

import re
from email.message import Message
from typing import Final

from app.errors import InvalidRequest

MAX_PARTS: Final = 16

_NAME = re.compile(
    rb'(?im)^content-disposition:[ \t]*form-data[^\r\n]*?;[ \t]*name=(?:"([^"\r\n]*)"|([^\s;"]+))'
)
_ENCODING = re.compile(rb"(?im)^content-transfer-encoding:[ \t]*(?!(?:7bit|8bit|binary)[ \t]*$)\S")


def read_form(content_type: str, body: bytes) -> dict[str, bytes]:
    """Return the parts by their names; of two with one name, the first.

    Raises:
        InvalidRequest: no boundary, no parts, no end, too many of them, or a part in an encoding.
    """
    delimiter = b"\r\n--" + _boundary(content_type)
    # The first delimiter stands at the very beginning, or after a preamble.
    _, *pieces = (b"\r\n" + body).split(delimiter)
    parts: dict[str, bytes] = {}
    for number, piece in enumerate(pieces, start=1):
        if piece.startswith(b"--"):
            return parts
        head, blank_line, payload = piece.partition(b"\r\n\r\n")
        padding, _, headers = head.partition(b"\r\n")
        if number > MAX_PARTS or not blank_line or padding.strip(b" \t"):
            break
        if _ENCODING.search(headers.replace(b"\r\n", b"\n")):
            raise InvalidRequest("A part of the form has a Content-Transfer-Encoding; send it as it is.")
        name = _NAME.search(headers)
        if name is not None:
            parts.setdefault((name[1] or name[2] or b"").decode("utf-8", "replace"), payload)
    raise InvalidRequest(
        "The form cannot be read: each part needs a header and an empty line, the last its end."
    )


def _boundary(content_type: str) -> bytes:
    header = Message()
    header["Content-Type"] = content_type.encode("ascii", "replace").decode()
    boundary = header.get_boundary("")
    # RFC 2046, section 5.1.1: 1 to 70 characters.
    if not 1 <= len(boundary) <= 70 or not boundary.isascii():
        raise InvalidRequest("The form's Content-Type names no usable boundary.")
    return boundary.encode("ascii")
