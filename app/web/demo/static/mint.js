/**
 * Mints a handle, which in a real app is your backend's job: the client key belongs there, not in a page.
 * The demo does it here so that it can show the step.
 */

import { CallError, errorOf, request } from "./cloakroom.js";

const MINT_PATH = "v1/realtime/client_secrets";
const CALLS_PATH = "v1/realtime/calls";
const LIMIT_MS = 20_000;

/** Returns `{ value, expiresAt, life, replica, clock, bound }`; times in epoch seconds by the service's clock. */
export async function mint({ key, model, session, mintOn, seconds, maxCallSeconds, bind }, signal) {
  if (!key) throw new CallError("no_client_key", "Minting needs a client key.");
  const response = await request(mintOn.base + MINT_PATH, {
    method: "POST",
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    body: JSON.stringify({
      session: { type: session, model },
      expires_after: { anchor: "created_at", seconds },
      max_call_seconds: maxCallSeconds,
      bind,
    }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]),
  });
  if (!response.ok) throw await errorOf(response);
  const { value, expires_at: expiresAt, bind: bound = null } = await response.json();
  const clock = clockOf(response);
  return { value, expiresAt, life: expiresAt - clock, clock, replica: servedBy(response), bound };
}

/** A handle that was minted elsewhere. It contains its expiry. */
export function inHand(value) {
  const clock = Date.now() / 1000;
  const expiresAt = expiryOf(value);
  return { value, expiresAt, life: expiresAt === null ? null : expiresAt - clock, clock, replica: null, bound: null };
}

/** Where offers go at this replica. */
export function callsUrl(replica) {
  return replica.base + CALLS_PATH;
}

/** The name of the replica that gave this answer. */
export function servedBy(response) {
  return response.headers.get("x-cloakroom-replica");
}

/** The service's clock at this answer: the page counts down correctly where this computer's clock is wrong. */
function clockOf(response) {
  const date = Date.parse(response.headers.get("date") ?? "");
  return (Number.isNaN(date) ? Date.now() : date) / 1000;
}

function expiryOf(handle) {
  try {
    const payload = handle.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const { exp } = JSON.parse(atob(payload));
    return Number.isFinite(exp) ? exp : null;
  } catch {
    return null;
  }
}
