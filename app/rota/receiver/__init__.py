"""Receives Rota's calls in a FastAPI app of yours.

    from fastapi import FastAPI
    from rota.receiver import Call, Receiver

    app = FastAPI()
    receiver = Receiver("whsec_…")  # or ROTA_SIGNING_KEYS

    @app.post("/digest")
    @receiver.endpoint
    async def digest(call: Call, input: Digest) -> dict:
        since = call.kv.get("cursor", 0)  # sent with the call: target.kv
        ...
        call.kv.set("cursor", newest)  # commits with the success of the run
        return {"sent": 3}  # the result of the run

Each call is verified (Standard Webhooks) before anything else happens, and acts once: a call that comes again gets the
outcome of the first. Raise `Retry` for another attempt and `Fail` for none; any other exception is a 500, which Rota
tries again.
"""

from rota.receiver.call import Call
from rota.receiver.endpoint import OUTCOME_TYPE, Receiver
from rota.receiver.kv import CallKv, NotSent
from rota.receiver.outcomes import Claim, InMemoryOutcomes, Outcomes, Record
from rota.receiver.signature import NotSigned, verify
from rota.sdk.exceptions import Fail, Retry

__all__ = [
    "OUTCOME_TYPE",
    "Call",
    "CallKv",
    "Claim",
    "Fail",
    "InMemoryOutcomes",
    "NotSent",
    "NotSigned",
    "Outcomes",
    "Receiver",
    "Record",
    "Retry",
    "verify",
]
