"""The table of rules. Sources: the providers' API references, and reports of users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

# ``relay`` presents an offer with the ephemeral key, ``call`` with the deployment's standard key.
Operation = Literal["mint", "relay", "call", "hangup", "sideband"]

# Also every other provider that speaks OpenAI's contract: all but those below.
_OPENAI: Final = frozenset({"openai"})
_GA: Final = frozenset({"azure", "azure-live"})
_PREVIEW: Final = frozenset({"azure-preview"})
_VOICE_LIVE: Final = frozenset({"azure-voice-live"})
_AZURE: Final = _GA | _PREVIEW | _VOICE_LIVE
_QWEN: Final = frozenset({"qwen"})
# Those that have rules of their own.
NAMED: Final = _AZURE | _QWEN
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_ROLE: Final = "the role 'Cognitive Services OpenAI User' on that resource"
Credential = Literal["key", "token", "ephemeral", "none"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One cause. Each field that is set must fit.

    ``credential`` is what the request carried: the deployment's ``key`` or ``token``, an ``ephemeral`` key,
    or ``none``.
    """

    says: str
    providers: frozenset[str]
    statuses: tuple[int, ...] = ()
    codes: tuple[str, ...] = ()
    message: str | None = None
    operation: Operation | None = None
    credential: Credential | None = None


