/**
 * Every failure in plain words: a title, what to do, and which buttons the page offers.
 *
 * Buttons: "again" starts over, "fresh" clears the existing handle first, "tone" continues without a
 * microphone, and "key", "model" and "relay" focus the field to change.
 */

const AGAIN = ["again"];
const ELSEWHERE = [
  "This handle belongs to another page or browser",
  "It was minted for that one, and works only there. Call with a new one.",
  ["fresh"],
];
// Seen only by a page that is older or newer than its replica.
const MISMATCH = [
  "This page does not match this replica",
  "Their versions differ, or something between them changes requests. Reload the page, or choose another replica.",
  ["relay", "again"],
];

/** Codes of the service, the call and this page. */
export const OURS = {
  // --- this page and this machine ---
  no_client_key: [
    "A client key is needed",
    "Sign in, if the page offers it. Or enter one of the service's client keys (CLOAKROOM_API_KEYS), or open the address that `cloakroom dev` printed, which contains a key.",
    ["key"],
  ],
  insecure_page: [
    "This page may not use the microphone",
    "Browsers allow it only on https:// and localhost. Open the page there, or use a test tone.",
    ["tone"],
  ],
  microphone_denied: [
    "Microphone access was denied",
    "Allow it in the browser's site settings and try again, or use a test tone.",
    ["again", "tone"],
  ],
  microphone_missing: [
    "No microphone found",
    "Connect one and try again, or use a test tone.",
    ["again", "tone"],
  ],
  microphone_busy: [
    "The microphone is not available",
    "Another program may be using it. Close that program and try again, or use a test tone.",
    ["again", "tone"],
  ],
  sign_in_failed: [
    "The sign-in failed",
    "Sign in again. Its provider must know this page's address as a redirect URI.",
    [],
  ],
  config_unavailable: [
    "The page could not load its settings",
    "The replica that served this page does not answer. Start it, then try again.",
    AGAIN,
  ],
  page_error: [
    "Something went wrong in this page",
    "Try again. If it happens again, see the browser's console for details.",
    AGAIN,
  ],
  // --- the way to the service ---
  replica_unreachable: [
    "This replica does not respond",
    "It may be down or restarting. Try again, or choose another replica: handles work at every replica.",
    ["again", "relay"],
  ],
  origin_not_allowed: [
    "This replica does not allow this page",
    "Its operator can add this page's origin to CLOAKROOM_CORS_ORIGINS. You can also choose another replica.",
    ["relay", "again"],
  ],
  host_not_allowed: [
    "This replica is not called by this name",
    "Its operator can add the name to CLOAKROOM_ALLOWED_HOSTS. You can also choose another replica.",
    ["relay", "again"],
  ],
  timeout: [
    "The service took too long",
    "Try again. The page mints a new handle.",
    AGAIN,
  ],
  draining: [
    "This replica cannot take the request",
    "It is shutting down, or it is older than the replica that minted the handle. Try again in a moment, or choose another replica.",
    ["again", "relay"],
  ],
  overloaded: [
    "The service is overloaded",
    "Try again in a moment.",
    AGAIN,
  ],
  rate_limited: [
    "Too many requests from this client or this address",
    "Wait for the time shown below, then try again.",
    AGAIN,
  ],
  too_many_handles: [
    "This client has as many handles as it may",
    "Wait for the time shown below, or revoke a handle, then try again.",
    AGAIN,
  ],
  too_many_calls: [
    "As many calls are open as may be",
    "Hang up another call, or wait for the time shown below, then try again.",
    AGAIN,
  ],
  call_seconds_spent: [
    "The time for calls of today is used up",
    "There is more after midnight UTC. The operator can raise max_call_seconds_per_day.",
    [],
  ],
  store_unavailable: [
    "The service cannot reach its store",
    "Handles are stored in Redis, which does not respond. Try again when it is back.",
    AGAIN,
  ],
  store_not_replicated: [
    "The store's replicas do not keep up",
    "The operator wants every handle on a replica of Redis, and too few of them respond. Try again shortly.",
    AGAIN,
  ],
  internal_error: [
    "Something went wrong in the service",
    "Try again. To find the cause, look up the request id below in the service's logs.",
    AGAIN,
  ],
  // --- who is asking, and for what ---
  invalid_api_key: [
    "This client key is not known",
    "Enter one of the service's client keys (CLOAKROOM_API_KEYS), not a key of the provider.",
    ["key"],
  ],
  invalid_token: [
    "Your sign-in is not accepted",
    "It may have ended. Sign in again, then try again.",
    AGAIN,
  ],
  user_not_allowed: [
    "You may not mint here",
    "You are signed in. Ask the service's operator for access.",
    [],
  ],
  sign_in_unavailable: [
    "Sign-ins cannot be checked just now",
    "The service cannot reach the identity provider. Try again shortly.",
    AGAIN,
  ],
  model_not_allowed: [
    "This client may not use this model",
    "Choose another model, or ask the operator to allow it for this client.",
    ["model"],
  ],
  model_not_found: [
    "This model is not available",
    "Choose another model, or ask the operator to add it to the service's models.",
    ["model"],
  ],
  wrong_certificate: ELSEWHERE,
  wrong_origin: ELSEWHERE,
  wrong_session_family: [
    "This handle is for another kind of session",
    "A handle works only for the kind of session it was minted for. Call with a new one.",
    ["fresh"],
  ],
  // --- the handle ---
  invalid_handle: [
    "This handle is not valid here",
    "It was changed, or another service signed it. Call with a new one.",
    ["fresh"],
  ],
  handle_expired: [
    "This handle has expired",
    "A handle is valid as long as the key behind it. Call with a new one.",
    ["fresh"],
  ],
  handle_revoked: [
    "This handle was revoked",
    "An operator revoked it. Call with a new one.",
    ["fresh"],
  ],
  handle_spent: [
    "This handle is used up",
    "It allowed a limited number of calls (CLOAKROOM_HANDLE_MAX_CALLS). Call with a new one.",
    ["fresh"],
  ],
  // --- the offer ---
  invalid_offer: [
    "The browser's offer was refused",
    "It is not a valid audio offer. Try again, or use another browser.",
    AGAIN,
  ],
  invalid_request: [
    "The request was refused",
    "The message above names the field to correct.",
    AGAIN,
  ],
  request_too_large: [
    "The request is too large for the service",
    "The offer is larger than CLOAKROOM_MAX_BODY_BYTES. Another browser may make a smaller one.",
    AGAIN,
  ],
  call_id_not_found: [
    "This call was not found",
    "Its record has expired, or another client made it. You can end it in the browser.",
    AGAIN,
  ],
  // Answers of the admin API and to backends, which pages do not use.
  call_not_attachable: MISMATCH,
  admin_disabled: MISMATCH,
  handle_not_found: MISMATCH,
  call_not_found: MISMATCH,
  not_found: MISMATCH,
  method_not_allowed: MISMATCH,
  method_not_implemented: MISMATCH,
  unsupported_media_type: MISMATCH,
  // --- the call ---
  answer_unusable: [
    "The provider's answer is not valid",
    "The browser could not read it. Try again with a new offer.",
    AGAIN,
  ],
  connection_failed: [
    "Audio could not connect",
    "Audio goes directly to the provider over UDP. A firewall, a VPN or the network may block it. Try another network.",
    AGAIN,
  ],
  ice_timeout: [
    "No network path to the provider",
    "Audio goes directly to the provider over UDP. A firewall, a VPN or the network blocks it. Try another network.",
    AGAIN,
  ],
  dtls_timeout: [
    "The encrypted connection failed",
    "There is a network path to the provider, but no encrypted connection over it. A VPN or the network may drop its packets. Try another network.",
    AGAIN,
  ],
  no_audio: [
    "No audio from the provider",
    "The call is connected, and nothing has been heard. Check that your microphone is not muted, and say something.",
    AGAIN,
  ],
  connection_lost: [
    "The connection was lost",
    "The network or the provider failed. Call again when it is back.",
    AGAIN,
  ],
  call_ended: [
    "The provider ended the call",
    "It hung up, or the session reached its maximum length. You can call again.",
    AGAIN,
  ],
};

