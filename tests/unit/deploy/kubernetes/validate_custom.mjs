// Checks custom resources against the types of their projects: a JSON list of objects comes in, a list of problems goes out.
//
// The packages' validators let unknown fields pass. A field that a validator knows is one that it reads, so the parts of each
// object are wrapped, and a field that nobody read is a problem.
import {readFileSync} from "node:fs";

const PACKAGES = {
  "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
};

// Of a class, since the packages copy plain objects, and a copy reads everything.
class Part {}

function watched(value, path, unread) {
  if (value === null || typeof value !== "object") return value;
  const copy = Array.isArray(value) ? [] : new Part();
  for (const key of Object.keys(value)) {
    const inner = `${path}.${key}`;
    if (!Array.isArray(value)) unread.add(inner);
    copy[key] = watched(value[key], inner, unread);
  }
  return new Proxy(copy, {
    get(target, key) {
      unread.delete(`${path}.${String(key)}`);
      return target[key];
    },
  });
}

async function problemsOf({apiVersion, kind, ...parts}) {
  const module = await import(`${PACKAGES[apiVersion.split("/")[0]]}/${apiVersion}/${kind}`);
  const unread = new Set();
  const data = {};
  for (const [name, part] of Object.entries(parts)) data[name] = watched(part, name, unread);
  const found = [];
  try {
    new module[kind](data).validate();
  } catch (error) {
    found.push(error.message);
  }
  // The class itself reads everything at the top.
  const strangers = Object.keys(parts).filter((name) => !["metadata", "spec"].includes(name));
  for (const path of [...strangers, ...unread]) found.push(`there is no field ${path}`);
  return found.map((text) => `${kind} ${parts.metadata?.name}: ${text}`);
}

const problems = [];
for (const object of JSON.parse(readFileSync(0, "utf8"))) problems.push(...(await problemsOf(object)));
process.stdout.write(JSON.stringify(problems));
