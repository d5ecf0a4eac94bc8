"""Azure OpenAI, generally available (contracts, section 2): OpenAI's contract under ``/openai/v1``.

The GA surface refuses ``api-version`` in any form, wants ``session.type``, and takes the deployment's name
where OpenAI takes the model's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from app.models import Deployment, Offer, Secret
from app.providers.base import UpstreamRequest, http_url, standard_key_header
from app.providers.openai import OpenAI

GA_PATH: Final = "/openai/v1"
# Keeps instructions and tool calls off the browser's data channel.
FILTER_QUERY: Final = "?webrtcfilter=on"


class Azure(OpenAI):
    """Differs from OpenAI in the endpoint's form and in the header of the standard key."""

    def base_url(self, pasted: str | None) -> str:
        return resource_origin(pasted) + GA_PATH

    def relay_request(self, deployment: Deployment, key: Secret, offer: Offer) -> UpstreamRequest:
        request = super().relay_request(deployment, key, offer)
        return replace(request, url=request.url + FILTER_QUERY) if deployment.webrtc_filter else request

    def credential(self, deployment: Deployment) -> Mapping[str, str]:
        return standard_key_header(deployment, key_header="api-key")


def resource_origin(pasted: str | None) -> str:
    """Keep the origin, drop every path and query: portals and samples print a dozen forms of both.

    Raises:
        ValueError: it is no endpoint.
    """
    text = (pasted or "").strip()
    parts = http_url(text if "://" in text else f"https://{text}")
    if parts is None:
        raise ValueError("base_url must be the endpoint of the Azure resource, https://NAME.openai.azure.com")
    return f"{parts.scheme}://{parts.netloc.lower()}"