/** Codes of answers with the error type "upstream_error": the provider's, and ours about the provider. */
export const PROVIDER = {
  upstream_error: [
    "The provider failed",
    "Its answer was an error or not valid. Try again. If it keeps failing, check the provider's status page.",
    AGAIN,
  ],
  upstream_unreachable: [
    "The provider cannot be reached",
    "The service could not connect to it. Check the deployment's base URL and the network, then try again.",
    AGAIN,
  ],
  upstream_unavailable: [
    "The provider is not asked just now",
    "It failed too often, or it asked to wait. Try again after the time shown below.",
    AGAIN,
  ],
  upstream_timeout: [
    "The provider took too long",
    "Try again. The page mints a new handle.",
    AGAIN,
  ],
  outcome_unknown: [
    "The connection to the provider dropped",
    "The offer may have started a call, so it was not sent again. Call again with a new offer.",
    AGAIN,
  ],
  insufficient_quota: [
    "The provider's account has no credit left",
    "Add credit at the provider, then try again.",
    AGAIN,
  ],
  rate_limit_exceeded: [
    "The provider is limiting requests",
    "Wait a moment, then try again.",
    AGAIN,
  ],
  DeploymentNotFound: [
    "Azure knows no deployment of this name",
    "The deployment's model must be the name of the Azure deployment, not the model's name.",
    ["model"],
  ],
  OperationNotSupported: [
    "This Azure deployment has no realtime model",
    "Deploy a realtime model in a region that has one (East US 2, Sweden Central), or choose another model.",
    ["model"],
  ],
};

// Azure's own spelling.
PROVIDER.OpperationNotSupported = PROVIDER.OperationNotSupported;
