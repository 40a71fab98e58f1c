"""A program for a network namespace of its own: it calls hosts, and counts the packets that leave.

All packets go to `lo`, which has a route for every address. Prints `{"control": …, "packets": …, "hosts": …}` as JSON:
how many were seen of one allowed call, and of all calls of hosts that are refused.
"""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Sequence

from rota.clock import SystemClock
from rota.domain.hosts.policy import TargetPolicy
from rota.egress.client import HttpClient
from rota.egress.guard import Guard
from rota.egress.requests import Request, SendFailed
from tests.egress.notations import HOSTS

_ALL = 3  # ETH_P_ALL
_SETUP = (
    ("link", "set", "lo", "up"),
    ("route", "add", "local", "default", "dev", "lo"),
    ("-6", "route", "add", "local", "default", "dev", "lo"),
)


async def call(hosts: Sequence[str], *allowed: str) -> None:
    guard = Guard(TargetPolicy.of(allowed))
    client = HttpClient(1_000, SystemClock(), guard)
    for host in hosts:
        try:
            await client.send(Request("GET", f"http://{host}:9/", {}, None))
        except SendFailed:
            continue
    guard.close()


def packets(sniffer: socket.socket) -> int:
    """Return how many packets have come since the last call."""
    number = 0
    while True:
        try:
            sniffer.recv(65_536)
        except BlockingIOError:
            return number
        number += 1


def main() -> None:
    for command in _SETUP:
        subprocess.run(["ip", *command], check=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL)) as sniffer:
        sniffer.bind(("lo", 0))
        sniffer.setblocking(False)
        asyncio.run(call(["127.0.0.1"], "loopback"))
        control = packets(sniffer)
        asyncio.run(call(HOSTS, "b.example"))
        found = {"control": control, "packets": packets(sniffer), "hosts": len(HOSTS)}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
