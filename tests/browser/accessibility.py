"""Checks that run inside a page: controls without a name, and text too faint to read.

What WCAG 2.2 asks at level AA for names (4.1.2) and contrast (1.4.3), for what this project's page uses.
"""

from __future__ import annotations

from typing import Final

# Returns a description of each control that a screen reader could only call "button" or "edit".
UNNAMED_CONTROLS: Final = """() => {
  const named = (element) =>
    element.getAttribute("aria-label") ||
    document.getElementById(element.getAttribute("aria-labelledby") ?? "")?.textContent.trim() ||
    [...(element.labels ?? [])].some((label) => label.textContent.trim()) ||
    (["BUTTON", "A", "SUMMARY"].includes(element.tagName) && element.textContent.trim()) ||
    element.getAttribute("alt") !== null && element.tagName === "IMG";
  const controls = "input, select, button, textarea, a[href], summary, img, [role], section, form";
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  const twice = ids.filter((id, index) => ids.indexOf(id) !== index).map((id) => `#${id} stands twice`);
  const quiet = ["status", "alert"];
  return [...document.querySelectorAll(controls)]
    .filter((element) => !quiet.includes(element.getAttribute("role")) && !named(element))
    .map((element) => element.outerHTML.slice(0, 80))
    .concat(twice);
}"""

# Returns each visible text whose contrast with what is behind it is below 4.5 to 1 (3 to 1 when large).
FAINT_TEXT: Final = """() => {
  // The browser itself turns any colour notation into bytes.
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const bytes = (colour, under) => {
    pen.fillStyle = under ?? "white";
    pen.fillRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const css = (rgb) => `rgb(${rgb.join(" ")})`;
  const behind = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      layers.push(getComputedStyle(each).backgroundColor);
    }
    return layers.reverse().reduce((under, layer) => css(bytes(layer, under)), "Canvas");
  };
  const light = (rgb) => rgb
    .map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    // What is disabled is exempt, and so is what cannot be seen at all.
    const skipped = "script, option, noscript, :disabled *, :disabled, .visually-hidden, .skip";
    if (!text || element.closest(skipped) || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const under = behind(element);
    const [a, b] = [light(bytes(style.color, under)), light(bytes(under))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (contrast < (large ? 3 : 4.5)) found.push(`${contrast.toFixed(2)} ${text.slice(0, 40)}`);
  }
  return found;
}"""
