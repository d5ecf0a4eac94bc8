"""Azure OpenAI, generally available (contracts, section 2): OpenAI's contract under ``/openai/v1``.

The GA surface refuses ``api-version`` in any form, wants ``session.type``, and takes the deployment's name
where OpenAI takes the model's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.models import Deployment
from app.upstream.base import http_url
from app.upstream.openai import OpenAI

GA_PATH: Final = "/openai/v1"


class Azure(OpenAI):
    """Differs from OpenAI in the endpoint's form and in the header of the standard key."""

    def base_url(self, pasted: str | None) -> str:
        """Keep the origin, drop every path and query: portals and samples print a dozen forms of both."""
        text = (pasted or "").strip()
        parts = http_url(text if "://" in text else f"https://{text}")
        if parts is None:
            raise ValueError(
                "base_url must be the endpoint of the Azure resource, https://NAME.openai.azure.com"
            )
        return f"{parts.scheme}://{parts.netloc.lower()}{GA_PATH}"

    def credential(self, deployment: Deployment) -> Mapping[str, str]:
        if deployment.api_key is not None:
            return {"api-key": deployment.api_key.reveal()}
        return super().credential(deployment)
