"""What the provider says when it refuses: OpenAI's errors, then Azure's, in their own words and codes."""

from __future__ import annotations

from typing import Literal

Flavour = Literal["openai", "azure", "localai", "speech-to-speech", "inworld", "qwen"]


class Refusal(Exception):
    """An answer that is an error: the HTTP status and the parts of the provider's error body.

    The shapes are `{"error": {"message", "type", "param", "code"}}` for OpenAI (platform reference, error
    codes) and `{"error": {"code", "message"}}` for Azure OpenAI.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind
        self.headers = headers or {}

    def body(self, flavour: Flavour) -> dict[str, object]:
        """The JSON body in the shape of that provider."""
        if flavour == "azure":
            return {"error": {"code": self.code or str(self.status), "message": self.message}}
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def masked(key: str) -> str:
    """The key as OpenAI echoes it: both ends readable, so forwarding the message leaks a part."""
    if len(key) <= 12:
        return "*" * len(key)
    return f"{key[:8]}{'*' * (len(key) - 12)}{key[-4:]}"


def missing_key() -> Refusal:
    return Refusal(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using "
        "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
    )


def wrong_key(key: str) -> Refusal:
    return Refusal(
        401,
        f"Incorrect API key provided: {masked(key)}. "
        "You can find your API key at https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
    )


def expired_key() -> Refusal:
    # The real message is not verified; the status is, and callers may only rely on that.
    return Refusal(401, "The ephemeral key provided has expired.", code="token_expired")


def model_not_found(model: str) -> Refusal:
    return Refusal(
        404,
        f"The model `{model}` does not exist or you do not have access to it.",
        code="model_not_found",
    )


def unknown_parameter(name: str) -> Refusal:
    return Refusal(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)


def missing_parameter(name: str) -> Refusal:
    return Refusal(
        400, f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name
    )


def wrong_type(name: str, wanted: str, got: object) -> Refusal:
    kinds: dict[type, str] = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a decimal",
        type(None): "null",
    }
    found = kinds.get(type(got), "something else")
    return Refusal(
        400,
        f"Invalid type for '{name}': expected {wanted}, but got {found} instead.",
        code="invalid_type",
        param=name,
    )


def wrong_value(name: str, got: object, allowed: tuple[str, ...]) -> Refusal:
    names = ", ".join(f"'{value}'" for value in allowed)
    return Refusal(
        400, f"Invalid value: '{got}'. Supported values are: {names}.", code="invalid_value", param=name
    )


def integer_out_of_range(name: str, got: int, low: int, high: int) -> Refusal:
    if got < low:
        side, bound, code = "below minimum", f">= {low}", "integer_below_min_value"
    else:
        side, bound, code = "above maximum", f"<= {high}", "integer_above_max_value"
    return Refusal(
        400,
        f"Invalid '{name}': integer {side} value. Expected a value {bound}, but got {got} instead.",
        code=code,
        param=name,
    )


def bad_json() -> Refusal:
    return Refusal(
        400,
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your "
        "HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was "
        "not valid JSON.)",
    )


def unsupported_content_type(got: str, accepted: str) -> Refusal:
    return Refusal(
        400,
        f"Unsupported content type. This API method only accepts '{accepted}' requests, but you specified "
        f"the header 'Content-Type: {got}'. Please try again with a supported content type.",
        code="unsupported_content_type",
    )


def no_websocket() -> Refusal:
    # The real status and words are not verified.
    return Refusal(400, "This endpoint only accepts WebSocket connections.", code="websocket_required")


def invalid_offer(why: str) -> Refusal:
    return Refusal(400, f"Invalid SDP offer: {why}.", code="invalid_offer", param="sdp")


def call_id_not_found(call_id: str) -> Refusal:
    return Refusal(404, f"No session found for call_id: {call_id}", code="call_id_not_found", param="call_id")


def session_not_found(session_id: str) -> Refusal:
    # The real code is not verified.
    return Refusal(404, f"No Live session found: {session_id}", code="session_not_found", param="session_id")


def too_many_calls(cap: int) -> Refusal:
    return Refusal(
        429,
        f"Rate limit reached: {cap} concurrent sessions. Please end a session before you start another.",
        code="rate_limit_exceeded",
        kind="rate_limit_error",
        headers={
            "Retry-After": "1",
            "x-ratelimit-limit-requests": str(cap),
            "x-ratelimit-remaining-requests": "0",
        },
    )


def no_such_url(method: str, path: str) -> Refusal:
    return Refusal(404, f"Invalid URL ({method} {path})")


def wrong_method(method: str, path: str) -> Refusal:
    return Refusal(405, f"Not allowed to {method} on {path}.", code="method_not_supported")


def body_too_large() -> Refusal:
    return Refusal(413, "Maximum content size limit exceeded.", code="request_too_large")


# --- What Azure OpenAI says when it refuses, with Azure's own codes and spelling ----------------


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
