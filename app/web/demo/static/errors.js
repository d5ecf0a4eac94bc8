/** An error as the page shows it. */

import { OURS, PROVIDER } from "./error_table.js";

/** Returns `{ title, message, code, advice, ways, facts }`. */
export function explain(error) {
  // A DOMException has a number there, of no use to anybody.
  const code = typeof error.code === "string" ? error.code : "page_error";
  // The same code can be either's: the provider, too, says invalid_api_key, and means another key.
  const table = error.type === "upstream_error" ? PROVIDER : OURS;
  const [title, advice, ways] = table[code] ?? unknown(error);
  const facts = [];
  if (error.status) facts.push(`HTTP ${error.status}`);
  if (error.where) facts.push(`at ${error.where}`);
  if (error.retryAfter) facts.push(`try again in ${error.retryAfter} s`);
  if (error.requestId) facts.push(`request id ${error.requestId}`);
  return { title, advice, ways, code, facts, message: error.message };
}

/** A code that stands in no table, most likely one of the provider's: its status says enough. */
function unknown({ status, type }) {
  const who = type === "upstream_error" ? "The provider" : "The service";
  if (status === 429) return [`${who} has had too many requests`, "Wait a little, then try again.", ["again"]];
  if (status === 401 || status === 403) {
    const check = "Have the service's operator check the key of this deployment, and what it may do.";
    return [`${who} refused the credential`, check, ["again"]];
  }
  if (status === 404) {
    return [`${who} knows no such thing`, "Check the deployment's model name and base URL.", ["model"]];
  }
  if (status >= 500) {
    return [`${who} failed`, "Try again; should it stay so, look at its status page.", ["again"]];
  }
  return [`${who} refused the request`, "The message above says why.", ["again"]];
}
