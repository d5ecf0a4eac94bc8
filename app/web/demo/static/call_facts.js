/** What the page tells of a running call: how long it may last, what it used, and who ended it and why. */

import { byId } from "./dom.js";

const TICK_MS = 250;
// A hang-up by the service comes within about a second of the limit.
const BY_LIMIT_SECONDS = 3;
const WHY = {
  call_ended: "ended by the provider, or by a hang-up",
  connection_lost: "the connection was lost",
  connection_failed: "no connection came about",
};
// Why a GPT-Live session ended, where that says more than that it did.
const CLOSED = {
  expired: "by the provider: the session's time was over",
  content: "by the provider's content filter",
};

export class CallFacts {
  #timer = 0;
  #ends = null;
  #limit = null;
  #closed = null;
  #tokens = { input: 0, cached: 0, output: 0, responses: 0 };

  constructor() {
    for (const name of ["call-limit", "usage", "ended"]) byId(name).textContent = "\u2014";
  }

  /** The relay's answer came; it names the limit, in seconds, where there is one. */
  answered(response) {
    this.#limit = Number(response.headers.get("x-cloakroom-max-call-seconds")) || null;
    if (this.#limit === null) {
      byId("call-limit").textContent = "none; the provider ends a call after an hour";
      return;
    }
    this.#ends = performance.now() + this.#limit * 1000;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
  }

  /**
   * An event of the provider: a response that is done tells the tokens that it used, and GPT-Live the seconds of the
   * session so far.
   */
  heard({ type, response, usage, reason }) {
    if (type === "session.closed") this.#closed = reason;
    if (type === "session.usage.updated" || type === "session.closed") {
      if (usage?.seconds !== undefined) byId("usage").textContent = `${Math.round(usage.seconds)} s of a session`;
    }
    const used = type === "response.done" ? response?.usage : null;
    if (!used) return;
    const sum = this.#tokens;
    sum.responses += 1;
    sum.input += used.input_tokens ?? 0;
    sum.cached += used.input_token_details?.cached_tokens ?? 0;
    sum.output += used.output_tokens ?? 0;
    const cached = sum.cached ? ` (${sum.cached} cached)` : "";
    byId("usage").textContent = `${sum.input} tokens in${cached}, ${sum.output} out, ${sum.responses} answer${sum.responses === 1 ? "" : "s"}`;
  }

  /** The call is over: by this page without an error. */
  over(error) {
    clearInterval(this.#timer);
    const left = this.#left();
    if (left !== null) byId("call-limit").textContent = `${this.#limit} s`;
    byId("ended").textContent = this.#why(error, left);
  }

  #why(error, left) {
    if (!error) return "by this page";
    if (error.code === "call_ended" && this.#closed in CLOSED) return CLOSED[this.#closed];
    if (error.code === "call_ended" && left !== null && left < BY_LIMIT_SECONDS) {
      return `by Cloakroom: the limit of ${this.#limit} s was reached`;
    }
    return WHY[error.code] ?? error.code;
  }

  #left() {
    return this.#ends === null ? null : Math.max(0, (this.#ends - performance.now()) / 1000);
  }

  #tick() {
    const left = Math.ceil(this.#left());
    const clock = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    byId("call-limit").textContent = `hung up in ${clock}`;
  }
}
