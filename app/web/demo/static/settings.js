/** The page's settings: the service's config.json, the key in the address, and the form. */

import { CallError } from "./cloakroom.js";
import { byId, el } from "./dom.js";
import { userToken } from "./sign_in.js";

const OTHER = "\u0000other";

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
  select.replaceChildren(...models.map((name) => el("option", { value: name }, name)));
  if (anyModel) select.append(el("option", { value: OTHER }, "Other\u2026"));
  if (preferred) select.value = preferred;
  const other = byId("other-model-row");
  const show = () => (other.hidden = select.value !== OTHER);
  select.addEventListener("change", show);
  show();
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
    mintOn: replica("mint-on"),
    relayOn: replica("relay-on"),
    source: byId("source").value,
    seconds: Number(byId("seconds").value) || 600,
    maxCallSeconds: Number(byId("max-call-seconds").value) || undefined,
    handle: byId("handle").value.trim(),
    iceServers: !byId("ice-row").hidden && byId("ice").checked ? "cloakroom" : undefined,
    binds: byId("bind").checked,
    greet: byId("greet").checked,
  };
}
