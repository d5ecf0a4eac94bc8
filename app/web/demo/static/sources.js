/** The caller's audio: the microphone, or a substitute for machines without one. */

import { CallError } from "./cloakroom.js";

const TONE_HZ = 320;
const TONE_LEVEL = 0.25;
// Long enough to count as speech, and far enough apart that the assistant can finish its answer.
const TONE_SECONDS = 1.2;
const TONE_EVERY_SECONDS = 9;
const TONE_FIRST_SECONDS = 7;

/** Returns `{ stream, stop }`. `context` is a running AudioContext. */
export async function openSource(kind, context) {
  if (kind === "microphone") return microphone();
  const destination = context.createMediaStreamDestination();
  const stopSound = kind === "tone" ? beeps(context, destination) : () => {};
  const stop = () => {
    stopSound();
    stopTracks(destination.stream);
  };
  return { stream: destination.stream, stop };
}

async function microphone() {
  if (!navigator.mediaDevices) {
    throw new CallError("insecure_page", `Browsers do not allow a microphone at ${location.origin}.`);
  }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    return { stream, stop: () => stopTracks(stream) };
  } catch (cause) {
    const code = { NotAllowedError: "microphone_denied", NotFoundError: "microphone_missing" }[cause.name];
    throw new CallError(code ?? "microphone_busy", `The browser says: ${cause.message || cause.name}.`, {
      cause,
    });
  }
}

function beeps(context, destination) {
  const gain = new GainNode(context, { gain: 0 });
  const tone = new OscillatorNode(context, { frequency: TONE_HZ });
  tone.connect(gain).connect(destination);
  tone.start();
  const beep = () => {
    const now = context.currentTime;
    // Ramps, because a hard edge sounds like a click.
    gain.gain.setValueAtTime(0, now);
    gain.gain.linearRampToValueAtTime(TONE_LEVEL, now + 0.05);
    gain.gain.setValueAtTime(TONE_LEVEL, now + TONE_SECONDS);
    gain.gain.linearRampToValueAtTime(0, now + TONE_SECONDS + 0.05);
  };
  let repeat = 0;
  const first = setTimeout(() => {
    beep();
    repeat = setInterval(beep, TONE_EVERY_SECONDS * 1000);
  }, TONE_FIRST_SECONDS * 1000);
  return () => {
    clearTimeout(first);
    clearInterval(repeat);
    tone.stop();
  };
}

function stopTracks(stream) {
  for (const track of stream.getTracks()) track.stop();
}
