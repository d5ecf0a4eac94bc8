/** One call from the press of the button to its end; it updates the parts of the page. */

import { CallFacts } from "./call_facts.js";
import { connect, ownCertificate } from "./cloakroom.js";
import { diagnose } from "./diagnose.js";
import { duration } from "./dom.js";
import { callsUrl, inHand, mint, servedBy } from "./mint.js";
import { watchPath } from "./path.js";
import { openSource } from "./sources.js";

const SOURCES = { microphone: "Microphone", tone: "Test tone", silence: "Silence" };
const OUTCOMES = {
  connected: "connected",
  ice_timeout: "no network path",
  dtls_timeout: "no encrypted connection",
  no_audio: "no audio",
};
const GREETING = "Greet the caller in one short sentence.";
// How long the provider's goodbye may take.
const LEAVE_MS = 1000;

// One for the page: a handle that was bound to it works here again, and nowhere else.
let own = null;

export class Run {
  #parts;
  #want;
  #attempt = new AbortController();
  #source = null;
  #call = null;
  #asked = null;
  #stopWatching = () => {};
  #sounding = false;
  #leaving = 0;
  #facts = new CallFacts();

  /**
   * `parts` are the page's: timeline, ticket, events, talk, mine and theirs (meters), audio, context, and the
   * functions status(text, tone) and ended(error). `want` are the form's values.
   */
  constructor(parts, want) {
    this.#parts = parts;
    this.#want = want;
  }

  /** Whether the call is connected. */
  get live() {
    return this.#call !== null;
  }

  /** Start the call. `ended` is called once with any error. */
  async start() {
    try {
      await this.#openSource();
      const handle = await this.#takeHandle();
      await this.#connect(handle);
    } catch (error) {
      await this.#failed(error);
    }
  }

  /** End the call, or cancel the attempt. */
  stop() {
    const { leave } = this.#want.kind;
    if (!this.#call) {
      this.#attempt.abort();
    } else if (!leave || this.#leaving || !this.#open) {
      this.#call.close();
    } else {
      // The provider says what the session came to, and stops counting at once. A second press does not wait.
      this.#leaving = setTimeout(() => this.#call?.close(), LEAVE_MS);
      this.#parts.status("Leaving\u2026");
      this.#send({ type: leave });
    }
  }

