// A pull worker for Rota in Node.js, without dependencies: it asks for runs, so nothing needs to reach it from outside.
//
//   node examples/workers/worker.mjs             # ROTA_URL (http://127.0.0.1:8000), ROTA_API_KEY, QUEUE (default)
//
//   curl -X PUT http://localhost:8000/v1/tasks/words -H 'Content-Type: application/json' -d '{
//     "handler": "count-words", "input": {"text": "to be or not to be"},
//     "schedule": {"type": "interval", "every": "10s"}}'

import { setTimeout as sleep } from "node:timers/promises";

const rota = process.env.ROTA_URL ?? "http://127.0.0.1:8000";
const queue = process.env.QUEUE ?? "default";
const key = process.env.ROTA_API_KEY;
const LEASE = Number(process.env.LEASE ?? 30); // seconds that this worker may be silent

const handler = {
  name: "count-words",
  description: "Counts the words of a text, and in the kv those of all texts so far.",
  input_schema: { type: "object", required: ["text"], properties: { text: { type: "string" } } },
};

// The work. `signal` is aborted when the run is cancelled, or belongs to nobody any more.
async function work({ run, kv }, signal) {
  const words = run.input.text.split(/\s+/).filter(Boolean);
  await sleep(Number(process.env.WORK_MS ?? 50), undefined, { signal });
  return {
    result: { words: words.length, before: kv.total ?? 0 },
    kv: [{ op: "increment", key: "total", by: words.length }], // commits with the success, or not at all
  };
}

async function call(method, path, body, headers = {}) {
  const authorization = key && !headers["x-rota-token"] ? { authorization: `Bearer ${key}` } : {};
  const response = await fetch(rota + path, {
    method,
    headers: { "content-type": "application/json", ...authorization, ...headers },
    body: JSON.stringify(body),
  });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({ detail: response.statusText }));
  throw Object.assign(new Error(`${response.status}: ${problem.detail}`), { status: response.status });
}

async function execute(item) {
  const path = `/v1/runs/${item.run.id}`;
  const token = { "x-rota-token": item.token }; // all that the calls about this attempt need
  const stop = new AbortController();
  const beat = setInterval(async () => {
    try {
      const { cancel_requested } = await call("POST", `${path}/heartbeat`, {}, token);
      if (cancel_requested) stop.abort();
    } catch (error) {
      if (error.status === 404 || error.status === 409) stop.abort(); // another worker has it, or nobody
    }
  }, (LEASE * 1000) / 3);
  let outcome;
  try {
    outcome = await work(item, stop.signal);
  } catch (error) {
    outcome = { retry: { reason: String(error.message).slice(0, 500) } };
  } finally {
    clearInterval(beat);
  }
  await call("POST", `${path}/complete`, outcome, token);
  console.log(JSON.stringify({ run: item.run.id, attempt: item.run.attempt, ...outcome }));
}

let stopping = false;
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => (stopping = true));
await call("PUT", `/v1/handlers/${handler.name}`, handler);
while (!stopping) {
  try {
    const request = { handlers: [handler.name], max: 5, wait: Number(process.env.WAIT ?? 20), lease: LEASE };
    const { items } = await call("POST", `/v1/queues/${queue}/lease`, request);
    const ended = await Promise.allSettled(items.map(execute));
    for (const each of ended) if (each.status === "rejected") console.error(each.reason.message);
  } catch (error) {
    console.error(error.message); // Rota is away, or has no room for another wait: a little later, then
    await sleep(1000);
  }
}
