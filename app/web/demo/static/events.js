/** The log of the data channel's events, both directions: bounded, filterable by text, copyable as JSON. */

import { byId, el, legible } from "./dom.js";

const LIMIT = 500;
// Within this many pixels of the end, the list follows new events.
const NEAR_END = 40;

export class EventLog {
  #entries = [];
  #dropped = 0;
  #began = performance.now();
  #drawing = 0;
  #list = byId("events");
  #filter = byId("filter");
  #count = byId("event-count");

  constructor() {
    this.#filter.addEventListener("input", () => this.#refilter());
    byId("clear-events").addEventListener("click", () => this.clear());
    byId("copy-events").addEventListener("click", (event) => this.#copy(event.currentTarget));
    this.#tell();
  }

  /** Forget everything; times count from now. */
  clear() {
    this.#entries = [];
    this.#dropped = 0;
    this.#began = performance.now();
    this.#list.replaceChildren();
    this.#tell();
  }

  /** Note one event; `direction` is "in" (from the provider) or "out". */
  add(direction, event) {
    const at = (performance.now() - this.#began) / 1000;
    const json = JSON.stringify(event, null, 2);
    const entry = { at: Number(at.toFixed(3)), direction, event, text: json.toLowerCase() };
    entry.row = this.#row(entry, json);
    this.#entries.push(entry);
    entry.row.hidden = !this.#matches(entry);
    // Events come in bursts, and reading the layout is slow: once a frame is enough.
    if (!this.#drawing) this.#drawing = requestAnimationFrame(this.#follow(this.#atEnd()));
    this.#list.append(entry.row);
    if (this.#entries.length > LIMIT) {
      this.#entries.shift().row.remove();
      this.#dropped += 1;
    }
  }

  #follow(following) {
    return () => {
      this.#drawing = 0;
      if (following) this.#list.scrollTop = this.#list.scrollHeight;
      this.#tell();
    };
  }

  #row({ at, direction, event }, json) {
    const way = direction === "in" ? "\u2193" : "\u2191";
    const what = direction === "in" ? "received" : "sent";
    const arrow = el("span", { class: "event-way", "aria-hidden": "true" }, way);
    const head = el(
      "summary",
      {},
      arrow,
      el("span", { class: "event-type" }, ...breakable(legible(String(event.type ?? "(no type)")))),
      el("span", { class: "visually-hidden" }, `, ${what}, after `),
      el("span", { class: "event-time" }, `${at.toFixed(2)} s`),
    );
    const kind = event.type === "error" ? "error" : direction;
    const details = el("details", {}, head);
    // The JSON is added when the entry is opened, since most entries never are.
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) details.append(el("pre", { tabindex: "0" }, legible(json)));
    });
    return el("li", { class: "event", "data-kind": kind }, details);
  }

  #matches({ text }) {
    return text.includes(this.#filter.value.trim().toLowerCase());
  }

  #refilter() {
    for (const entry of this.#entries) entry.row.hidden = !this.#matches(entry);
    this.#tell();
  }

  #shown() {
    return this.#entries.filter((entry) => !entry.row.hidden);
  }

  #tell() {
    const all = this.#entries.length;
    const shown = this.#shown().length;
    const dropped = this.#dropped ? `, ${this.#dropped} older ones removed` : "";
    this.#count.textContent = `${shown === all ? all : `${shown} of ${all}`} events${dropped}`;
    byId("events-empty").hidden = all > 0;
    byId("copy-events").disabled = byId("clear-events").disabled = all === 0;
  }

  #atEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.#list;
    return scrollHeight - scrollTop - clientHeight < NEAR_END;
  }

  async #copy(button) {
    const picked = this.#shown().map(({ at, direction, event }) => ({ at, direction, event }));
    const label = button.textContent;
    button.textContent = await navigator.clipboard.writeText(JSON.stringify(picked, null, 2)).then(
      () => `Copied ${picked.length}`,
      () => "Copy failed",
    );
    setTimeout(() => (button.textContent = label), 1500);
  }
}

/** A long name that may break before its dots and underscores, and nowhere else unless it must. */
function breakable(name) {
  return name.split(/(?=[._])/).flatMap((part) => [el("wbr"), part]);
}