  /** Send silence, or the audio again. */
  mute(on) {
    for (const track of this.#source?.stream.getAudioTracks() ?? []) track.enabled = !on;
    const { mute, unmute } = this.#want.kind;
    if (mute && this.#open) this.#send({ type: on ? mute : unmute });
  }

  get #open() {
    return this.#call?.channel.readyState === "open";
  }

  async #openSource() {
    const { timeline, mine, context, status } = this.#parts;
    const name = SOURCES[this.#want.source];
    status(this.#want.source === "microphone" ? "Waiting for microphone access\u2026" : "Starting\u2026");
    timeline.begin("source", name);
    const { signal } = this.#attempt;
    const opening = openSource(this.#want.source, context);
    // "Cancel" must work while the browser still asks for the microphone.
    opening.then((late) => signal.aborted && late.stop(), () => {});
    this.#source = await Promise.race([opening, givenUp(signal)]);
    timeline.end("source", this.#source.stream.getAudioTracks()[0]?.label || "ready");
    mine.attach(this.#source.stream, context);
  }

  async #takeHandle() {
    const { timeline, ticket, status } = this.#parts;
    if (this.#want.handle) {
      timeline.skip("mint", "using the existing handle");
      const handle = inHand(this.#want.handle);
      ticket.show(handle);
      return handle;
    }
    this.#asked = this.#want.mintOn;
    status(`Minting on ${this.#asked.name}\u2026`);
    timeline.begin("mint");
    const { bind } = this.#want.binds ? await myCertificate() : {};
    const handle = await mint({ ...this.#want, bind }, this.#attempt.signal);
    timeline.end("mint", `by ${handle.replica ?? this.#asked.name}`);
    ticket.show(handle);
    return handle;
  }

  async #connect({ value }) {
    const { timeline, talk, status, audio } = this.#parts;
    this.#asked = this.#want.relayOn;
    timeline.begin("offer");
    const call = await connect({
      callsUrl: callsUrl(this.#asked),
      handle: value,
      certificate: (await myCertificate()).certificate,
      stream: this.#source.stream,
      audio,
      iceServers: this.#want.iceServers,
      channelName: this.#want.channel,
      signal: this.#attempt.signal,
      onStep: (step, detail) => this.#step(step, detail),
      onEvent: (event) => this.#event(event),
      onEnd: (error) => this.#over(error),
    });
    this.#call = call;
    status(`Connected to ${this.#want.model || "the model"}`, "live");
    this.#listen(call);
    if (this.#want.kind.takesText) talk.begin({ send: (event) => this.#send(event) });
    else talk.listen();
    if (this.#want.greet) talk.respond({ instructions: GREETING });
  }

  #step(step, { id, response, outcome, after_ms: after }) {
    const { timeline, ticket, notice, status } = this.#parts;
    if (step === "offer") {
      timeline.end("offer");
      timeline.begin("relay");
      status(`Relaying on ${this.#asked.name}\u2026`);
    } else if (step === "relay" && response.ok) {
      const name = servedBy(response) ?? this.#asked.name;
      timeline.end("relay", `by ${name}`);
      ticket.tell("relayed-by", name);
      this.#facts.answered(response);
      timeline.begin("connect");
      this.#asked = null;
      status("Connecting to the provider\u2026");
    } else if (step === "answer") {
      ticket.tell("call-id", id);
    } else if (step === "connected") {
      timeline.end("connect");
      timeline.begin("sound");
    } else if (step === "outcome") {
      ticket.tell("outcome", `${OUTCOMES[outcome]} after ${duration(after)}`);
      if (outcome === "no_audio") notice.warn(outcome);
    }
  }

  #listen(call) {
    const { timeline, ticket, theirs, context, status } = this.#parts;
    theirs.attach(call.sound, context, () => {
      timeline.end("sound");
      timeline.total("First audio after");
      this.#sounding = true;
    });
    this.#stopWatching = watchPath(call.pc, (text) => ticket.tell("path", text));
    call.pc.addEventListener("connectionstatechange", () => {
      if (call.pc.connectionState === "disconnected") {
        status("Connection interrupted. Reconnecting\u2026", "warn");
      } else if (call.pc.connectionState === "connected") {
        status(`Connected to ${this.#want.model || "the model"}`, "live");
      }
    });
  }

  #event(event) {
    const { events, talk, notice } = this.#parts;
    events.add("in", event);
    talk.heard(event);
    this.#facts.heard(event);
    if (event.type === "error") notice.mention(event.error ?? {});
    if (this.#leaving && event.type === this.#want.kind.left) this.#call?.close();
  }

  #send(event) {
    this.#call.send(event);
    this.#parts.events.add("out", event);
  }

  async #failed(error) {
    if (this.#attempt.signal.aborted) {
      this.#over(null);
      return;
    }
    const asked = this.#asked;
    const told = asked ? await diagnose(error, asked) : error;
    if (asked) told.where = asked.name;
    this.#over(told);
  }

  #over(error) {
    const { timeline, talk, mine, theirs, ended } = this.#parts;
    clearTimeout(this.#leaving);
    // An end that this page asked for is no failure.
    if (this.#leaving) error = null;
    this.#call = null;
    this.#stopWatching();
    this.#source?.stop();
    mine.detach();
    theirs.detach();
    talk.end();
    this.#facts.over(error);
    if (!this.#sounding) timeline.fail();
    ended(error);
  }
}

/** This page's certificate, and what binds to it. */
function myCertificate() {
  return (own ??= ownCertificate());
}

/** Never resolves; rejects when the attempt is cancelled. */
function givenUp(signal) {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
