/** The page: its parts, its call button, and its state. */

import { CallError } from "./cloakroom.js";
import { byId } from "./dom.js";
import { EventLog } from "./events.js";
import { Meter } from "./meter.js";
import { Notice } from "./notice.js";
import { Run } from "./run.js";
import { chosen, loadConfig, takeKey } from "./settings.js";
import { offerSignIn } from "./sign_in.js";
import { Talk } from "./talk.js";
import { Ticket } from "./ticket.js";
import { Timeline } from "./timeline.js";

const BUTTON = { idle: "Start call", starting: "Cancel", live: "End call" };
const FIELDS = { key: "key", model: "model", relay: "relay-on" };

const button = byId("call");
const mute = byId("mute");
const notice = new Notice(takeWay);
const timeline = new Timeline();
const ticket = new Ticket();
const events = new EventLog();
const talk = new Talk();
const mine = new Meter("mine");
const theirs = new Meter("theirs");

let context = null;
let run = null;
let began = 0;
let configured = false;

function status(text, tone = "quiet") {
  byId("status").textContent = text;
  byId("status").dataset.tone = tone;
  if (tone === "live" && document.body.dataset.phase !== "live") {
    began = performance.now();
    phase("live");
  }
}

function phase(name) {
  document.body.dataset.phase = name;
  byId("call-label").textContent = BUTTON[name];
  byId("choices").disabled = name !== "idle";
  mute.hidden = name !== "live";
}

function start() {
  notice.clear();
  if (!configured) {
    load();
    return;
  }
  timeline.reset();
  ticket.clear();
  events.clear();
  talk.clear();
  setMute(false);
  phase("starting");
  // The fields are disabled now, so the focus moves from a field to the button.
  button.focus();
  // Created by the press itself: browsers block audio that no user action started.
  context ??= new AudioContext();
  context.resume();
  run = new Run(
    { timeline, ticket, events, talk, notice, mine, theirs, context, audio: byId("audio"), status, ended },
    chosen(),
  );
  run.start();
}

function ended(error) {
  const lasted = document.body.dataset.phase === "live" ? (performance.now() - began) / 1000 : 0;
  run = null;
  phase("idle");
  // An unexpected error: the notice names it, the console has its details.
  if (error && !(error instanceof CallError)) console.error(error);
  if (error) {
    status(`${notice.show(error)}.`, "warn");
  } else {
    status(lasted ? `Call ended after ${lasted.toFixed(0)} s.` : "Call cancelled.");
  }
}

function takeWay(way) {
  if (way in FIELDS) {
    byId(FIELDS[way]).focus();
    return;
  }
  if (way === "fresh") byId("handle").value = "";
  if (way === "tone") byId("source").value = "tone";
  start();
}

function setMute(on) {
  mute.setAttribute("aria-pressed", on);
  mute.textContent = on ? "Unmute" : "Mute";
  run?.mute(on);
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (run) run.stop();
  else start();
});
mute.addEventListener("click", () => setMute(mute.getAttribute("aria-pressed") !== "true"));
addEventListener("pagehide", () => run?.stop());
// The page may be open already when an address with another key is entered.
addEventListener("hashchange", takeKey);

async function load() {
  status("Loading\u2026");
  try {
    const config = await loadConfig();
    configured = true;
    await offerSignIn(config.sign_in);
    status("Ready. Start a call and allow the microphone.");
  } catch (error) {
    status(`${notice.show(error)}.`, "warn");
  }
}

takeKey();
phase("idle");
load();
