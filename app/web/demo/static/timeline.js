/** The steps of a call, each with its time, as a waterfall. */

import { byId, duration, el } from "./dom.js";

const STEPS = [
  ["source", "Microphone", "browser permission"],
  ["mint", "Mint", "get a handle"],
  ["offer", "Offer", "created by this browser"],
  ["relay", "Relay", "send the offer, get the answer"],
  ["connect", "Connected", "ICE and DTLS, direct to the provider"],
  ["sound", "First audio", "first sound from the provider"],
];
const STATES = {
  waiting: "not started",
  running: "in progress",
  done: "done",
  failed: "failed",
  skipped: "skipped",
};

export class Timeline {
  #rows = new Map();
  #began = 0;
  #total = byId("total");

  constructor() {
    const list = byId("steps");
    for (const [name, label, note] of STEPS) {
      const row = {
        label: el("span", { class: "step-label" }, label),
        note: el("span", { class: "step-note" }, note),
        time: el("span", { class: "step-time" }, ""),
        state: el("span", { class: "visually-hidden" }, ""),
        bar: el("span", { class: "step-bar" }),
        hint: note,
        from: null,
        to: null,
      };
      const track = el("span", { class: "step-track", "aria-hidden": "true" }, row.bar);
      const text = el("span", { class: "step-text" }, row.label, row.note);
      row.item = el("li", { "data-step": name }, text, row.time, track, row.state);
      list.append(row.item);
      this.#rows.set(name, row);
    }
    this.reset();
  }

  /** Forget the last call; times count from now. */
  reset() {
    this.#began = performance.now();
    this.#total.textContent = "";
    for (const row of this.#rows.values()) {
      row.from = row.to = null;
      row.note.textContent = row.hint;
      row.time.textContent = "";
      this.#mark(row, "waiting");
    }
    this.#draw();
  }

  /** A step begins. */
  begin(name, label) {
    const row = this.#rows.get(name);
    row.from = performance.now();
    if (label) row.label.textContent = label;
    this.#mark(row, "running");
  }

  /** A step is done; `note` says which replica or device. */
  end(name, note) {
    const row = this.#rows.get(name);
    if (row.to !== null || row.from === null) return;
    row.to = performance.now();
    row.time.textContent = duration(row.to - row.from);
    if (note) row.note.textContent = note;
    this.#mark(row, "done");
    this.#draw();
  }

  /** A step that this call does not need. */
  skip(name, note) {
    const row = this.#rows.get(name);
    row.note.textContent = note;
    this.#mark(row, "skipped");
  }

  /** The steps in progress have failed or were cancelled. */
  fail() {
    for (const row of this.#rows.values()) {
      if (row.from !== null && row.to === null) this.#mark(row, "failed");
    }
  }

  /** Show the time from the press of the button to now. */
  total(text) {
    const spent = duration(performance.now() - this.#began);
    this.#total.textContent = `${text} ${spent}`;
    return spent;
  }

  #mark(row, state) {
    row.item.dataset.state = state;
    row.state.textContent = STATES[state];
  }

  #draw() {
    const ends = [...this.#rows.values()].map((row) => row.to ?? 0);
    const span = Math.max(1, Math.max(...ends) - this.#began);
    for (const { from, to, bar } of this.#rows.values()) {
      const drawn = from !== null && to !== null;
      bar.style.setProperty("--from", drawn ? (from - this.#began) / span : 0);
      // A step that took no time still gets a visible bar.
      bar.style.setProperty("--span", drawn ? Math.max(0.012, (to - from) / span) : 0);
    }
  }
}
