// The stock SDK from npm, as its own documentation uses it in a browser. Only baseUrl is ours.
import {
  OpenAIRealtimeWebRTC,
  RealtimeAgent,
  RealtimeSession,
} from "/node_modules/@openai/agents-realtime/dist/bundle/openai-realtime-agents.mjs";

window.startSession = async (callsUrl, apiKey) => {
  const transport = new OpenAIRealtimeWebRTC({
    baseUrl: callsUrl,
    audioElement: document.querySelector("#audio"),
  });
  const agent = new RealtimeAgent({ name: "Greeter", instructions: "Answer in one short sentence." });
  const session = new RealtimeSession(agent, { transport, model: "gpt-realtime-2.1" });
  window.events = [];
  window.said = [];
  session.on("transport_event", (event) => window.events.push(event));
  session.on("history_updated", (history) => (window.said = history));
  window.session = session;
  await session.connect({ apiKey });
  return { status: transport.status, callId: transport.callId };
};
