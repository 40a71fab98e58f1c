"""What decompression costs, whatever was compressed."""

import gzip
from time import thread_time

from rota.egress.decompression import MOST_MEMBERS, decompress

EMPTY = gzip.compress(b"", mtime=0)
LIMIT = 1_048_576


def test_members_beyond_the_limit_are_cut_off() -> None:
    most = [gzip.compress(b"%02d" % number, mtime=0) for number in range(MOST_MEMBERS)]

    whole = decompress(b"".join(most), "gzip", LIMIT)
    cut = decompress(b"".join([*most, gzip.compress(b"more", mtime=0)]), "gzip", LIMIT)

    expected = b"".join(b"%02d" % number for number in range(MOST_MEMBERS))
    assert (whole, cut) == ((expected, False), (expected, True))


def test_a_body_of_empty_members_costs_no_more_than_another() -> None:
    bomb = EMPTY * (8 * LIMIT // len(EMPTY))

    began = thread_time()
    found = decompress(bomb, "gzip", LIMIT)

    assert found == (b"", True)
    assert thread_time() - began < 2  # 50 ms; without a limit of members it is minutes
