"""What schemathesis cannot know of our media types: how an offer looks, and that an answer is text."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

from tests.support.offers import offer_of

# The service itself keeps the answer to an offer, so most offers should be new to it.
OFFERS = st.integers(min_value=1, max_value=2**62).map(offer_of)

schemathesis.openapi.media_type("application/sdp", OFFERS)
schemathesis.openapi.format("sdp-offer", OFFERS.map(bytes.decode))


@schemathesis.deserializer("application/sdp")
def read_sdp(_: schemathesis.DeserializationContext, response: schemathesis.Response) -> str:
    """The answer as the document's schema describes it."""
    return response.content.decode()
