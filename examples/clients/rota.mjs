// A client for Rota in one file, for Node.js 18 and newer, without dependencies: copy it into your project.
//
//   import { Rota } from "./rota.mjs";
//
//   const rota = new Rota(); // ROTA_URL (http://127.0.0.1:8000) and ROTA_KEY, or { url, key }
//   await rota.declare("greet", { handler: "hello", schedule: { type: "manual" } });
//   const run = await rota.task("greet").run({ name: "Ada" });
//   console.log(await run.result());
//   for await (const task of rota.tasks({ tag: "billing" })) console.log(task.name, task.next_fire_at);
//
// It passes the same conformance suite as the Python client (docs/reference/conformance.md). Beside the requests:
//
// - What may be repeated is repeated when no reply came, or 429, 502, 503, 504, after its `Retry-After`. GET, PUT, PATCH
//   and DELETE may be; a POST only with an Idempotency-Key, by which Rota acts once, or after a 429.
// - Integers beyond 2^53 are BigInt, in replies and in what is sent: Rota stores them exactly, JSON.parse would not.
// - Fields that this file does not know are there all the same: what is returned is what Rota has sent.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

// ------------------------------------------------------------------------------------------------------- errors

export class RotaError extends Error {}

// Rota, or something before it, has refused. `type` is the last part of /problems/…, such as "not-found".
export class ProblemError extends RotaError {
  constructor(status, problem, retryAfter) {
    super(`${problem.title ?? "refused"} (${status}): ${problem.detail ?? ""}`);
    Object.assign(this, { status, problem, retryAfter, type: slug(problem.type), detail: problem.detail });
    Object.assign(this, { errors: problem.errors ?? [], requestId: problem.request_id });
  }
}

// No reply came: the request may or may not have reached Rota.
export class Unreachable extends RotaError {}

export class RunFailed extends RotaError {
  constructor(run) {
    super(`the run has ${run.status} (${run.reason}): ${run.error?.message ?? ""}`);
    this.run = run;
  }
}

export class TimedOut extends RotaError {}

const slug = (type) => (type ?? "about:blank").split("/").pop();

// --------------------------------------------------------------------------------------------------------- JSON

// Node.js 20 has no JSON.parse with source texts. So integers that a double does not hold become texts with a NUL in
// front before it parses: no text of Rota's has a NUL. What stands within quotation marks is left alone.
const TOKEN = /\\.|"|(?<![-+.eE\d])-?\d{16,}(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const isLarge = (token) => /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token));

export function parse(text) {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  let inText = false;
  const marked = text.replace(TOKEN, (token) => {
    if (token === '"') inText = !inText;
    return !inText && isLarge(token) ? `"\\u0000${token}"` : token;
  });
  return JSON.parse(marked, (_, value) =>
    typeof value === "string" && value[0] === "\0" ? BigInt(value.slice(1)) : value,
  );
}

