"""What Azure OpenAI says when it refuses, with Azure's own codes and spelling."""

from __future__ import annotations

from .refusals import Refusal


def access_denied() -> Refusal:
    return Refusal(
        401,
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a "
        "valid key for an active subscription and use a correct regional API endpoint for your resource.",
        code="401",
    )


def token_refused() -> Refusal:
    return Refusal(401, "Unauthorized. Access token is missing, invalid, or expired.", code="401")


def api_version_on_ga() -> Refusal:
    # 401 is what users report for the GA surface, however odd it reads.
    return Refusal(401, "api-version query parameter is not allowed when using /v1 path", code="Unauthorized")


def resource_not_found() -> Refusal:
    return Refusal(404, "Resource not found", code="404")


def deployment_not_found() -> Refusal:
    return Refusal(
        404,
        "The API deployment for this resource does not exist. If you created the deployment within the last "
        "5 minutes, please wait a moment and try again.",
        code="DeploymentNotFound",
    )


def operation_not_supported(model: str) -> Refusal:
    # The misspelt code is Azure's own.
    return Refusal(
        400,
        f"The realtime operation does not work with the specified model, {model}. Please choose different "
        "model and try again. You can learn more about which models can be used with each operation here: "
        "https://go.microsoft.com/fwlink/?linkid=2197993.",
        code="OpperationNotSupported",
    )


def preview_version_not_served(path: str) -> Refusal:
    return Refusal(500, path, code="InternalServerError")
