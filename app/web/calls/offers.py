"""Takes an SDP offer out of its forms: raw, ``multipart/form-data`` (RFC 7578), JSON of two kinds. Pure."""

from __future__ import annotations

import hashlib
import re
from email.message import Message
from typing import Any, Final

from app.errors import InvalidOffer, InvalidRequest, UnsupportedMediaType
from app.models import Family, Offer
from app.web.incoming import JSON_TYPE, json_object

SDP_TYPE: Final = "application/sdp"
MULTIPART_TYPE: Final = "multipart/form-data"
MAX_PARTS: Final = 16
LIVE_TRANSPORT: Final = "webrtc"
_LIVE_FIELDS: Final = frozenset({"session", "transport"})

_NEEDED: Final = (
    ("m=audio ", "audio section"),
    ("a=ice-ufrag:", "ICE username"),
    ("a=fingerprint:", "DTLS fingerprint"),
)
_PART_NAME = re.compile(
    rb'(?im)^content-disposition:[ \t]*form-data[^\r\n]*?;[ \t]*name=(?:"([^"\r\n]*)"|([^\s;"]+))'
)
_PART_ENCODING = re.compile(rb"(?im)^content-transfer-encoding:[ \t]*(?!(?:7bit|8bit|binary)[ \t]*$)\S")


def parse_offer(content_type: str, body: bytes, path: Family | None = None) -> Offer:
    """Take the SDP offer out of a body, byte for byte where the form allows.

    ``content_type`` is the whole header; ``path`` is as the offer's.

    A ``session`` beside the offer must be a JSON object. It is ignored, since minting the handle fixed the
    session (OpenAI's API reference, "Create call").

    Raises:
        UnsupportedMediaType, InvalidRequest, InvalidOffer
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == SDP_TYPE:
        sdp = body
    elif media_type == MULTIPART_TYPE:
        sdp = _sdp_of_form(content_type, body)
    elif media_type == JSON_TYPE:
        sdp = _sdp_of_json(body)
    else:
        raise UnsupportedMediaType(
            f"Send the offer as '{SDP_TYPE}', as '{MULTIPART_TYPE}' with a part 'sdp', or as JSON {{sdp}}."
        )
    return _offer(sdp, sdp, path)


def parse_live_offer(content_type: str, body: bytes) -> Offer:
    """Read ``{session?, transport: {type: "webrtc", sdp}}``, as OpenAI's ``client.live.create`` sends it.

    Raises:
        UnsupportedMediaType, InvalidRequest, InvalidOffer
    """
    if content_type.partition(";")[0].strip().lower() != JSON_TYPE:
        raise UnsupportedMediaType(f"Send this request as 'Content-Type: {JSON_TYPE}'.")
    value = json_object(body)
    for name in value:
        if name not in _LIVE_FIELDS:
            raise InvalidRequest(
                "Unknown field. A Live session takes session and transport.", param=name[:64]
            )
    transport, session = value.get("transport"), value.get("session")
    if not isinstance(transport, dict) or transport.get("type") != LIVE_TRANSPORT:
        raise InvalidRequest(f"'transport' must be {{type: '{LIVE_TRANSPORT}', sdp}}.", param="transport")
    sdp = transport.get("sdp")
    if not isinstance(sdp, str):
        raise InvalidRequest("'transport' has no string 'sdp'.", param="transport.sdp")
    _check_session(session)
    offer = sdp.encode("utf-8", "replace")
    # With another session it is another offer, and is checked anew.
    return _offer(offer, body if session else offer, Family.LIVE, session)


def _offer(sdp: bytes, sent: bytes, path: Family | None, session: Any = None) -> Offer:
    """The offer; what was ``sent`` tells whether it is the same again."""
    check_offer(sdp)
    return Offer(sdp=sdp, sha256=hashlib.sha256(sent).hexdigest(), path=path, session=session)


def check_offer(sdp: bytes) -> None:
    """Refuse what no WebRTC peer would send as an audio offer (RFC 8866, RFC 8829).

    Raises:
        InvalidOffer: says what is missing.
    """
    if not sdp.strip():
        raise InvalidOffer("The offer is empty.", param="sdp")
    if not sdp.startswith(b"v=0") or b"\0" in sdp:
        raise InvalidOffer("The offer is not SDP: it must begin with 'v=0'.", param="sdp")
    try:
        text = sdp.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidOffer("The offer is not SDP: it is not UTF-8 text.", param="sdp") from None
    for wanted, what in _NEEDED:
        if f"\n{wanted}" not in text:
            raise InvalidOffer(
                f"The offer has no {what} ('{wanted.strip()}'). Send pc.localDescription.sdp.", param="sdp"
            )


def _sdp_of_json(body: bytes) -> bytes:
    value = json_object(body)
    sdp = value.get("sdp")
    if not isinstance(sdp, str):
        raise InvalidRequest("The JSON body has no string 'sdp'.", param="sdp")
    _check_session(value.get("session"))
    return sdp.encode("utf-8", "replace")


def _sdp_of_form(content_type: str, body: bytes) -> bytes:
    parts = read_form(content_type, body)
    if "sdp" not in parts:
        raise InvalidRequest("The form has no part 'sdp'.", param="sdp")
    if "session" in parts:
        _check_session(json_object(parts["session"], what="part 'session'"))
    return parts["sdp"]


def _check_session(session: Any) -> None:
    if session is not None and not isinstance(session, dict):
        raise InvalidRequest("'session' must be an object.", param="session")


def read_form(content_type: str, body: bytes) -> dict[str, bytes]:
    """Return the parts of a form by their names; of two with the same name, the first.

    Ours, because of what the readers at hand do. The standard library's is made for mail: it descends into
    nested messages until the stack is exhausted, and changes bytes. aiohttp's takes ``--bad`` for the
    boundary ``--b``; ``multipart`` refuses a part without a name.

    Raises:
        InvalidRequest: no boundary, no parts, no end, too many parts, or a part in an encoding.
    """
    delimiter = b"\r\n--" + _boundary(content_type)
    # The first delimiter is at the very beginning, or after a preamble.
    _, *pieces = (b"\r\n" + body).split(delimiter)
    parts: dict[str, bytes] = {}
    for number, piece in enumerate(pieces, start=1):
        if piece.startswith(b"--"):
            return parts
        head, blank_line, payload = piece.partition(b"\r\n\r\n")
        padding, _, headers = head.partition(b"\r\n")
        if number > MAX_PARTS or not blank_line or padding.strip(b" \t"):
            break
        if _PART_ENCODING.search(headers.replace(b"\r\n", b"\n")):
            raise InvalidRequest(
                "A part of the form has a Content-Transfer-Encoding; send the part without one."
            )
        name = _PART_NAME.search(headers)
        if name is not None:
            parts.setdefault((name[1] or name[2] or b"").decode("utf-8", "replace"), payload)
    raise InvalidRequest(
        "The form cannot be read: a part needs a header and an empty line, and the form a closing boundary."
    )


def _boundary(content_type: str) -> bytes:
    header = Message()
    header["Content-Type"] = content_type.encode("ascii", "replace").decode()
    try:
        boundary = header.get_boundary("")
    except ValueError:
        # Of RFC 2231's form, in an encoding that cannot be read.
        boundary = ""
    # RFC 2046, section 5.1.1: 1 to 70 characters.
    if not 1 <= len(boundary) <= 70 or not boundary.isascii():
        raise InvalidRequest("The form's Content-Type has no usable boundary.")
    return boundary.encode("ascii")
