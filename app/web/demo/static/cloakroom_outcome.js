/**
 * What becomes of a call after its answer, for cloakroom.js, which reports it to the service: connected, or how it
 * failed. A report has states and numbers, no address and no free text.
 */

/** Find out what becomes of a call after its answer, and `tell` it once, as the body of a report. */
export function watchOutcome(pc, stream, audioTimeout, awaitsAudio, tell) {
  const began = performance.now();
  const elapsed = () => Math.min(Math.round(performance.now() - began), 600_000);
  let [hasPath, connectedAfter, told, timer] = [false, null, false, 0];
  let seen = { facts: {}, heard: false };
  const say = (outcome, after_ms) => {
    clearInterval(timer);
    if (!told) tell({ outcome, after_ms, ...seen.facts });
    told = true;
  };
  // Statistics that are missing or late must not hold up the call.
  const looked = () => statsOf(pc, stream).then((found) => (seen = found), () => {});
  const look = () => Promise.race([looked(), new Promise((resolve) => setTimeout(resolve, 500))]);
  const listen = async () => {
    await look();
    if (seen.heard || !awaitsAudio()) say("connected", connectedAfter);
    else if (elapsed() - connectedAfter >= audioTimeout) say("no_audio", elapsed());
  };
  pc.addEventListener("iceconnectionstatechange", () => {
    hasPath ||= ["connected", "completed"].includes(pc.iceConnectionState);
  });
  return {
    connected() {
      connectedAfter = elapsed();
      timer = setInterval(listen, 250);
    },
    /** Returns the outcome, or null where the connection stands and only the event channel does not. */
    async failed() {
      if (pc.connectionState === "connected") return null;
      await look();
      const begun = hasPath || /connecting|failed/.test(seen.facts.dtls_state);
      const outcome = begun ? "dtls_timeout" : "ice_timeout";
      say(outcome, elapsed());
      return outcome;
    },
    /** The call ends. If it was connected, it counts as that, even if there was no time to hear something. */
    over() {
      if (connectedAfter !== null) say("connected", connectedAfter);
    },
  };
}

/** What the browser's statistics say of a connection: `facts` for a report, and whether audio was `heard`. */
async function statsOf(pc, stream) {
  const stats = await pc.getStats();
  const all = [...stats.values()];
  const transport = all.find(({ type }) => type === "transport");
  const chosen = stats.get(stats.get(transport?.selectedCandidatePairId)?.localCandidateId);
  const candidates = { local: {}, remote: {} };
  for (const { type, candidateType: kind } of all) {
    const counts = candidates[type.replace("-candidate", "")];
    if (counts) counts[kind] = Math.min((counts[kind] ?? 0) + 1, 99);
  }
  const [track] = stream.getAudioTracks();
  const sounds = track?.enabled && !track.muted ? "live" : "muted";
  const facts = {
    ice_state: pc.iceConnectionState,
    dtls_state: transport?.dtlsState ?? pc.sctp?.transport?.state,
    protocol: chosen?.protocol,
    candidate_type: chosen?.candidateType,
    microphone: track ? (track.readyState === "ended" ? "ended" : sounds) : "none",
    candidates,
  };
  return { facts, heard: all.some((one) => one.type === "inbound-rtp" && one.packetsReceived > 0) };
}

/** Send it as the report of a call to `url`, even while the page goes away. Whether it arrives changes nothing here. */
export function sendReport(url, handle, found) {
  fetch(url, {
    method: "POST",
    headers: { Authorization: `Bearer ${handle}`, "Content-Type": "application/json" },
    body: JSON.stringify(found),
    keepalive: true,
  }).catch(() => {});
}