RULES: Final = (
    # --- Azure Voice Live: Foundry's roles, and an endpoint that is not Azure OpenAI's -------------------
    Rule(
        "Give the identity of {place}.entra the roles 'Cognitive Services User' and 'Azure AI User'.",
        _VOICE_LIVE,
        statuses=(401, 403),
        credential="token",
    ),
    Rule(
        "Let {url} be a Foundry resource in a region that has Voice Live, and serves {place}.api_version.",
        _VOICE_LIVE,
        statuses=(404,),
    ),
    # --- Qwen-Omni -------------------------------------------------------------------------------------
    Rule(
        "Most likely the temporary key has expired: mint a new handle and make a new offer. If every call is "
        "refused, this path takes no temporary keys: set {place}.call_key to standard.",
        _QWEN,
        statuses=(401, 403),
        credential="ephemeral",
    ),
    Rule(
        "Check that {key} is whole, not revoked, and one of the workspace and the region of {url}.",
        _QWEN,
        statuses=(401, 403),
    ),
    Rule(
        "Set {model} to a realtime model that the workspace of {url} has.",
        _QWEN,
        statuses=(400, 404),
        codes=("ModelNotFound", "Model.AccessDenied"),
    ),
    Rule(
        "Let {url} be the host of the workspace, or of its region's Model Studio.",
        _QWEN,
        statuses=(404, 405),
        operation="mint",
    ),
    # --- Azure, by what it says ------------------------------------------------------------------------
    Rule(
        "Most likely {model} is the name of a model instead of a deployment, or of a deployment whose base "
        "model or region serves no realtime: set it to a realtime deployment in East US 2 or Sweden Central.",
        _AZURE,
        codes=("OpperationNotSupported", "OperationNotSupported"),
    ),
    Rule(
        "Set {model} to a deployment's name as the resource of {url} has it, which is not the model's name; "
        "a new deployment takes some minutes.",
        _AZURE,
        codes=("DeploymentNotFound",),
    ),
    Rule(
        "Key-based access is disabled on this resource: replace {key} by {place}.entra.",
        _AZURE,
        statuses=(401, 403),
        codes=("AuthenticationTypeDisabled",),
    ),
    Rule(
        "Key-based access is disabled on this resource: replace {key} by {place}.entra.",
        _AZURE,
        statuses=(401, 403),
        message=r"(?i)key.based auth\w* is disabled|disable(d)? local auth",
    ),
    Rule(
        "An api-version arrived, which the generally available paths refuse: let {url} be the resource's own "
        "endpoint, not a gateway that adds one.",
        _GA,
        statuses=(400, 401, 404),
        message=r"(?i)\bapi[- ]?version\b",
    ),
    Rule(
        "Set {place}.api_version to one that the resource serves, such as 2025-04-01-preview.",
        _PREVIEW,
        statuses=(400, 401, 404),
        message=r"(?i)\bapi[- ]?version\b",
    ),
    Rule(
        "The resource serves no such path: correct {url}, or set {place}.provider to azure-preview if the "
        "resource is an older one.",
        _GA,
        statuses=(500,),
        message=r"\A/\S*\Z",
    ),
    Rule(
        "This api-version does not serve the path: set {place}.api_version to 2025-04-01-preview, or "
        "{place}.provider to azure if the resource has the generally available paths.",
        _PREVIEW,
        statuses=(500,),
        message=r"\A/\S*\Z",
    ),
    Rule(
        "Give the identity of {place}.entra " + _ROLE + "; it takes some minutes to work.",
        _AZURE,
        statuses=(401, 403),
        codes=("PermissionDenied",),
    ),
    # --- OpenAI, by what it says -----------------------------------------------------------------------
    Rule(
        "The account of {key} has no credit left or has reached its budget: waiting does not help, adding "
        "credit or raising the budget does.",
        _OPENAI,
        codes=("insufficient_quota",),
    ),
    Rule(
        "The project of {key} has no such model: ask for another, or set {model} to one that it may use.",
        _OPENAI,
        codes=("model_not_found",),
    ),
    # --- any of them, by a redirect --------------------------------------------------------------------
    Rule(
        "Set {place}.region or {place}.webrtc_url to the front end of the resource's region.",
        _PREVIEW,
        statuses=_REDIRECTS,
        operation="relay",
    ),
    Rule(
        "The credential would go along: set {url} to the address that the provider's documentation gives.",
        _OPENAI | _AZURE | _QWEN,
        statuses=_REDIRECTS,
    ),
    # --- any of them, by the credential that was sent --------------------------------------------------
    Rule(
        "Most likely the ephemeral key has expired: mint a new handle and make a new offer.",
        _OPENAI | _AZURE,
        statuses=(401, 403),
        credential="ephemeral",
    ),
    Rule(
        "Check that {key} is whole, not revoked, and of the resource that {url} names.",
        _AZURE,
        statuses=(401,),
        credential="key",
    ),
    Rule(
        "Check that the identity of {place}.entra belongs to the directory of the resource of {url} and has "
        + _ROLE
        + ".",
        _AZURE,
        statuses=(401, 403),
        credential="token",
    ),
    Rule(
        "Check that the service account of {place}.workload_identity is enabled, and that its project is one "
        "of {url}.",
        _OPENAI,
        statuses=(401,),
        credential="token",
    ),
    Rule(
        "Give the service account of {place}.workload_identity permission for the Realtime API, and its "
        "project access to the model.",
        _OPENAI,
        statuses=(403,),
        credential="token",
    ),
    Rule(
        "The server of {url} asks for a key: set {key}.",
        _OPENAI,
        statuses=(401, 403),
        credential="none",
    ),
    Rule(
        "Check that {key} is whole, not revoked, a standard key, and one of {url}.",
        _OPENAI,
        statuses=(401,),
    ),
    Rule(
        "Give {key} permission for the Realtime API and its project access to the model, or use another key.",
        _OPENAI,
        statuses=(403,),
    ),
    # --- by the status alone ---------------------------------------------------------------------------
    Rule(
        "The resource does not serve the generally available paths: correct {url}, or set {place}.provider "
        "to azure-preview if the resource is an older one.",
        _GA,
        statuses=(404,),
        operation="mint",
    ),
    Rule(
        "The resource does not serve the preview's path: correct {url}, or set {place}.provider to azure if "
        "the resource has the generally available ones.",
        _PREVIEW,
        statuses=(404,),
        operation="mint",
    ),
    Rule(
        "The region's front end does not know the deployment: set {place}.region to the resource's region.",
        _PREVIEW,
        statuses=(404,),
        operation="relay",
    ),
    Rule(
        "{url} must end where /realtime/ begins, as https://api.openai.com/v1 does.",
        _OPENAI,
        statuses=(404, 405),
        operation="mint",
    ),
    Rule(
        "{url} must end where /realtime/ begins, as https://api.openai.com/v1 does.",
        _OPENAI,
        statuses=(404, 405),
        operation="call",
    ),
    Rule(
        "The quota of this deployment is used up for now: wait, raise it, or give the model a second "
        "deployment.",
        _AZURE,
        statuses=(429,),
    ),
    Rule(
        "The rate limit of the project of {key} is reached: wait, have it raised, or give the model a second "
        "deployment.",
        _OPENAI | _QWEN,
        statuses=(429,),
    ),
)
