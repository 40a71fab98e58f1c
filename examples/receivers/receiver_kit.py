"""Receives Rota's signed calls in a FastAPI app, with `rota.receiver`; effects and outcomes are committed together.

export ROTA_SIGNING_KEYS="whsec_$(openssl rand -base64 32)"
python examples/receivers/receiver_kit.py                # listens on PORT (4100)

curl -X PUT http://localhost:8000/v1/secrets/billing_signing -H 'Content-Type: application/json' -d '{
  "value": "'"$ROTA_SIGNING_KEYS"'", "origins": ["http://127.0.0.1:4100"]}'
curl -X PUT http://localhost:8000/v1/tasks/bill-ada -H 'Content-Type: application/json' -d '{
  "handler": "http", "input": {"customer": "ada", "amount": 12},
  "target": {"url": "http://127.0.0.1:4100/invoices", "signature": {"secret": "billing_signing"}},
  "schedule": {"type": "cron", "expression": "0 9 1 * *"}}'
"""

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any

import anyio
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from rota.receiver import Call, Fail, Receiver, Record

DATABASE = os.environ.get("DATABASE", "receiver.db")

# ------------------------------------------------- to copy: outcomes in your database, and in its transaction


@dataclass
class InTransaction:
    """The record of a run, and the transaction in which it will be written."""

    connection: sqlite3.Connection
    record: Record | None


class SqliteOutcomes:
    """One transaction for each call: what the endpoint writes in it is committed with the outcome, or not at all."""

    @asynccontextmanager
    async def exclusively(self, run_id: str) -> AsyncIterator[InTransaction]:
        """Wait for other calls, and begin; an exception rolls back."""
        # The calls come one after the other, and each may be in another thread.
        with closing(
            sqlite3.connect(DATABASE, isolation_level=None, check_same_thread=False)
        ) as connection:
            await anyio.to_thread.run_sync(begin, connection)
            found = connection.execute("SELECT * FROM calls WHERE run_id = ?", (run_id,)).fetchone()
            claim = InTransaction(connection, Record(*found[1:]) if found else None)
            before = claim.record
            yield claim  # an exception leaves here, and closing the connection rolls back
            after = claim.record
            if after is not None and after is not before:
                if after.status != "succeeded":  # the outcome is kept, what was written is not
                    connection.execute("ROLLBACK")
                    begin(connection)
                row = (run_id, after.attempt, after.fingerprint, after.status, after.outcome)
                connection.execute("REPLACE INTO calls VALUES (?, ?, ?, ?, ?)", row)
            connection.execute("COMMIT")


def begin(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA busy_timeout = 20000")
    connection.execute("BEGIN IMMEDIATE")  # another call waits here


# --------------------------------------------------------------------------------------- your application

app = FastAPI()
receiver = Receiver(outcomes=SqliteOutcomes())  # by the keys in ROTA_SIGNING_KEYS


class Bill(BaseModel):
    customer: str
    amount: float


@app.post("/invoices")
@receiver.endpoint
def invoice(call: Call, input: Bill) -> dict[str, Any]:
    if input.amount <= 0:
        raise Fail("there is nothing to bill")
    assert isinstance(call.claim, InTransaction)
    made = call.claim.connection.execute(
        "INSERT INTO invoices (customer, amount) VALUES (?, ?)", (input.customer, input.amount)
    )
    call.kv.increment("invoices")  # in the table of the task, with the success of the run
    return {"invoice": made.lastrowid}


if __name__ == "__main__":
    with closing(sqlite3.connect(DATABASE)) as opened:
        opened.execute(
            "CREATE TABLE IF NOT EXISTS calls "
            "(run_id TEXT PRIMARY KEY, attempt INTEGER, fingerprint TEXT, status TEXT, outcome BLOB)"
        )
        opened.execute(
            "CREATE TABLE IF NOT EXISTS invoices (number INTEGER PRIMARY KEY, customer TEXT, amount REAL)"
        )
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "4100")))
