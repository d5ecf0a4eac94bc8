/** The audio's network path, from the browser's statistics. It shows that audio does not pass through us. */

const EVERY_MS = 1000;

/** Calls `tell(text)` with the remote address and the traffic, until the returned function is called. */
export function watchPath(pc, tell) {
  const look = async () => {
    if (pc.connectionState === "closed") return;
    const stats = [...(await pc.getStats()).values()];
    const transport = stats.find((entry) => entry.type === "transport" && entry.selectedCandidatePairId);
    const pair = stats.find((entry) => entry.id === transport?.selectedCandidatePairId);
    const remote = stats.find((entry) => entry.id === pair?.remoteCandidateId);
    if (!remote) return;
    const local = stats.find((entry) => entry.id === pair.localCandidateId);
    const way = local?.candidateType === "relay" ? "through a TURN server" : "direct";
    const sent = kilobytes(transport.bytesSent);
    const received = kilobytes(transport.bytesReceived);
    const host = remote.address?.includes(":") ? `[${remote.address}]` : remote.address;
    const address = host ? `${host}:${remote.port}` : "an address hidden by the browser";
    tell(`${way} to ${address} (${remote.protocol.toUpperCase()}), ${sent} sent, ${received} received`);
  };
  const timer = setInterval(look, EVERY_MS);
  look();
  return () => clearInterval(timer);
}

function kilobytes(bytes) {
  return `${((bytes ?? 0) / 1000).toFixed(0)} kB`;
}
