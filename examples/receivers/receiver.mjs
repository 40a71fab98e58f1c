// Receives Rota's signed calls in Node.js, without dependencies: verifies each, acts once for each run, and answers
// with an outcome.
//
//   export WEBHOOK_KEY="whsec_$(openssl rand -base64 32)"
//   node examples/receivers/receiver.mjs         # listens on PORT (4100)
//
//   curl -X PUT http://localhost:8000/v1/secrets/billing_signing -H 'Content-Type: application/json' -d '{
//     "value": "'"$WEBHOOK_KEY"'", "origins": ["http://127.0.0.1:4100"]}'
//   curl -X PUT http://localhost:8000/v1/tasks/bill-ada -H 'Content-Type: application/json' -d '{
//     "handler": "http", "input": {"customer": "ada", "amount": 12},
//     "target": {"url": "http://127.0.0.1:4100/invoices", "signature": {"secret": "billing_signing"}},
//     "schedule": {"type": "cron", "expression": "0 9 1 * *"}}'

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const KEY = Buffer.from(process.env.WEBHOOK_KEY.replace(/^whsec_/, ""), "base64");
const OUTCOME = "application/vnd.rota.outcome+json";
const TOLERANCE = 300; // seconds
const MOST_BYTES = 1_048_576;

// ------------------------------------------------------------- to copy: verification, and once for each run

// The id of the run whose call this is (Standard Webhooks 1.0.0), or an error with status 401.
function verify(headers, body) {
  const { "webhook-id": run, "webhook-timestamp": at = "", "webhook-signature": signatures = "" } = headers;
  if (!run || !/^\d{1,15}$/.test(at) || Math.abs(Date.now() / 1000 - Number(at)) > TOLERANCE) {
    throw refusal(401, "not signed, or more than five minutes old");
  }
  const digest = createHmac("sha256", KEY).update(`${run}.${at}.`).update(body).digest("base64");
  const expected = Buffer.from(`v1,${digest}`);
  const matches = (given) => given.length === expected.length && timingSafeEqual(given, expected);
  // Two, while a rotation of the key overlaps.
  if (!signatures.split(" ").some((each) => matches(Buffer.from(each)))) {
    throw refusal(401, "no signature is by our key");
  }
  return run;
}

// The outcomes of runs. A process that ends forgets them: keep them where the effects are, and write both together.
const outcomes = new Map();
const MOST_OUTCOMES = 10_000;

// Calls `work` for the first call of a run, and answers the others as that one.
function once(run, work) {
  if (!outcomes.has(run)) {
    const outcome = work();
    outcome.catch(() => outcomes.delete(run)); // the next attempt tries again
    outcomes.set(run, outcome);
    if (outcomes.size > MOST_OUTCOMES) outcomes.delete(outcomes.keys().next().value);
  }
  return outcomes.get(run);
}

async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MOST_BYTES) throw refusal(413, "the body is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks); // the bytes that were signed: nothing may parse them before
}

const refusal = (status, message) => Object.assign(new Error(message), { status });

// ------------------------------------------------------------------------------------------ your application

let number = 0;

async function invoice({ customer, amount }) {
  number += 1;
  console.log(`invoice ${number}: ${customer} pays ${amount}`);
  return { result: { invoice: number }, kv: [{ op: "increment", key: "invoices", by: 1 }] };
}

const server = createServer(async (request, response) => {
  try {
    const body = await read(request);
    const run = verify(request.headers, body);
    const outcome = await once(run, () => invoice(JSON.parse(body)));
    response.writeHead(200, { "Content-Type": OUTCOME }).end(JSON.stringify(outcome));
  } catch (error) {
    // 500 is tried again by the task's `retry`; 401 is not.
    response.writeHead(error.status ?? 500, { Connection: "close" }).end(error.message);
  }
});
server.listen(Number(process.env.PORT ?? 4100), "127.0.0.1");
