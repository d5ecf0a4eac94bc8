/** The one place where a failure is shown: what happened, its code, what to do, and the ways back. */

import { byId, el } from "./dom.js";
import { explain } from "./errors.js";

const LABELS = {
  again: "Try again",
  fresh: "Call with a fresh handle",
  tone: "Go on with a test tone",
  key: "Change the client key",
  model: "Change the model",
  relay: "Choose another replica",
};

export class Notice {
  #panel = byId("notice");
  #words = byId("notice-words");
  #ways = byId("notice-ways");
  #onWay;

  /** `onWay(name)` is called when a way back is chosen. */
  constructor(onWay) {
    this.#onWay = onWay;
    this.clear();
  }

  /** Nothing is wrong. */
  clear() {
    this.#panel.hidden = true;
    this.#words.replaceChildren();
    this.#ways.replaceChildren();
  }

  /** Show an error that ended, or kept off, a call; returns its title. */
  show(error) {
    const { title, message, code, advice, ways, facts } = explain(error);
    this.#fill("error", title, message, code, advice, facts);
    const buttons = ways.map((way, index) => {
      const button = el("button", { type: "button", class: index ? "" : "strong" }, LABELS[way]);
      button.addEventListener("click", () => this.#onWay(way));
      return button;
    });
    this.#ways.replaceChildren(...buttons);
    // On a small screen it would else be below the fold.
    this.#panel.scrollIntoView({ block: "nearest" });
    return title;
  }

  /** Show an error of the conversation: the call goes on. */
  mention({ message, code }) {
    const advice = "The call goes on. The event log has the whole of it.";
    this.#fill("warning", "The provider refused an event", message ?? "", code ?? "error", advice, []);
    const button = el("button", { type: "button" }, "Dismiss");
    button.addEventListener("click", () => this.clear());
    this.#ways.replaceChildren(button);
  }

  #fill(kind, title, message, code, advice, facts) {
    this.#panel.dataset.kind = kind;
    this.#panel.hidden = false;
    // A message that only says the title again is not worth reading twice.
    const more = message.replace(/\.$/, "") === title ? [] : [el("p", { class: "notice-message" }, message)];
    this.#words.replaceChildren(
      el("h2", {}, title),
      ...more,
      el("p", { class: "notice-advice" }, advice),
      el("p", { class: "notice-facts" }, el("code", {}, code), ...facts.map((fact) => el("span", {}, fact))),
    );
  }
}
