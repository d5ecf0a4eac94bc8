/** The conversation: a box to send text, and the transcript of both sides. */

import { byId, el } from "./dom.js";

const LIMIT = 60;
const WORDS = new Set([
  ...["response.output_audio_transcript.delta", "response.output_text.delta"],
  // Providers that kept the beta's names.
  ...["response.audio_transcript.delta", "response.text.delta"],
]);
// GPT-Live has no items: who speaks, and when.
const SPOKEN = { "session.input_transcript.delta": "You", "session.output_transcript.delta": "Assistant" };
const PAUSE_MS = 1500;

export class Talk {
  #call = null;
  #active = false;
  #waiting = false;
  #lines = new Map();
  #spoken = {};
  #list = byId("lines");
  #input = byId("say");
  #button = byId("send");

  constructor() {
    byId("talk").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say(this.#input.value.trim());
    });
    this.end();
  }

  /** The call is connected: text can be sent. */
  begin(call) {
    this.#call = call;
    this.#input.disabled = this.#button.disabled = false;
    this.#input.placeholder = "Type a message";
  }

  /** The call is connected, and takes no text. */
  listen() {
    this.#input.placeholder = "This session takes no text";
  }

  /** The call is over; the transcript stays. */
  end() {
    this.#call = null;
    this.#active = this.#waiting = false;
    this.#spoken = {};
    this.#input.disabled = this.#button.disabled = true;
    this.#input.placeholder = "Start a call first";
  }

  /** Empty the conversation. */
  clear() {
    this.#lines.clear();
    this.#list.replaceChildren();
    byId("lines-empty").hidden = false;
  }

  /** Ask the assistant to speak now. */
  respond(response) {
    if (this.#active) this.#waiting = true;
    else this.#call?.send(response ? { type: "response.create", response } : { type: "response.create" });
  }

  /** One event of the provider. */
  heard(event) {
    const { type } = event;
    if (type === "response.created") this.#active = true;
    if (type === "response.done") {
      this.#active = false;
      if (this.#waiting) {
        this.#waiting = false;
        this.respond();
      }
    }
    if (type in SPOKEN) this.#hearSpoken(SPOKEN[type], event);
    if (WORDS.has(type)) {
      this.#line(event.item_id, "Assistant").append(event.delta);
      this.#list.scrollTop = this.#list.scrollHeight;
    }
    if (type === "conversation.item.input_audio_transcription.completed") {
      this.#line(event.item_id, "You").textContent = event.transcript;
    }
  }

  /** Both may speak at once; a pause begins a new line. */
  #hearSpoken(who, { delta, start_ms: from, end_ms: to }) {
    const before = this.#spoken[who];
    const line = before && from - before.to <= PAUSE_MS ? before.line : this.#line(Symbol("spoken"), who);
    line.append(delta);
    this.#spoken[who] = { line, to };
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  #say(text) {
    if (!text || !this.#call) return;
    this.#input.value = "";
    this.#line(Symbol("sent"), "You").textContent = text;
    // A typed message interrupts the assistant, audio and text.
    if (this.#active) this.#call.send({ type: "response.cancel" });
    this.#call.send({ type: "output_audio_buffer.clear" });
    this.#call.send({
      type: "conversation.item.create",
      item: { type: "message", role: "user", content: [{ type: "input_text", text }] },
    });
    this.respond();
  }

  #line(id, who) {
    let line = this.#lines.get(id);
    if (!line) {
      line = el("span", { class: "line-text" });
      const row = el("li", { "data-who": who.toLowerCase() }, el("span", { class: "line-who" }, who), line);
      this.#lines.set(id, line);
      this.#list.append(row);
      if (this.#list.children.length > LIMIT) this.#list.firstElementChild.remove();
      byId("lines-empty").hidden = true;
      this.#list.scrollTop = this.#list.scrollHeight;
    }
    return line;
  }
}
