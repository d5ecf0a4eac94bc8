/** The handle: who minted it, who relayed with it, and how long it is still valid. */

import { byId } from "./dom.js";

const TICK_MS = 250;
// The last tenth of its lifetime gets a warning colour.
const LOW = 0.1;

export class Ticket {
  #timer = 0;
  #handle = null;
  #card = byId("ticket");
  #life = byId("life");
  #bar = byId("life-bar");

  constructor() {
    byId("copy-handle").addEventListener("click", (event) => this.#copy(event.currentTarget));
    this.clear();
  }

  /** There is no handle. */
  clear() {
    clearInterval(this.#timer);
    this.#handle = null;
    this.#card.dataset.state = "none";
    byId("handle-text").textContent = "none yet";
    this.#life.textContent = "\u2014";
    this.#bar.style.setProperty("--left", 0);
    for (const name of ["minted-by", "bound-to", "relayed-by", "call-id", "path", "outcome"]) this.tell(name, null);
    byId("copy-handle").disabled = true;
  }

  /** A handle: `{ value, life, clock, expiresAt, replica, bound }` as mint.js makes it. */
  show({ value, life, replica, bound }) {
    this.clear();
    this.#handle = value;
    // Shortened, so that it cannot be copied from the screen.
    byId("handle-text").textContent = `${value.slice(0, 6)}\u2026${value.slice(-4)}`;
    byId("copy-handle").disabled = false;
    this.tell("minted-by", replica ?? "unknown (existing handle)");
    this.tell("bound-to", replica === null ? "unknown (existing handle)" : boundTo(bound));
    if (life === null) {
      this.#card.dataset.state = "live";
      this.#life.textContent = "unknown";
      return;
    }
    const dies = performance.now() + life * 1000;
    const tick = () => this.#count((dies - performance.now()) / 1000, Math.max(life, 1));
    this.#timer = setInterval(tick, TICK_MS);
    tick();
  }

  /** Set one of the facts below the handle; null clears it. */
  tell(name, text) {
    byId(name).textContent = text ?? "\u2014";
  }

  #count(left, life) {
    if (left <= 0) {
      clearInterval(this.#timer);
      this.#card.dataset.state = "expired";
      this.#life.textContent = "expired; calls in progress continue";
      this.#bar.style.setProperty("--left", 0);
      return;
    }
    const minutes = Math.floor(left / 60);
    const seconds = String(Math.floor(left % 60)).padStart(2, "0");
    this.#life.textContent = `${minutes}:${seconds} left`;
    this.#card.dataset.state = left / life < LOW ? "low" : "live";
    this.#bar.style.setProperty("--left", Math.min(1, left / life));
  }

  async #copy(button) {
    if (!this.#handle) return;
    const label = button.textContent;
    button.textContent = await navigator.clipboard.writeText(this.#handle).then(
      () => "Copied",
      () => "Copy failed",
    );
    setTimeout(() => (button.textContent = label), 1500);
  }
}

/** What a handle is bound to, in words; the first digits are enough to tell certificates apart. */
function boundTo(bound) {
  const parts = [];
  if (bound?.origin) parts.push(bound.origin === location.origin ? "this page" : bound.origin);
  if (bound?.fingerprint) parts.push(`certificate ${String(bound.fingerprint).split(" ")[1].slice(0, 11)}\u2026`);
  return parts.join(", ") || "nothing";
}
