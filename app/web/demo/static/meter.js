/** A level meter: the last seconds of one direction's level, as bars. */

import { byId } from "./dom.js";

const TICK_MS = 50;
const CALM_TICK_MS = 250;
const FLOOR_DB = -60;
// Louder than a quiet room (about -54 dBFS), so speech.
const AUDIBLE_DB = -45;
const BAR = 3;
const GAP = 2;

const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Meter {
  #canvas;
  #frame;
  #history = [];
  #timer = 0;
  #node = null;
  #analyser = null;
  #samples = null;
  #onAudible = null;

  /** `id` names the element with role="meter"; its canvas is inside. */
  constructor(id) {
    this.#frame = byId(id);
    this.#canvas = this.#frame.querySelector("canvas");
    for (const list of [calm, matchMedia("(prefers-color-scheme: dark)")]) {
      list.addEventListener("change", () => this.#draw());
    }
    new ResizeObserver(() => this.#draw()).observe(this.#canvas);
  }

  /** Measure this stream; `onAudible` is called once, when it is first audible. */
  attach(stream, context, onAudible = null) {
    this.detach();
    this.#onAudible = onAudible;
    this.#node = context.createMediaStreamSource(stream);
    this.#analyser = new AnalyserNode(context, { fftSize: 1024 });
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#node.connect(this.#analyser);
    this.#timer = setInterval(() => this.#measure(), calm.matches ? CALM_TICK_MS : TICK_MS);
  }

  /** Stop measuring and fall to silence. */
  detach() {
    clearInterval(this.#timer);
    this.#node?.disconnect();
    this.#node = this.#analyser = this.#onAudible = null;
    this.#history = [];
    this.#show(0);
    this.#draw();
  }

  #measure() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    const level = 10 * Math.log10(sum / this.#samples.length || 1e-12);
    const height = Math.min(1, Math.max(0, 1 - level / FLOOR_DB));
    this.#history.push(height);
    this.#show(Math.round(height * 100));
    this.#draw();
    if (level > AUDIBLE_DB && this.#onAudible) {
      const tell = this.#onAudible;
      this.#onAudible = null;
      tell();
    }
  }

  #show(percent) {
    this.#frame.setAttribute("aria-valuenow", percent);
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = devicePixelRatio || 1;
    this.#canvas.width = width * scale;
    this.#canvas.height = height * scale;
    const pen = this.#canvas.getContext("2d");
    pen.scale(scale, scale);
    const colours = getComputedStyle(this.#frame);
    const count = Math.ceil(width / (BAR + GAP));
    if (this.#history.length > count) this.#history.splice(0, this.#history.length - count);
    const levels = calm.matches ? Array(count).fill(this.#history.at(-1) ?? 0) : this.#history;
    const start = count - levels.length;
    for (let index = 0; index < count; index++) {
      const level = index < start ? 0 : levels[index - start];
      const tall = Math.max(2, level * height);
      pen.fillStyle = colours.getPropertyValue(level > 0.01 ? "--meter" : "--meter-idle");
      pen.beginPath();
      pen.roundRect(width - (count - index) * (BAR + GAP), (height - tall) / 2, BAR, tall, BAR / 2);
      pen.fill();
    }
  }
}
