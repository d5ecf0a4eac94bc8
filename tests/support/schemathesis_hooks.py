"""What schemathesis cannot know: how an offer looks, that an answer is text, which calls and models exist."""

from __future__ import annotations

import os

import schemathesis
from hypothesis import strategies as st

from tests.support.offers import offer_of

# The service itself keeps the answer to an offer, so most offers should be new to it.
OFFERS = st.integers(min_value=1, max_value=2**62).map(offer_of)

# Of all ids one is a call's and one a handle's, which the run names: ending and revoking succeed again.
CALL_IDS = st.one_of(
    st.just(os.environ.get("CALL_ID", "rtc_none")), st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
)

HANDLE_IDS = st.one_of(
    st.just(os.environ.get("HANDLE_ID", "A" * 22)), st.from_regex(r"[A-Za-z0-9_-]{22}", fullmatch=True)
)

# Of all names few are a model's that the provider serves.
MODELS = st.one_of(
    st.just("gpt-realtime-translate"), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}", fullmatch=True)
)

schemathesis.openapi.format("call-id", CALL_IDS)
schemathesis.openapi.format("model-name", MODELS)
schemathesis.openapi.format("handle-id", HANDLE_IDS)
# What the handle of this run was minted for.
schemathesis.openapi.format("live-model", st.just("gpt-live-1"))
schemathesis.openapi.media_type("application/sdp", OFFERS)
schemathesis.openapi.format("sdp-offer", OFFERS.map(bytes.decode))


@schemathesis.deserializer("application/sdp")
def read_sdp(_: schemathesis.DeserializationContext, response: schemathesis.Response) -> str:
    """The answer as the document's schema describes it."""
    return response.content.decode()
