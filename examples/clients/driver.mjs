// Drives rota.mjs for the conformance suite: one request a line, one reply a line (docs/reference/conformance.md).
//
//   python -m tests.conformance --driver 'node examples/clients/driver.mjs' --database sqlite

import { createInterface } from "node:readline";
import { ProblemError, Rota, RunFailed, TimedOut, Unreachable, parse, stringify } from "./rota.mjs";

let rota = new Rota();
const attempts = new Map(); // leased, by their token
const remembered = new Map(); // tags of entries

const collected = async (items) => {
  const all = [];
  for await (const item of items) all.push(item);
  return all;
};

async function firstEvents({ count, ...options }) {
  const seen = [];
  for await (const event of rota.events(options)) {
    seen.push(event);
    if (seen.length === count) return seen;
  }
}

const OPERATIONS = {
  "client.open": (options) => void (rota = new Rota(options)),
  request: ({ method, path, query, body }) => rota.request(method, path, { query, body }),

  "tasks.create": ({ definition, on_conflict }) => rota.create(definition, { onConflict: on_conflict }),
  "tasks.declare": ({ name, definition }) => rota.declare(name, definition),
  "tasks.read": ({ name }) => rota.task(name).read(),
  "tasks.update": ({ name, changes }) => rota.task(name).update(changes),
  "tasks.delete": ({ name }) => rota.task(name).delete(),
  "tasks.pause": ({ name, reason }) => rota.task(name).pause(reason),
  "tasks.resume": ({ name }) => rota.task(name).resume(),
  "tasks.list": ({ filters, page }) => collected(rota.tasks({ ...filters, limit: page })),
  "tasks.run": async ({ name, ...rest }) => (await rota.task(name).run(rest.input)).document,

  "runs.read": ({ id }) => rota.run(id).read(),
  "runs.list": ({ filters, page }) => collected(rota.runs({ ...filters, limit: page })),
  "runs.cancel": ({ id }) => rota.run(id).cancel(),
  "runs.result": ({ id, timeout }) => rota.run(id).result({ timeout }),

  "kv.get": async ({ task, key }) => (await rota.task(task).kv.get(key)) ?? null,
  "kv.set": ({ task, key, value, ttl }) => rota.task(task).kv.set(key, value, { ttl }),
  "kv.delete": ({ task, key }) => rota.task(task).kv.delete(key),
  "kv.list": ({ task, prefix }) => collected(rota.task(task).kv.list({ prefix })),
  "kv.set_if_absent": ({ task, key, value }) => rota.task(task).kv.set(key, value, { ifAbsent: true }),
  "kv.transaction": ({ task, operations }) => rota.task(task).kv.transaction(operations),
  // What is between the two is done by the suite: another client, which writes first.
  "kv.remember": async ({ task, key }) => {
    const entry = await rota.task(task).kv.entry(key);
    remembered.set(`${task}/${key}`, entry.etag);
    return entry.value;
  },
  "kv.set_if_unchanged": ({ task, key, value }) =>
    rota.task(task).kv.set(key, value, { ifMatch: remembered.get(`${task}/${key}`) }),

  "events.read": firstEvents,

  "handlers.declare": ({ name, declaration }) => rota.declareHandler(name, declaration),
  "queues.lease": async ({ queue, handlers, ...options }) => {
    const leased = await rota.lease(queue, handlers, options);
    for (const attempt of leased) attempts.set(attempt.token, attempt);
    return leased.map(({ run, kv, token, lease_expires_at }) => ({ run, kv, token, lease_expires_at }));
  },
  "attempts.heartbeat": ({ token, progress, message }) => attempts.get(token).heartbeat({ progress, message }),
  "attempts.complete": ({ token, outcome }) => attempts.get(token).complete(outcome),
  "attempts.deliver": ({ token, outcome }) => attempts.get(token).complete(outcome),
};

class Unsupported extends Error {}

function errorOf(error) {
  if (error instanceof ProblemError) {
    const { type, status, detail, errors, requestId, retryAfter } = error;
    return { type, status, detail, errors, request_id: requestId, retry_after: retryAfter };
  }
  if (error instanceof Unsupported) return { type: "unsupported" };
  if (error instanceof RunFailed) return { type: "run-failed", run: error.run };
  if (error instanceof TimedOut) return { type: "timed-out" };
  if (error instanceof Unreachable) return { type: "unreachable" };
  throw error;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { operation, arguments: given } = parse(line);
  let reply;
  try {
    if (!(operation in OPERATIONS)) throw new Unsupported();
    reply = { value: (await OPERATIONS[operation](given)) ?? null };
  } catch (error) {
    reply = { error: errorOf(error) };
  }
  process.stdout.write(`${stringify(reply)}\n`);
}
