/**
 * Signs in at the team's identity provider: OpenID Connect's authorization code flow with PKCE (RFC 7636).
 *
 * The token stays in this page's memory: no storage, no cookie, no address. A reload signs out. Only what
 * connects the two halves of a sign-in (verifier and state, each good once) waits in sessionStorage.
 */

import { CallError } from "./cloakroom.js";
import { byId, legible } from "./dom.js";

const PENDING = "cloakroom.sign-in";
const DISCOVERY = "/.well-known/openid-configuration";

let provider = null;
let token = null;

/** The token to mint with; null where nobody is signed in. */
export function userToken() {
  return token;
}

/** Show the button, if the service takes sign-ins, and finish a sign-in that leads back to this page. */
export async function offerSignIn(config) {
  provider = config;
  byId("sign-in-row").hidden = !provider;
  if (!provider) return;
  byId("sign-in").addEventListener("click", () => (token ? signOut() : begin()));
  const back = new URLSearchParams(location.search);
  if (!back.has("state")) return;
  history.replaceState(null, "", location.pathname);
  await finish(back);
}

function signOut() {
  token = null;
  show("Not signed in.");
}

async function begin() {
  try {
    const { authorization_endpoint: endpoint } = await discovered();
    const verifier = random();
    const state = random();
    sessionStorage.setItem(PENDING, JSON.stringify({ verifier, state }));
    const target = new URL(endpoint);
    const fields = {
      response_type: "code",
      client_id: provider.client_id,
      redirect_uri: here(),
      scope: "openid",
      audience: provider.audience,
      state,
      code_challenge: base64url(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))),
      code_challenge_method: "S256",
    };
    for (const [name, value] of Object.entries(fields)) target.searchParams.set(name, value);
    location.assign(target);
  } catch {
    show("The identity provider does not respond.");
  }
}

async function finish(back) {
  const pending = JSON.parse(sessionStorage.getItem(PENDING) ?? "null");
  sessionStorage.removeItem(PENDING);
  const failed = (cause) => new CallError("sign_in_failed", "The sign-in did not come to an end.", { cause });
  if (!pending || pending.state !== back.get("state") || !back.has("code")) throw failed(back.get("error"));
  try {
    const { token_endpoint: endpoint } = await discovered();
    const body = new URLSearchParams({
      grant_type: "authorization_code",
      code: back.get("code"),
      client_id: provider.client_id,
      redirect_uri: here(),
      code_verifier: pending.verifier,
    });
    const response = await fetch(endpoint, { method: "POST", body });
    if (!response.ok) throw new Error(`the answer was ${response.status}`);
    const given = await response.json();
    // Which of the two is for this service depends on how the identity provider is set up.
    token = [given.access_token, given.id_token].find((one) => isForUs(claimsOf(one)));
    if (!token) throw new Error("no token is for this service");
  } catch (cause) {
    throw failed(cause);
  }
  show(`Signed in as ${legible(String(claimsOf(token).sub))}.`);
}

function show(text) {
  byId("sign-in-state").textContent = text;
  byId("sign-in").textContent = token ? "Sign out" : "Sign in";
  byId("key").disabled = Boolean(token);
}

async function discovered() {
  const response = await fetch(provider.issuer.replace(/\/$/, "") + DISCOVERY);
  if (!response.ok) throw new Error(`the answer was ${response.status}`);
  return response.json();
}

/** The page's own address, which the identity provider must know as a redirect URI. */
function here() {
  return location.origin + location.pathname;
}

function isForUs(claims) {
  return claims !== null && [claims.aud].flat().includes(provider.audience);
}

/** What a token says, for show; the service verifies it. */
function claimsOf(jwt) {
  try {
    const bytes = atob(jwt.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (one) => one.codePointAt(0))));
  } catch {
    return null;
  }
}

function random() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64url(buffer) {
  const text = btoa(String.fromCodePoint(...new Uint8Array(buffer)));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
