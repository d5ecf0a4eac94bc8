/**
 * For a page, a replica that is down and one that refuses the page's origin look the same. A request without
 * CORS tells them apart: the page cannot read the answer, but can see that there is one.
 */

import { CallError } from "./cloakroom.js";

const PROBE_MS = 3000;

/** The same error or a more precise one; `replica` is the one that was asked. */
export async function diagnose(error, replica) {
  if (error.code !== "network_error") return error;
  const reachable = await fetch(`${replica.base}livez`, {
    mode: "no-cors",
    cache: "no-store",
    signal: AbortSignal.timeout(PROBE_MS),
  }).then(() => true, () => false);
  const refused = `${replica.name} is up, but does not allow pages from ${location.origin}.`;
  return reachable
    ? new CallError("origin_not_allowed", refused)
    : new CallError("replica_unreachable", `${replica.name} (${new URL(replica.base).host}) does not answer.`);
}
