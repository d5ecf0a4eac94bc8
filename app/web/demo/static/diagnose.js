/**
 * A browser tells a page the same of a replica that is down and of one that refuses the page's origin. A
 * request without CORS tells them apart: its answer cannot be read, but that there is one can be seen.
 */

import { CallError } from "./cloakroom.js";

const PROBE_MS = 3000;

/** The same error, or a more telling one; `replica` is the one that was asked. */
export async function diagnose(error, replica) {
  if (error.code !== "network_error") return error;
  const reachable = await fetch(`${replica.base}livez`, {
    mode: "no-cors",
    cache: "no-store",
    signal: AbortSignal.timeout(PROBE_MS),
  }).then(() => true, () => false);
  return reachable
    ? new CallError("origin_not_allowed", `${replica.name} answers, but not to pages of ${location.origin}.`)
    : new CallError("replica_unreachable", `${replica.name} (${new URL(replica.base).host}) does not answer.`);
}