export function stringify(value) {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map((item) => stringify(item) ?? "null").join()}]`;
  if (typeof value !== "object" || value === null || value.toJSON) return JSON.stringify(value);
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${stringify(field)}`).join()}}`;
}

// ----------------------------------------------------------------------------------------------------- requests

const PASSING = new Set([429, 502, 503, 504]);
const LONGEST_WAIT = 60; // seconds: who is told to wait for longer decides by `retryAfter`

export class Rota {
  constructor({ url = process.env.ROTA_URL, key = process.env.ROTA_KEY, retries = 4, timeout = 60 } = {}) {
    Object.assign(this, { url: (url ?? "http://127.0.0.1:8000").replace(/\/+$/, ""), key, retries, timeout });
  }

  // Any request: the body of its reply, or null if it has none. Throws ProblemError and Unreachable.
  async request(method, path, options = {}) {
    return (await this.exchange(method, path, options)).body;
  }

  // The same, with status and headers. `once`: a POST with an Idempotency-Key; `again`: one that needs none.
  async exchange(method, path, { query, body, headers = {}, once = false, again = once } = {}) {
    const given = { ...headers, ...(once && { "idempotency-key": randomUUID() }) };
    const repeatable = method !== "POST" || again;
    let lost = false;
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#attempt(method, path, query, body, given);
      } catch (error) {
        // The request before, whose reply was lost, has removed it.
        if (method === "DELETE" && lost && error.type === "not-found") return { status: 204, body: null };
        lost ||= error instanceof Unreachable;
        const passing = error instanceof Unreachable ? repeatable : mayPass(error, repeatable);
        if (!passing || attempt >= this.retries) throw Object.assign(error, { repeated: attempt > 0 });
        await sleep(1000 * (error.retryAfter ?? Math.random() * Math.min(0.1 * 2 ** attempt, 5)));
      }
    }
  }

  async #attempt(method, path, query, body, headers) {
    let response, text;
    try {
      const content = body === undefined ? undefined : stringify(body);
      const signal = AbortSignal.timeout(1000 * this.timeout);
      response = await this.open(method, path, { query, headers, content, signal });
      text = await response.text();
    } catch (error) {
      throw new Unreachable(`${method} ${this.url}${path}: ${error.cause?.message ?? error.message}`, { cause: error });
    }
    if (!response.ok) throw problemOf(response, text);
    return { status: response.status, headers: response.headers, body: text ? parse(text) : null };
  }

  // One request, whatever becomes of it.
  open(method, path, { query = {}, headers = {}, content, signal }) {
    const url = new URL(this.url + path);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
    const authorization = this.key && { authorization: `Bearer ${this.key}` };
    const type = content !== undefined && { "content-type": "application/json" };
    return fetch(url, { method, body: content, signal, headers: { ...authorization, ...type, ...headers } });
  }

  // All items of a list, page by page. `limit` is the size of a page.
  async *pages(path, query = {}) {
    let cursor;
    do {
      const page = await this.request("GET", path, { query: { ...query, cursor } });
      yield* page.items;
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
  }

  // ------------------------------------------------------------------------------------------------------ tasks

  task = (name) => new Task(this, name);

  tasks = (filters) => this.pages("/v1/tasks", filters);

  // A new task; it fails if the name is taken, unless `onConflict` says otherwise: keep, update, replace.
  create = (definition, { onConflict } = {}) =>
    this.request("POST", "/v1/tasks", { query: { on_conflict: onConflict }, body: definition, once: true });

  // The task as it is to be, whether it is there or not. A second time it changes nothing.
  declare = (name, definition, headers) =>
    this.request("PUT", `/v1/tasks/${encodeURIComponent(name)}`, { body: definition, headers });

  // ------------------------------------------------------------------------------------------------------- runs

  runs = (filters) => this.pages("/v1/runs", filters);

  run = (id) => new Run(this, { id });

  // ----------------------------------------------------------------------------------------------------- events

  // What happens, from now on or after an event's id, without end: a connection that is lost is made again, and nothing
  // in between is missed. An event is { id, type, timestamp, data }.
  async *events({ after, ...filters } = {}) {
    let position = after;
    for (let lost = 0; ; lost++) {
      const leaving = new AbortController();
      let wait = 0.1 * 2 ** Math.min(lost, 6);
      try {
        const headers = { accept: "text/event-stream", ...(position && { "last-event-id": position }) };
        const response = await this.open("GET", "/v1/events", { query: filters, headers, signal: leaving.signal });
        if (!response.ok) throw problemOf(response, await response.text());
        for await (const { id, data } of blocks(response.body)) {
          lost = 0;
          position = id ?? position;
          if (data) yield { id: position, ...parse(data) };
        }
      } catch (error) {
        if (error instanceof RotaError && !mayPass(error, true)) throw error;
        if (lost >= this.retries) throw new Unreachable(`the events: ${error.message}`, { cause: error });
        wait = error.retryAfter ?? wait;
      } finally {
        leaving.abort();
      }
      await sleep(1000 * wait);
    }
  }

  // ---------------------------------------------------------------------------------------------------- workers

  declareHandler = (name, declaration) =>
    this.request("PUT", `/v1/handlers/${encodeURIComponent(name)}`, { body: declaration });

  // Runs of these handlers, at most `max`, for whose attempts this process is now responsible.
  async lease(queue, handlers, options = {}) {
    const path = `/v1/queues/${encodeURIComponent(queue)}/lease`;
    const { items } = await this.request("POST", path, { body: { handlers, ...options } });
    return items.map((item) => new Attempt(this, item));
  }
}

function mayPass(error, repeatable) {
  if (!(error instanceof ProblemError) || (error.retryAfter ?? 0) > LONGEST_WAIT) return false;
  return error.status === 429 ? error.type !== "quota-exceeded" : repeatable && PASSING.has(error.status);
}

function problemOf(response, text) {
  const after = response.headers.get("retry-after");
  const seconds = after && (/^\d+$/.test(after) ? Number(after) : (Date.parse(after) - Date.now()) / 1000);
  let problem = { detail: text.slice(0, 1000) };
  try {
    problem = { ...parse(text) };
  } catch {} // a gateway's page: it stays in `detail`
  return new ProblemError(response.status, problem, after && !Number.isNaN(seconds) ? Math.max(seconds, 0) : undefined);
}

// The blocks of a stream of server-sent events: { id, data }.
async function* blocks(body) {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const block of whole) {
      const field = (name) => new RegExp(`^${name}: ?(.*)$`, "m").exec(block)?.[1];
      yield { id: field("id"), data: field("data") };
    }
  }
}

// ------------------------------------------------------------------------------------------------ what there is

class Task {
  constructor(rota, name) {
    Object.assign(this, { rota, name, path: `/v1/tasks/${encodeURIComponent(name)}` });
    this.kv = new Kv(rota, `${this.path}/kv`);
  }

  read = () => this.rota.request("GET", this.path);
  update = (changes) => this.rota.request("PATCH", this.path, { body: changes });
  delete = () => this.rota.request("DELETE", this.path);
  pause = (reason) => this.rota.request("POST", `${this.path}/pause`, { body: { reason } });
  resume = (options = {}) => this.rota.request("POST", `${this.path}/resume`, { body: options });
  runs = (filters) => this.rota.pages(`${this.path}/runs`, filters);

  async run(input) {
    const body = input === undefined ? {} : { input };
    return new Run(this.rota, await this.rota.request("POST", `${this.path}/run`, { body, once: true }));
  }
}

const FINAL = new Set(["succeeded", "failed", "cancelled", "skipped"]);

class Run {
  constructor(rota, document) {
    Object.assign(this, { rota, document, id: document.id, path: `/v1/runs/${document.id}` });
  }

  read = (query) => this.rota.request("GET", this.path, { query });
  cancel = () => this.rota.request("POST", `${this.path}/cancel`, { body: {} });

  // Waits until the run has ended, and returns its result. Throws RunFailed, or TimedOut after `timeout` seconds.
  async result({ timeout = 3600 } = {}) {
    const until = Date.now() + 1000 * timeout;
    for (;;) {
      const left = (until - Date.now()) / 1000;
      const run = await this.read({ wait: Math.max(0, Math.min(30, this.rota.timeout / 2, left)).toFixed(3) });
      if (run.status === "succeeded") return run.result;
      if (FINAL.has(run.status)) throw new RunFailed(run);
      if (Date.now() >= until) throw new TimedOut(`the run is still ${run.status} after ${timeout} s`);
    }
  }
}

class Kv {
  constructor(rota, path) {
    Object.assign(this, { rota, path });
  }

  #at = (key) => `${this.path}/${encodeURIComponent(key)}`;

  list = (filters) => this.rota.pages(this.path, filters);
  delete = (key) => this.rota.request("DELETE", this.#at(key));
  get = async (key) => (await this.entry(key))?.value;

  // The whole entry with its `etag`, or undefined if there is none.
  async entry(key) {
    try {
      const { headers, body } = await this.rota.exchange("GET", this.#at(key));
      return { ...body, etag: headers.get("etag") };
    } catch (error) {
      if (error.type === "not-found") return undefined;
      throw error;
    }
  }

  // With `ifMatch` (the `etag` of an entry) or `ifAbsent` it is "precondition-failed" if somebody else has written.
  set(key, value, { ttl, ifMatch, ifAbsent } = {}) {
    const headers = { ...(ifMatch && { "if-match": ifMatch }), ...(ifAbsent && { "if-none-match": "*" }) };
    return this.rota.request("PUT", this.#at(key), { body: { value, ttl }, headers });
  }

  // Several operations, all or none. It is not repeated when its reply is lost: read what is there, and decide.
  transaction = async (operations) =>
    (await this.rota.request("POST", `${this.path}/transaction`, { body: { operations } })).items;
}

// An attempt that this process has leased: `run`, `kv`, `lease_expires_at`, and how it goes on.
class Attempt {
  constructor(rota, item) {
    Object.assign(this, item, { rota, path: `/v1/runs/${item.run.id}` });
    this.headers = { authorization: `Bearer ${item.token}` }; // all that these two requests need
  }

  heartbeat = (progress = {}) => this.#post("heartbeat", progress);

  async complete(outcome) {
    try {
      return await this.#post("complete", outcome);
    } catch (error) {
      // The reply to the first of our requests was lost, and Rota has the outcome already.
      const sent = outcome.fail ? "failed" : outcome.retry ? "retry" : "succeeded";
      const isStored = error.type === "superseded" && error.repeated && error.problem.attempt?.outcome === sent;
      if (!isStored) throw error;
      return error.problem.run;
    }
  }

  #post = (verb, body) =>
    this.rota.request("POST", `${this.path}/${verb}`, { body, headers: this.headers, again: true });
}
