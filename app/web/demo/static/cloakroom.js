/**
 * A realtime voice call through Cloakroom. Copy this file and cloakroom_outcome.js into your own app. No dependencies.
 *
 * Your backend mints. It posts {"model": "...", "bind": bind} with its client key to /v1/realtime/client_secrets and
 * gives the page `value` (the handle) and `calls_url`. The client key never comes near a browser.
 *
 *   const { certificate, bind } = await ownCertificate();
 *   const asked = { method: "POST", body: JSON.stringify({ bind }) };
 *   const { value, calls_url } = await (await fetch("/your/backend", asked)).json();
 *   const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
 *   const call = await connect({ callsUrl: calls_url, handle: value, certificate, stream, onEvent: console.log });
 *   call.send({ type: "response.create" });
 *   call.close();
 *
 * Without `bind` and `certificate` it works too, and then a stolen handle works for its thief.
 *
 * Once a call has connected, or has failed to, its outcome is reported to the service with the handle, without any
 * address or free text, so that its operator can tell "it is the browser's network". `report: false` turns it off.
 */

import { sendReport, watchOutcome } from "./cloakroom_outcome.js";

const PATH = /\/realtime(\/translations)?(\/calls)?\/?(\?.*)?$/;

/** What to do about a failure; `CallError.action` is one of these names. */
export const ADVICE = {
  mint: "Ask your backend for a new handle and call again.",
  retry: "Wait a moment and try again.",
  call: "Call again with a new handle. Do not send the same offer again: it may have started a call.",
  fix: "Trying again will not help until something is changed.",
};

const CODES = {
  mint: ["invalid_handle", "handle_expired", "handle_revoked", "handle_spent", "wrong_certificate"],
  retry: ["rate_limited", "too_many_handles", "too_many_calls", "store_unavailable", "store_not_replicated",
    "overloaded", "draining", "network_error", "upstream_unreachable", "upstream_unavailable"],
  call: ["upstream_timeout", "outcome_unknown", "timeout", "answer_unusable", "connection_failed",
    "connection_lost", "call_ended"],
  fix: ["call_seconds_spent"],
};

/**
 * Why a call failed or ended. Switch on `code`, which is stable; the message is for people.
 *
 * `status`, `requestId` and `retryAfter` (seconds) come from the answer and are null without one. With the code
 * connection_failed, `outcome` is ice_timeout (no network path) or dtls_timeout (a path, and no connection over it).
 */
export class CallError extends Error {
  constructor(code, message, { status = null, type = null, requestId = null, retryAfter = null, cause } = {}) {
    super(message, { cause });
    this.name = "CallError";
    Object.assign(this, { code, status, type, requestId, retryAfter });
    // The table has no provider codes; the status says whether waiting can help.
    const known = Object.keys(CODES).find((action) => CODES[action].includes(code));
    this.action = known ?? (status === 429 || status >= 500 ? "retry" : "fix");
    this.advice = ADVICE[this.action];
  }
}

/** Turn an answer that is not 2xx into a CallError; Cloakroom and OpenAI share the body's form. */
export async function errorOf(response) {
  const body = await response.json().catch(() => null);
  const { code, message, type } = body?.error ?? {};
  const { status } = response;
  return new CallError(code ?? `http_${status}`, message ?? `The service answered with status ${status}.`, {
    status, type,
    requestId: response.headers.get("x-request-id"),
    retryAfter: Number(response.headers.get("retry-after")) || null,
  });
}

/** fetch, which throws a CallError in place of its vague TypeError. */
export async function request(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error.name === "TimeoutError") throw new CallError("timeout", "The service did not answer in time.");
    const message = "The service could not be reached, or it does not allow pages from this origin.";
    throw new CallError("network_error", message, { cause: error });
  }
}

/**
 * Make a certificate for this page's calls: `{ certificate, bind }`. Mint with `bind`, and give `certificate` to
 * connect(): the handle then opens no call for anyone else. One certificate serves any number of handles and calls.
 */
export async function ownCertificate() {
  const certificate = await RTCPeerConnection.generateCertificate({ name: "ECDSA", namedCurve: "P-256" });
  // From an offer, since not every browser has certificate.getFingerprints(), and the offer is what must fit.
  const pc = new RTCPeerConnection({ certificates: [certificate] });
  pc.createDataChannel("");
  const { sdp } = await pc.createOffer();
  pc.close();
  const [, fingerprint] = /^a=fingerprint:(.*?)\r?$/m.exec(sdp);
  // A page of a file has no origin to bind to.
  return { certificate, bind: location.origin === "null" ? { fingerprint } : { origin: location.origin, fingerprint } };
}

/**
 * Make a call. Resolves to `{ id, send, close, pc, channel, sound }` once it is connected.
 * @param callsUrl  where offers go: `calls_url` of the mint's answer, or the same path at another replica
 * @param handle    `value` of the mint's answer
 * @param stream    a MediaStream with the caller's audio; stop its tracks yourself after the call
 * @param certificate  of ownCertificate(), whose `bind` the handle was minted with
 * @param onEvent   called with each event of the provider, parsed
 * @param onStep    called with ("ice" | "offer" | "relay" | "answer" | "connected" | "outcome", detail)
 * @param onEnd     called once when an established call ends: with null after close(), else with a CallError
 * @param audio     the <audio> element to play through; created if missing
 * @param signal    an AbortSignal that cancels the attempt
 * @param timeout   milliseconds for the answer, and then again for the connection
 * @param patience  milliseconds that an interrupted connection may take to recover
 * @param rtc       RTCConfiguration, for a TURN server of your own
 * @param iceServers  "cloakroom" to use the STUN and TURN servers that the service names, in place of those of `rtc`
 * @param report    whether to report the outcome to the service
 * @param channelName  the data channel that the provider expects: "voice-live-events" for Azure Voice Live
 * @param audioTimeout  milliseconds without any audio of the provider after which the outcome is no_audio
 * @throws CallError, or the signal's AbortError
 */
