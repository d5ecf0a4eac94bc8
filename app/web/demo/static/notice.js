/** Shows a failure: what happened, its code, what to do, and buttons that help. */

import { byId, el, legible } from "./dom.js";
import { explain } from "./errors.js";

const LABELS = {
  again: "Try again",
  fresh: "Call with a new handle",
  tone: "Use a test tone",
  key: "Change the client key",
  model: "Choose another model",
  relay: "Choose another replica",
};

export class Notice {
  #panel = byId("notice");
  #words = byId("notice-words");
  #ways = byId("notice-ways");
  #onWay;

  /** `onWay(name)` is called when one of the buttons is pressed. */
  constructor(onWay) {
    this.#onWay = onWay;
    this.clear();
  }

  /** Hide the notice. */
  clear() {
    this.#panel.hidden = true;
    this.#words.replaceChildren();
    this.#ways.replaceChildren();
  }

  /** Show an error that ended or prevented a call; returns its title. */
  show(error) {
    const { title, message, code, advice, ways, facts } = explain(error);
    this.#fill("error", title, legible(message), code, advice, facts);
    const buttons = ways.map((way, index) => {
      const button = el("button", { type: "button", class: index ? "" : "strong" }, LABELS[way]);
      button.addEventListener("click", () => this.#onWay(way));
      return button;
    });
    this.#ways.replaceChildren(...buttons);
    // On a small screen it may be below the fold.
    this.#panel.scrollIntoView({ block: "nearest" });
    return title;
  }

  /** Show an error of the conversation; the call continues. */
  mention({ message, code }) {
    const advice = "The call continues. See the event log for details.";
    const [said, kind] = [message ?? "", code ?? "error"].map((text) => legible(String(text)));
    this.#fill("warning", "The provider refused an event", said, kind, advice, []);
    this.#dismissable();
  }

  /** Show what is wrong with a call that continues; `outcome` is in the table of errors. */
  warn(outcome) {
    const { title, advice } = explain({ code: outcome, message: "" });
    this.#fill("warning", title, "The call continues.", outcome, advice, []);
    this.#dismissable();
  }

  #dismissable() {
    const button = el("button", { type: "button" }, "Dismiss");
    button.addEventListener("click", () => this.clear());
    this.#ways.replaceChildren(button);
  }

  #fill(kind, title, message, code, advice, facts) {
    this.#panel.dataset.kind = kind;
    this.#panel.hidden = false;
    // Leave out a message that only repeats the title.
    const more = message.replace(/\.$/, "") === title ? [] : [el("p", { class: "notice-message" }, message)];
    this.#words.replaceChildren(
      el("h2", {}, title),
      ...more,
      el("p", { class: "notice-advice" }, advice),
      el("p", { class: "notice-facts" }, el("code", {}, code), ...facts.map((fact) => el("span", {}, fact))),
    );
  }
}
