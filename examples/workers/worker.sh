#!/bin/sh
# A pull worker for Rota with nothing but curl and sed: it takes one run at a time and reports its outcome.
#
#   examples/workers/worker.sh                   # ROTA_URL (http://127.0.0.1:8000), ROTA_API_KEY, QUEUE (default)
#
#   curl -X PUT http://localhost:8000/v1/tasks/disk -H 'Content-Type: application/json' -d '{
#     "handler": "disk-usage", "schedule": {"type": "interval", "every": "1m"}}'
set -u

rota=${ROTA_URL:-http://127.0.0.1:8000}
queue=${QUEUE:-default}
json='Content-Type: application/json'

# Credentials are handed over in a file descriptor: what stands in a command line, every user of the machine can read.
authorized() {
    if [ -n "${ROTA_API_KEY:-}" ]; then
        printf 'header = "Authorization: Bearer %s"\n' "$ROTA_API_KEY" | curl -sS --fail-with-body --config - "$@"
    else
        curl -sS --fail-with-body "$@"
    fi
}

with_token() {
    printf 'header = "X-Rota-Token: %s"\n' "$token" | curl -sS --fail-with-body --config - "$@"
}

# The work: prints its result as JSON.
work() {
    df -Pk / | awk 'NR == 2 { printf "{\"used_kib\": %d, \"available_kib\": %d}", $3, $4 }'
}

authorized -X PUT "$rota/v1/handlers/disk-usage" -H "$json" -d '{"description": "How full the disk is."}' >/dev/null || exit 1

while :; do
    request="{\"handlers\": [\"disk-usage\"], \"wait\": ${WAIT:-20}, \"lease\": 60, \"kv\": []}"
    leased=$(authorized -X POST "$rota/v1/queues/$queue/lease" -H "$json" -d "$request") || { sleep 1; continue; }
    case $leased in *'"token":'*) ;; *) continue ;; esac
    # The document begins with the run; its token is the last field of that name, whatever the input has.
    run=$(printf '%s' "$leased" | sed 's/^{"items":\[{"run":{"id":"\([0-9a-f-]*\)".*/\1/')
    token=$(printf '%s' "$leased" | sed 's/.*"token":"\([A-Za-z0-9_-]*\)".*/\1/')

    if result=$(work); then
        outcome="{\"result\": $result}"
    else
        outcome='{"retry": {"reason": "the disk could not be measured"}}'
    fi
    with_token -X POST "$rota/v1/runs/$run/complete" -H "$json" -d "$outcome" >/dev/null && echo "completed $run"
done
