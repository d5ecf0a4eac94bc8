/** Helpers for working with the document. */

/** The element with this id. Throws if the page has none. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** A new element: `el("li", { class: "row" }, "text", child)`. Text is only ever text, never markup. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Milliseconds as text. */
export function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

// Controls, marks of direction, and what shows nothing: the same characters as in app/telemetry/redaction.py.
const HIDDEN = new RegExp(
  "[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f" +
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb" +
    "\u{13430}-\u{1343f}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]",
  "gu",
);

/** Text of a provider's with `\u202e` in place of a character that does not show; line breaks stay. */
export function legible(text) {
  const escaped = (character) =>
    [...Array(character.length).keys()]
      .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`)
      .join("");
  return text.replaceAll(HIDDEN, (character) => (character === "\n" ? character : escaped(character)));
}
