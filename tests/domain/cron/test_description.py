"""Our descriptions of cron expressions beside those of cron-descriptor 2.2.1 (24 hours, verbose).

`cron_descriptor.tsv` has 60 everyday expressions and 140 that combine common fields, each with the sentence of the
library. This comparison is why `domain/cron/description.py` is code of our own: our sentences can all be read back as
what fires; those of the library are wrong or ambiguous for 8 of the 60 and 86 of the 200.
"""

import re
from pathlib import Path

import pytest

from rota.domain.cron import expression as cron
from rota.domain.cron.description import describe_cron
from rota.domain.cron.expression import Fields
from tests.domain.schedules.rules import read
from tests.domain.schedules.test_sentences import check
from tests.support.factories import NOON

EVERYDAY = 60
TABLE = Path(__file__).with_name("cron_descriptor.tsv").read_text().splitlines()
LIBRARY = dict(line.split("\t") for line in TABLE)
IN_A_PERIOD = {"second": 60, "minute": 60, "hour": 24, "month": 12}
RATE = re.compile(
    r"every (\d+) (second|minute|hour|day|month)s?\b([^,]*)(?:, ([^,]*))?", re.IGNORECASE
)
BOUNDED = re.compile(r"between|through|starting|from|\bto\b")


def is_wrong(sentence: str, fields: Fields) -> bool:
    """Return whether a sentence cannot be read, promises a rate that is not kept, or joins the days in a wrong way."""
    if re.search(r"  |, ,", sentence):  # a word is missing
        return True
    joined = " or on " in sentence or " and also " in sentence
    if joined != (fields.either_day and not fields.every_day):
        return True
    return "days of the week" in sentence or any(map(is_uneven, RATE.finditer(sentence)))


def is_uneven(rate: re.Match[str]) -> bool:
    """Return whether a rate without bounds starts anew in each period, such as every 7 minutes in each hour."""
    number, unit, *rest = rate.groups(default="")
    uneven = unit not in IN_A_PERIOD or IN_A_PERIOD[unit] % int(number) > 0
    return uneven and not any(map(BOUNDED.search, rest))


@pytest.mark.parametrize("expression", LIBRARY)
def test_each_of_our_sentences_is_read_back_as_what_fires(expression: str) -> None:
    schedule = read(type="cron", expression=expression)

    check(schedule, NOON, NOON)
    assert not is_wrong(describe_cron(expression), cron.fields(expression))


def test_many_sentences_of_the_library_are_wrong_or_ambiguous() -> None:
    wrong = [is_wrong(sentence, cron.fields(each)) for each, sentence in LIBRARY.items()]

    assert (len(wrong), sum(wrong), sum(wrong[:EVERYDAY])) == (200, 86, 8)
