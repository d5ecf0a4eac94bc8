/** An error as the page shows it. */

import { OURS, PROVIDER } from "./error_table.js";

/** Returns `{ title, message, code, advice, ways, facts }`. */
export function explain(error) {
  // A connection that failed says how. A DOMException has a number for its code.
  const code = error.outcome ?? (typeof error.code === "string" ? error.code : "page_error");
  // Service and provider share some codes: the provider's invalid_api_key is about another key.
  const table = error.type === "upstream_error" ? PROVIDER : OURS;
  const [title, advice, ways] = table[code] ?? unknown(error);
  const facts = [];
  if (error.status) facts.push(`HTTP ${error.status}`);
  if (error.where) facts.push(`at ${error.where}`);
  if (error.retryAfter) facts.push(`try again in ${error.retryAfter} s`);
  if (error.requestId) facts.push(`request id ${error.requestId}`);
  return { title, advice, ways, code, facts, message: error.message };
}

/** A code that is in no table, most likely the provider's: explain its status instead. */
function unknown({ status, type }) {
  const who = type === "upstream_error" ? "The provider" : "The service";
  if (status === 429) return [`${who} is limiting requests`, "Wait a moment, then try again.", ["again"]];
  if (status === 401 || status === 403) {
    const check = "Ask the service's operator to check this deployment's key and its permissions.";
    return [`${who} refused the credential`, check, ["again"]];
  }
  if (status === 404) {
    return [`${who} answered "not found"`, "Check the deployment's model name and base URL.", ["model"]];
  }
  if (status >= 500) {
    return [`${who} failed`, "Try again. If it keeps failing, check its status page.", ["again"]];
  }
  return [`${who} refused the request`, "The message above says why.", ["again"]];
}
