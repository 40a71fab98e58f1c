"""The types of problems: what each means, and what to do."""

#: slug -> (status, what it means and what to do)
PROBLEM_TYPES: dict[str, tuple[int, str]] = {
    "malformed-json": (400, "The body is not JSON; the detail says at which line and column."),
    "malformed-request": (
        400,
        (
            "The request cannot be read, for example because it is not HTTP/1.1, has two <code>Host</code> headers, or "
            "because the body ended early."
        ),
    ),
    "unauthorized": (
        401,
        (
            "Send an API key that is accepted: <code>Authorization: Bearer …</code>. Keys are made by <code>rota key "
            "create</code> or <code>POST /v1/keys</code>, and set by ROTA_API_KEY. Who has the secret of a key that "
            "was revoked or has expired is told so."
        ),
    ),
    "forbidden": (
        403,
        "The API key does not have the scope that this needs, which the detail names. Use a key that has it.",
    ),
    "foreign-origin": (
        403,
        (
            "Without an API key the service refuses requests that web pages of other sites "
            "make. Set ROTA_API_KEY, or make a key with <code>rota key create</code>, and send the key."
        ),
    ),
    "not-local": (
        403,
        (
            "Without an API key the service accepts requests from its own machine only, and this one came "
            "from elsewhere or through a proxy. Set ROTA_API_KEY, or make a key with <code>rota key "
            "create</code>, and send it from the client or add it in the proxy."
        ),
    ),
    "not-found": (404, "There is no such task, run, entry or page; or not for this key."),
    "method-not-allowed": (405, "The header Allow lists the methods that are possible here."),
    "request-timeout": (
        408,
        "The headers or the body of the request came too slowly; the connection was closed. Send it again.",
    ),
    "conflict": (
        409,
        "Another client changed the same thing at the same time. Read it again and decide.",
    ),
    "task-exists": (
        409,
        (
            "The name is taken; <code>task</code> shows by which task. Choose another name, PUT to "
            "update it, or another <code>on_conflict</code>."
        ),
    ),
    "wrong-status": (
        409,
        (
            "The task or run has a status in which this is not possible; <code>task</code> or "
            "<code>run</code> shows it."
        ),
    ),
    "unplannable": (
        409,
        (
            "The stored schedule cannot be planned any more: this version cannot read it, or "
            "the time zone does not exist any more. Resume it once that is corrected, or declare the task again."
        ),
    ),
    "overlap": (
        409,
        (
            "The task skips on overlap and has an unfinished run, which <code>run</code> names. "
            "Wait for it, cancel it, or set the overlap_policy to <code>allow</code>."
        ),
    ),
    "run-in-use": (
        409,
        (
            "The run is finished, and something still needs it: a task that takes its result once its other "
            "predecessors have run, or an alert that counts from it. The detail says what."
        ),
    ),
    "operation-failed": (
        409,
        (
            "An operation of a kv transaction is not possible on its entry; <code>errors</code> points at it. "
            "Nothing was written."
        ),
    ),
    "kv-full": (
        409,
        "The task has as many kv entries, or as many bytes in them, as it may; the detail names the limit.",
    ),
    "history-too-short": (
        409,
        (
            "The history of the kv does not reach back so far: <code>missing</code> names keys whose values are not "
            "known any more, <code>known_from</code> the first revision that is known. Nothing was written."
        ),
    ),
    "no-encryption-keys": (
        409,
        (
            "Secrets are stored encrypted only. Set ROTA_ENCRYPTION_KEYS, or give the secret by the environment, as "
            "ROTA_SECRET_…."
        ),
    ),
    "secret-from-environment": (
        409,
        "The secret is set by the environment of the service (ROTA_SECRET_…), and can be changed only there.",
    ),
    "secret-in-use": (
        409,
        (
            "The targets of tasks refer to the secret; <code>tasks</code> names the first of them, <code>count</code> "
            "says how many there are. Change them first, or remove it anyway with <code>?force=true</code>: "
            "then their runs fail."
        ),
    ),
    "calendar-in-use": (
        409,
        (
            "Tasks leave out the days of the calendar; <code>tasks</code> names the first of them, <code>count</code> "
            "says how many there are. Take it out of their <code>exclude</code> first."
        ),
    ),
    "extra-missing": (
        409,
        (
            "This needs a library that is not installed where the service runs; the detail says how to install it. The "
            "Docker image has all of them."
        ),
    ),
    "first-key": (
        409,
        (
            "Nothing needs a key yet, and everything would once there is one. Make the first one with <code>rota key "
            "create</code>, or set ROTA_API_KEY."
        ),
    ),
    "superseded": (
        409,
        (
            "The attempt of this token has ended: it was completed before, timed out, was cancelled, or another one "
            "has begun. <code>attempt</code> shows how it ended, and <code>run</code> shows its run. Nothing "
            "was stored; do not send it again."
        ),
    ),
    "lease-lost": (409, "The attempt has lost its lease: the run has continued without it."),
    "precondition-failed": (
        412,
        (
            "The ETag in If-Match is not the present one, or something exists in spite of If-None-Match: *. Read it "
            "again and decide."
        ),
    ),
    "too-large": (413, "The body or the value is over the limit that the detail names."),
    "url-too-long": (
        414,
        "The URL is over the limit that the detail names; the connection was closed.",
    ),
    "unsupported-media-type": (
        415,
        (
            "Send the body as JSON, with the header Content-Type: application/json, and without a Content-Encoding; "
            "the detail names other types that are accepted."
        ),
    ),
    "wrong-host": (
        421,
        (
            "Without an API key the service accepts loopback names only, so that no web page "
            "can reach it by rebinding a name. Set ROTA_API_KEY, or make a key with <code>rota key create</code>, to "
            "serve other names."
        ),
    ),
    "invalid": (
        422,
        ("The body is JSON, but its content is wrong; <code>errors</code> points at each fault."),
    ),
    "unacceptable-json": (
        422,
        (
            "JSON that Rota does not store: keys given twice, NUL, lone surrogates, numbers "
            "beyond a double, more than 64 levels."
        ),
    ),
    "unknown-handler": (
        422,
        ("No handler has this name; <code>GET /v1/handlers</code> lists all handlers."),
    ),
    "invalid-input": (
        422,
        (
            "The input does not fit the handler's JSON Schema, which <code>GET "
            "/v1/handlers</code> shows."
        ),
    ),
    "invalid-key": (
        422,
        ("The key of a kv entry does not fit the pattern, is reserved, or is one of Rota's own."),
    ),
    "kv-schema": (
        422,
        (
            "A value does not fit the JSON Schema that the task has for its key (<code>kv_schema</code>); "
            "<code>errors</code> points into the value. Nothing was written."
        ),
    ),
    "unusable-secret": (
        422,
        (
            "The target refers to a named secret that does not exist, or that this task may not send to this server; "
            "<code>errors</code> points at the reference."
        ),
    ),
    "invalid-header": (422, "A header does not have the required form."),
    "invalid-cursor": (
        422,
        "The cursor is not one that this list returned. Start again without it.",
    ),
    "invalid-filter": (422, "A filter has a value that nothing can have."),
    "unknown-parameter": (
        422,
        "The query parameter is not known here; the detail lists those that are.",
    ),
    "time-in-the-past": (
        422,
        (
            "A one-off more than an hour in the past is refused as a mistake, and so is a past "
            "<code>next_fire_at</code> or, of an API key, <code>expires_at</code>. Give a time in the future."
        ),
    ),
    "idempotency-key-reused": (
        422,
        "This Idempotency-Key was used for another request within 24 hours.",
    ),
    "rate-limited": (
        429,
        (
            "This key makes more requests than its <code>rate</code> allows, or too many at a time, or too many keys "
            "that are not known were sent from this address. Try again after Retry-After."
        ),
    ),
    "quota-exceeded": (
        429,
        (
            "There are as many tasks, unfinished runs or bytes of kv values as the <code>max_tasks</code>, "
            "<code>max_unfinished_runs</code> or <code>max_kv_bytes</code> of this key allows, and the request needs "
            "more: <code>quota</code> shows which, how many are allowed and how many there are. Nothing was written."
        ),
    ),
    "headers-too-large": (
        431,
        "There are too many headers or trailers, or they are too large; the connection was closed.",
    ),
    "error": (400, "The request failed; the detail says why."),
    "internal": (
        500,
        ("A fault of Rota itself. Its log has the details; please report it with the request_id."),
    ),
    "unavailable": (
        503,
        (
            "The database does not respond or accepts no writes, another transaction has locked the rows, too many "
            "requests are waiting, too many connections are open, or all slots for computations (previews, "
            "explanations, backfills) are in use; the detail says which. Try again after Retry-After."
        ),
    ),
    "sealed": (
        503,
        (
            "A stored value is encrypted with a key that ROTA_ENCRYPTION_KEYS does not have, or was changed outside "
            "Rota; the detail names the key."
        ),
    ),
    "not-ready": (503, "The service cannot serve at present; the detail says why."),
}
