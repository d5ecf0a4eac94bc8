/**
 * Every failure in plain words: a title, what to do, and which ways back the page offers.
 *
 * Ways back: "again" starts over, "fresh" drops the handle in hand first, "tone" goes on without a
 * microphone, and "key", "model" and "relay" lead to the field that must be changed.
 */

const AGAIN = ["again"];
// What only a page meets that is older or newer than the replica that it asks.
const MISMATCH = [
  "This page and this replica do not fit together",
  "They are of different versions, or something between them changes requests. Load the page anew, or choose another replica.",
  ["relay", "again"],
];

/** Codes of the service, the call and this page. */
export const OURS = {
  // --- this page and this machine ---
  no_client_key: [
    "A client key is needed",
    "Type one of the service's client keys (CLOAKROOM_API_KEYS), or open the address that `cloakroom dev` printed: it carries a key for this run.",
    ["key"],
  ],
  insecure_page: [
    "This page may not use the microphone",
    "Browsers allow it on https:// and on localhost only. Open the page under one of those, or go on with a test tone.",
    ["tone"],
  ],
  microphone_denied: [
    "The microphone was not allowed",
    "Allow it in the address bar's site settings and try again, or go on with a test tone in its place.",
    ["again", "tone"],
  ],
  microphone_missing: [
    "No microphone was found",
    "Plug one in and try again, or go on with a test tone in its place.",
    ["again", "tone"],
  ],
  microphone_busy: [
    "The microphone cannot be used",
    "Another program may be using it. Close that and try again, or go on with a test tone in its place.",
    ["again", "tone"],
  ],
  config_unavailable: [
    "The page could not ask the service for its settings",
    "The replica that served this page does not answer. Start it, then try again.",
    AGAIN,
  ],
  page_error: [
    "Something in this page went wrong",
    "Try again. Should it happen again, the browser's console has the detail.",
    AGAIN,
  ],
  // --- the way to the service ---
  replica_unreachable: [
    "This replica does not answer",
    "It may be down or restarting. Start it and try again, or choose another one: a handle is good at every replica.",
    ["again", "relay"],
  ],
  origin_not_allowed: [
    "This replica refuses pages of this origin",
    "Its operator can add this page's origin to CLOAKROOM_CORS_ORIGINS. Or choose another replica.",
    ["relay", "again"],
  ],
  timeout: [
    "The service took too long",
    "Try again; a new handle is minted for it.",
    AGAIN,
  ],
  draining: [
    "This replica is shutting down",
    "Try again in a moment, or choose another one.",
    ["again", "relay"],
  ],
  overloaded: [
    "The service has too much to do just now",
    "Try again in a moment.",
    AGAIN,
  ],
  rate_limited: [
    "Too many requests of this client",
    "Wait as long as the answer says, then try again.",
    AGAIN,
  ],
  store_unavailable: [
    "The service cannot reach its store",
    "Handles are kept in Redis, and it does not answer. Nothing was minted. Try again once it is back.",
    AGAIN,
  ],
  internal_error: [
    "The service has a defect",
    "The request id below finds the cause in its logs. Try again.",
    AGAIN,
  ],
  // --- who is asking, and for what ---
  invalid_api_key: [
    "This client key is not known",
    "Type one of the service's client keys (CLOAKROOM_API_KEYS). A key of the provider does not belong here.",
    ["key"],
  ],
  model_not_allowed: [
    "This client may not use this model",
    "Choose another model, or have the model added to this client.",
    ["model"],
  ],
  model_not_found: [
    "There is no such model here",
    "Choose another model, or have it added to the service's models.",
    ["model"],
  ],
  wrong_session_family: [
    "This handle is for another kind of session",
    "A handle opens only what it was minted for. Call with a fresh one.",
    ["fresh"],
  ],
  // --- the handle ---
  invalid_handle: [
    "This handle is not valid here",
    "It was changed on its way, or another service signed it. Call with a fresh one.",
    ["fresh"],
  ],
  handle_expired: [
    "This handle has expired",
    "A handle lives as long as the key behind it. Call with a fresh one.",
    ["fresh"],
  ],
  handle_revoked: [
    "This handle was revoked",
    "Somebody took it back. Call with a fresh one.",
    ["fresh"],
  ],
  handle_spent: [
    "This handle is used up",
    "It was good for a set number of calls (CLOAKROOM_HANDLE_MAX_CALLS). Call with a fresh one.",
    ["fresh"],
  ],
  // --- the offer ---
  invalid_offer: [
    "The browser's offer was refused",
    "It is no audio offer as the provider wants it. Try again, or with another browser.",
    AGAIN,
  ],
  invalid_request: [
    "The request was refused",
    "The message above names the field at fault.",
    AGAIN,
  ],
  request_too_large: [
    "The request is too large for the service",
    "An offer of this size is unusual: another browser makes a smaller one. The limit is CLOAKROOM_MAX_BODY_BYTES.",
    AGAIN,
  ],
  call_id_not_found: [
    "There is no such call here",
    "It is on record no longer, or another client made it. Hanging up in the browser ends it too.",
    AGAIN,
  ],
  // Answers of the admin API, which no page asks.
  admin_disabled: MISMATCH,
  handle_not_found: MISMATCH,
  call_not_found: MISMATCH,
  not_found: MISMATCH,
  method_not_allowed: MISMATCH,
  unsupported_media_type: MISMATCH,
  // --- the call ---
  answer_unusable: [
    "The provider's answer is none",
    "The browser could not read it. Try again; a new offer is made for it.",
    AGAIN,
  ],
  connection_failed: [
    "No sound connection came about",
    "Sound goes straight to the provider over UDP, and something on the way blocks it: a firewall, a VPN, a strict network. Try another network.",
    AGAIN,
  ],
  connection_lost: [
    "The connection was lost",
    "The network went away, or the provider did. Call again when it is back.",
    AGAIN,
  ],
  call_ended: [
    "The provider ended the call",
    "It hung up, or a session's longest time was reached. Call again whenever you like.",
    AGAIN,
  ],
};

/** Codes of answers whose error type is "upstream_error": the provider's own, and ours about it. */
export const PROVIDER = {
  upstream_error: [
    "The provider failed",
    "Its answer was an error, or none at all. Try again; should it stay so, look at the provider's status page.",
    AGAIN,
  ],
  upstream_unreachable: [
    "The provider cannot be reached",
    "The service found no way to it. Check the deployment's base URL and the service's network, then try again.",
    AGAIN,
  ],
  upstream_timeout: [
    "The provider took too long",
    "Try again; a new handle is minted for it.",
    AGAIN,
  ],
  outcome_unknown: [
    "The line dropped while the provider answered",
    "The offer may have made a call, so it was not sent twice. Call again: that makes a new offer.",
    AGAIN,
  ],
  insufficient_quota: [
    "The provider's account has no credit left",
    "Top it up with the provider. Trying again will not help before that.",
    AGAIN,
  ],
  rate_limit_exceeded: [
    "The provider has had too many requests",
    "Wait a little, then try again.",
    AGAIN,
  ],
  DeploymentNotFound: [
    "Azure knows no deployment of this name",
    "The deployment's model must be the Azure deployment's name, not the model's.",
    ["model"],
  ],
  OperationNotSupported: [
    "This Azure deployment serves no realtime model",
    "Deploy a realtime model in a region that serves one (East US 2, Sweden Central), or choose another model.",
    ["model"],
  ],
};

// Azure spells its own code so.
PROVIDER.OpperationNotSupported = PROVIDER.OperationNotSupported;
