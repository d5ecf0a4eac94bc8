// The client of LiteLLM's guide, step for step; only the base URL is another one.

window.startCall = async (baseUrl, apiKey) => {
  const tokenResponse = await fetch(`${baseUrl}/v1/realtime/client_secrets`, {
    method: "POST",
    headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" },
    body: JSON.stringify({ model: "gpt-realtime-2.1" }),
  });
  const token = (await tokenResponse.json()).client_secret.value;

  const pc = new RTCPeerConnection();
  const events = pc.createDataChannel("oai-events");
  const kinds = (window.kinds = []);
  events.onmessage = ({ data }) => kinds.push(JSON.parse(data).type);
  pc.ontrack = ({ streams }) => (document.querySelector("#audio").srcObject = streams[0]);
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  pc.addTrack(microphone.getTracks()[0], microphone);

  const offer = await pc.createOffer();
  await pc.setLocalDescription(offer);
  const sdpResponse = await fetch(`${baseUrl}/v1/realtime/calls`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/sdp" },
    body: offer.sdp,
  });
  await pc.setRemoteDescription({ type: "answer", sdp: await sdpResponse.text() });

  events.onopen = () => events.send(JSON.stringify({ type: "response.create" }));
  window.pc = pc;
  return { status: sdpResponse.status, location: sdpResponse.headers.get("Location") };
};
