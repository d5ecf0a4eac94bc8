/** The page's settings: the service's config.json, the key in the address, and the form. */

import { CallError } from "./cloakroom.js";
import { byId, el } from "./dom.js";
import { KINDS } from "./kinds.js";
import { userToken } from "./sign_in.js";

const OTHER = "\u0000other";

// How to call each model that the picker offers: `{ session, channel }` by its value.
const manners = new Map();

/**
 * Remove `#key=...` from the address bar, so that screenshots and shared links do not show it. A fragment is
 * never sent to a server; from here on only the form field holds the key.
 */
export function takeKey() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  if (key) byId("key").value = key;
}

/** Load config.json, fill the pickers, and return what it says. */
export async function loadConfig() {
  let config;
  try {
    const response = await fetch(new URL("config.json", import.meta.url));
    if (!response.ok) throw new Error(`the answer was ${response.status}`);
    config = await response.json();
  } catch (cause) {
    throw new CallError("config_unavailable", "The page's settings could not be loaded.", { cause });
  }
  byId("version").textContent = `version ${config.version}`;
  fillModels(config);
  byId("ice-row").hidden = !config.ice_servers;
  const last = config.replicas.length - 1;
  fillReplicas(byId("mint-on"), config.replicas, 0);
  // A different replica, if there is one, because the demo shows that any replica can relay.
  fillReplicas(byId("relay-on"), config.replicas, Math.min(1, last));
  return config;
}

function fillModels({ models, any_model: anyModel, default_model: preferred }) {
  const select = byId("model");
  manners.clear();
  for (const { name, ...how } of models) manners.set(name, how);
  if (anyModel) manners.set(OTHER, anyModel);
  const label = (value) => (value === OTHER ? "Other\u2026" : value);
  select.replaceChildren(...[...manners.keys()].map((value) => el("option", { value }, label(value))));
  if (preferred) select.value = preferred;
  select.onchange = () => showModel(select.value);
  showModel(select.value);
}

/** Show what goes with the chosen model. */
function showModel(value) {
  byId("other-model-row").hidden = value !== OTHER;
  const { kind, channel } = howTo(value);
  byId("model-hint").textContent = kind.hint ?? "";
  byId("model-hint").hidden = !kind.hint;
  byId("greet-row").hidden = !kind.takesText;
  byId("channel").textContent = channel ?? "";
}

/** `{ session, kind, channel }` of a model; a service without models leaves all of it as usual. */
function howTo(value) {
  const { session = "realtime", channel } = manners.get(value) ?? {};
  return { session, kind: KINDS[session], channel };
}

function fillReplicas(select, replicas, chosen) {
  select.replaceChildren(...replicas.map(({ name, url }) => el("option", { value: url }, name)));
  select.selectedIndex = chosen;
}

function replica(id) {
  const select = byId(id);
  // An empty URL is the replica that served the page, under whatever address that was.
  const base = select.value ? `${select.value}/` : new URL("./", location.href).href;
  return { name: select.selectedOptions[0]?.text ?? "this replica", base };
}

/** The form's current values. */
export function chosen() {
  const model = byId("model").value;
  return {
    key: userToken() ?? byId("key").value.trim(),
    model: model === OTHER ? byId("other-model").value.trim() : model,
    ...howTo(model),
    mintOn: replica("mint-on"),
    relayOn: replica("relay-on"),
    source: byId("source").value,
    seconds: Number(byId("seconds").value) || 600,
    maxCallSeconds: Number(byId("max-call-seconds").value) || undefined,
    handle: byId("handle").value.trim(),
    iceServers: !byId("ice-row").hidden && byId("ice").checked ? "cloakroom" : undefined,
    binds: byId("bind").checked,
    greet: howTo(model).kind.takesText && byId("greet").checked,
  };
}