export async function connect({
  callsUrl, handle, certificate, stream, onEvent = () => {}, onStep = () => {}, onEnd = () => {}, audio = new Audio(),
  signal, timeout = 20_000, patience = 5_000, rtc = {}, iceServers, report = true, audioTimeout = 10_000, channelName,
}) {
  const within = () => AbortSignal.any([AbortSignal.timeout(timeout), ...(signal ? [signal] : [])]);
  const named = iceServers === "cloakroom" && (await serversOf(callsUrl, handle, within(), onStep));
  const certificates = certificate && { certificates: [certificate] };
  const pc = new RTCPeerConnection({ ...rtc, ...certificates, ...(named && { iceServers: named }) });
  // Created before the offer, which must contain it. The provider expects a certain name.
  const channel = pc.createDataChannel(channelName ?? "oai-events");
  let [speaks, witness] = [true, null];
  channel.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    const { session } = event;
    if (session) speaks = session.type !== "transcription" && session.output_modalities?.[0] !== "text";
    onEvent(event);
  };
  for (const track of stream.getAudioTracks()) pc.addTrack(track, stream);
  const sound = new MediaStream();
  pc.ontrack = ({ track }) => {
    sound.addTrack(track);
    audio.autoplay = true;
    audio.srcObject = sound;
  };
  const close = () => {
    witness?.over();
    channel.close();
    pc.close();
    audio.srcObject = null;
  };
  try {
    // No need to wait for ICE candidates: those in the provider's answer are enough.
    await pc.setLocalDescription(await pc.createOffer());
    onStep("offer", { sdp: pc.localDescription.sdp });
    const response = await request(callsUrl, {
      method: "POST",
      headers: { Authorization: `Bearer ${handle}`, "Content-Type": "application/sdp" },
      body: pc.localDescription.sdp,
      signal: within(),
    });
    onStep("relay", { response });
    if (!response.ok) throw await errorOf(response);
    const sdp = await response.text();
    // The service exposes this header to other origins; its last part is the call id.
    const id = response.headers.get("Location")?.split("/").pop() ?? null;
    await pc.setRemoteDescription({ type: "answer", sdp }).catch((cause) => {
      throw new CallError("answer_unusable", "The browser could not read the provider's answer.", { cause });
    });
    onStep("answer", { id });
    const awaitsAudio = () => speaks && pc.getTransceivers().some((one) => /recv/.test(one.currentDirection));
    witness = watchOutcome(pc, stream, audioTimeout, awaitsAudio, (found) => {
      // A page may send its offers through a backend, which has no such path.
      const url = PATH.test(callsUrl) && String(callsUrl).replace(PATH, `/realtime/calls/${id}/report`);
      if (report && id && url) sendReport(url, handle, found);
      onStep("outcome", found);
    });
    await established(pc, channel, signal, timeout);
    witness.connected();
    onStep("connected", {});
    return watched({ id, pc, channel, sound, close }, onEnd, patience);
  } catch (error) {
    if (error?.code === "connection_failed") error.outcome = await witness.failed();
    close();
    throw error;
  }
}

/** The service's ICE servers; null where it has none to give now, since a call may well connect without them. */
async function serversOf(callsUrl, handle, signal, onStep) {
  const url = String(callsUrl).replace(PATH, "/realtime/ice-servers");
  const response = await request(url, { headers: { Authorization: `Bearer ${handle}` }, signal });
  const error = response.ok ? null : await errorOf(response);
  if (error && response.status < 500) throw error;
  const servers = error ? null : (await response.json()).ice_servers;
  onStep("ice", { servers, error });
  return servers;
}

/** Wait until the connection and the channel are open. */
function established(pc, channel, signal, timeout) {
  return new Promise((resolve, reject) => {
    const fail = (why) =>
      settle(reject, new CallError("connection_failed", `The audio connection to the provider ${why}.`));
    const timer = setTimeout(() => fail("was not established in time"), timeout);
    const abort = () => settle(reject, signal.reason);
    const check = () => {
      if (pc.connectionState === "failed") fail("failed");
      else if (channel.readyState === "closed") fail("was closed immediately");
      else if (pc.connectionState === "connected" && channel.readyState === "open") settle(resolve);
    };
    const settle = (how, value) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      pc.onconnectionstatechange = channel.onopen = channel.onclose = null;
      how(value);
    };
    pc.onconnectionstatechange = channel.onopen = channel.onclose = check;
    signal?.addEventListener("abort", abort);
    signal?.aborted ? abort() : check();
  });
}

/** Watch an established call for its end. */
function watched({ id, pc, channel, sound, close }, onEnd, patience) {
  let [over, waiting] = [false, 0];
  const end = (error) => {
    if (over) return;
    over = true;
    clearTimeout(waiting);
    close();
    onEnd(error);
  };
  channel.onclose = () => end(new CallError("call_ended", "The provider ended the call."));
  const lost = () => end(new CallError("connection_lost", "The connection to the provider was lost."));
  pc.onconnectionstatechange = () => {
    clearTimeout(waiting);
    if (pc.connectionState === "failed") lost();
    // Browsers wait about ten seconds longer than most people do.
    else if (pc.connectionState === "disconnected") waiting = setTimeout(lost, patience);
  };
  return {
    id, pc, channel, sound, close: () => end(null),
    send(event) {
      if (channel.readyState !== "open") throw new CallError("call_ended", "The call is over: nothing can be sent.");
      channel.send(JSON.stringify(event));
    },
  };
}
