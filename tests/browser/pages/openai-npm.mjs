// The official SDK for JavaScript as a customer's backend and page use it. Only baseURL is ours.
//
// Arguments: mint origin, relay origin, file with the offer; the client key is in CLIENT_KEY. Prints one JSON line.
import { readFile } from "node:fs/promises";
import OpenAI from "openai";

const [mintOrigin, relayOrigin, offerFile] = process.argv.slice(2);
const backend = new OpenAI({ apiKey: process.env.CLIENT_KEY, baseURL: `${mintOrigin}/v1`, maxRetries: 0 });

const secret = await backend.realtime.clientSecrets.create({
  expires_after: { anchor: "created_at", seconds: 120 },
  session: { type: "realtime", model: "gpt-realtime-2.1" },
});
const page = new OpenAI({ apiKey: secret.value, baseURL: `${relayOrigin}/v1`, maxRetries: 0 });
const answer = await page.realtime.calls.create({ sdp: await readFile(offerFile, "utf8") });
const callId = answer.headers.get("location").split("/").pop();
const sdp = await answer.text();

const elsewhere = new OpenAI({ apiKey: process.env.CLIENT_KEY, baseURL: `${mintOrigin}/v1`, maxRetries: 0 });
await elsewhere.realtime.calls.hangup(callId);
await elsewhere.realtime.calls.hangup(callId);

let refused = null;
try {
  await backend.realtime.clientSecrets.create({ expires_after: { anchor: "created_at", seconds: 5 } });
} catch (error) {
  refused = { status: error.status, code: error.code, param: error.param, name: error.constructor.name };
}
console.log(JSON.stringify({ value: secret.value, model: secret.session.model, status: answer.status, callId, sdp, refused }));
