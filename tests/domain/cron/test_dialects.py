"""Messages for cron expressions of other schedulers and for slips: the right field, and a suggestion."""

import re

import pytest

from rota.domain.cron.expression import normalise

YEAR = "a year field, as Quartz and AWS have it, is not supported: leave it out; write "
BOUND = ", and bound it with 'start_at' and 'end_at'"
SPACES = "spaces separate fields, so none may stand beside ',', '-' and '/'; write "
ZONE = 'a zone is no part of the expression; give "timezone": "Europe/Berlin"'
CHOSEN = "are not supported; give a number, and let 'jitter' spread the tasks"
COMMAND = "a user or a command is no part of the expression; write '*/5 * * * *'"
HALF = "a range has two numbers, as in '1-5'; leave no end out"

DIALECTS = {
    # Quartz
    "0 9 15W * *": "'15W' in the day of month field: the working day nearest to a date (Quartz's W) is not supported; "
    "write '15' for the date itself, or 'LW' for the last working day of the month",
    "0 9 W15 * *": "write '15' for the date itself",
    "0 9 L-3 * *": "'L-3' in the day of month field: days before the last of the month (Quartz's L-n) are not "
    "supported; write 'L' for the last day, or a date such as '25'",
    "0 9 l-3w * *": "write 'L' for the last day",
    "0 9 L/2 * *": "'L/2' in the day of month field: it is a single day",
    "0 0 * * L": "'L' in the weekday field: 'L' needs a weekday before it: '5L' is the last Friday",
    "0 0 12 ? * MON 2026": f"{YEAR}'0 12 * * MON'{BOUND}",
    "15 0 12 ? * MON 2026": f"{YEAR}'15 0 12 * * MON'{BOUND}",
    "0 0 12 * * ? *": f"{YEAR}'0 12 * * *'",
    "0 0 12 * * ? 2026-2028": f"{YEAR}'0 12 * * *'{BOUND}",
    "0 0 12 * * 1-5 2026": "weekday 1 is Monday here, and Sunday there",
    "0 12 * * ? 2026": f"{YEAR}'0 12 * * *'{BOUND}",
    "0 12 * * ? *": f"{YEAR}'0 12 * * *'",
    "0 12 ? * MON-FRI *": f"{YEAR}'0 12 * * MON-FRI'",
    "? * * * *": "'?' in the minute field: '?' is for the day of month and the weekday; write '*'",
    "0 9 * ? *": "'?' in the month field: '?' is for the day of month and the weekday; write '*'",
    "0 9 ?/2 * *": "'?/2' in the day of month field: '?' stands alone; write '*/2'",
    "0 0 * * 5#6": "'5#6' in the weekday field: the n-th weekday of the month is '1#1' to '1#5'",
    "0 0 1#2 * *": "'1#2' in the day of month field: '#' is for the weekday: 'MON#2' is the second Monday",
    "0 L * * *": "'L' in the hour field: 'L' is for the day of month ('L', 'LW') and the weekday",
    # AWS
    "cron(0 12 * * ? *)": "give the fields without 'cron(…)'; write '0 12 * * *'",
    "cron(0 9 ? * 2-6 *)": "write '0 9 * * MON-FRI'; 1 is Sunday there, and Monday here",
    "cron(0 9 ? * 6#3 2026)": f"write '0 9 * * FRI#3'{BOUND}; 1 is Sunday there, and Monday here",
    "cron()": "give the fields without 'cron(…)'",
    "rate(5 minutes)": '\'rate(…)\' is no cron expression; use {"type": "interval", "every": "5m"}',
    "rate(1 day)": '{"type": "interval", "every": "1d"}',
    "at(2026-11-20T13:00:00)": '{"type": "once", "at": "2026-11-20T13:00:00", "timezone": "UTC"}',
    # Kubernetes, Go, systemd's neighbours
    "CRON_TZ=Europe/Berlin 0 9 * * *": f'{ZONE} with "expression": "0 9 * * *"',
    "TZ=Europe/Berlin 0 9 * * *": f'{ZONE} with "expression": "0 9 * * *"',
    "0 9 * * * Europe/Berlin": f'{ZONE} with "expression": "0 9 * * *"',
    "0 9 * * mon UTC": '"timezone": "UTC" with "expression": "0 9 * * mon"',
    "@every 5m": '\'@every 5m\' is no cron expression; use {"type": "interval", "every": "5m"}',
    "@every 1h30m": '{"type": "interval", "every": "1h30m"}',
    "every 10 minutes": '{"type": "interval", "every": "10m"}',
    "every day at nine": "fields such as '0 9 * * *' (at 09:00 every day)",
    "@reboot": "a service has no reboot that means the same on every replica; to run once, right after the "
    'registration, use {"type": "once", "delay": 0}',
    "@fortnightly": "'@fortnightly' is not known; use one of @hourly, @daily, @midnight, @weekly",
    # Jenkins, cronie
    "H * * * *": f"'H' in the minute field: values chosen for you (Jenkins' H, cronie's ~) {CHOSEN}",
    "0 H(0-7)/2 * * *": f"in the hour field: values chosen for you (Jenkins' H, cronie's ~) {CHOSEN}",
    "0~30 * * * *": CHOSEN,
    # a line of a crontab
    "*/5 * * * * /usr/bin/backup --all": COMMAND,
    "*/5 * * * * root /usr/bin/backup": COMMAND,
    '"0 9 * * *"': "the quotes are part of the expression; write 0 9 * * *",
}
SLIPS = {
    "0 22-2 * * *": "'22-2' in the hour field: the range ends before it begins; write '22-23,0-2'",
    "0 22-2/2 * * *": "'22-2/2' in the hour field: the range ends before it begins; write '22,0,2'",
    "50-10 * * * *": "'50-10' in the minute field: the range ends before it begins; write '50-59,0-10'",
    "0 0 25-5 * *": "in the day of month field: the range ends before it begins; write '25-31,1-5'",
    "0 0 1 NOV-FEB *": "in the month field: the range ends before it begins; write 'NOV-DEC,JAN-FEB'",
    "0 0 1 dec-jan *": "write 'DEC,JAN'",
    "50-10 0 0 * * *": "'50-10' in the second field",
    "0 0 * * 7-0": "'7-0' in the weekday field: 0 and 7 are both Sunday; write '0' for Sundays, '*' for any day",
    "0 9 * * 1, 3, 5": f"{SPACES}'0 9 * * 1,3,5'",
    "0, 30 * * * *": f"{SPACES}'0,30 * * * *'",
    "0 9 * * MON - FRI": f"{SPACES}'0 9 * * MON-FRI'",
    "*/ 5 * * * *": f"{SPACES}'*/5 * * * *'",
    "60 * * * *": "'60' in the minute field: 60 is out of range (0 to 59)",
    "10-60 * * * *": "'10-60' in the minute field: 60 is out of range (0 to 59)",
    "0 24 * * *": "'24' in the hour field: 24 is out of range (0 to 23); midnight is 0",
    "0 0 0 * *": "'0' in the day of month field: 0 is out of range (1 to 31)",
    "0 0 32 * *": "'32' in the day of month field: 32 is out of range (1 to 31)",
    "0 0 1 13 *": "'13' in the month field: 13 is out of range (1 to 12)",
    "0 0 * * 8": "'8' in the weekday field: 8 is out of range (0 to 7); 0 and 7 are Sunday",
    "60 0 0 * * *": "'60' in the second field: 60 is out of range (0 to 59)",
    "0 60 0 * * *": "'60' in the minute field: 60 is out of range (0 to 59)",
    "0 0 24 * * *": "'24' in the hour field: 24 is out of range (0 to 23)",
    "0 9 * * MONDAY": "'MONDAY' in the weekday field: names have three letters; write 'MON'",
    "0 9 * january *": "'january' in the month field: names have three letters; write 'JAN'",
    "0 9 * MON *": "'MON' in the month field: MON belongs in the weekday field",
    "0 9 * * JAN": "'JAN' in the weekday field: JAN belongs in the month field",
    "1,,2 * * * *": "'' in the minute field: an entry of the list is empty; leave out the comma",
    "-5 * * * *": f"'-5' in the minute field: {HALF}",
    "0 5- * * *": f"'5-' in the hour field: {HALF}",
    "/5 * * * *": "'/5' in the minute field: a step needs something to go through, as in '*/5'",
    "*/0 * * * *": "'*/0' in the minute field: a step is a whole number above 0, as in '*/5'",
    "0 */x * * *": "'*/x' in the hour field: a step is a whole number above 0",
    "*/5/2 * * * *": "'*/5/2' in the minute field: a step is a whole number above 0",
    "1.5 * * * *": "'1.5' in the minute field: numbers are whole",
    "0 x * * *": "'x' in the hour field: give a number from 0 to 23, '*', a list ('1,5'), a range ('1-5'), a step",
    "0 9 * * x": "a step ('*/5'), names ('MON')",
    "0 9 * * 1–5": "'1–5' in the weekday field: only plain ASCII characters can be read",  # noqa: RUF001
    "٣ * * * *": "'٣' in the minute field: only plain ASCII characters can be read",
    "@daily 5": "'@daily 5' is not known",
    "@": "'@' is not known",
    "0 9 * *": "has 5 fields (minute hour day month weekday), or 6 with the seconds first; this one has 4",
    "0 0 0 0 0 9 * * *": "this one has 9",
    "?": "this one has 1",
    "": "this one has 0",
    "* * * * " + "1," * 200 + "1": "a cron expression has at most 256 characters",
    "0 0 30 2 *": "this expression never fires: month 2 has no day 30",
    "0 0 31 4,6 ?": "this expression never fires: month 4,6 has no day 31",
    "0 0 */25 2 1#5": "this expression never fires",
}


@pytest.mark.parametrize("expression", DIALECTS)
def test_other_dialects_are_refused_with_a_suggestion(expression: str) -> None:
    with pytest.raises(ValueError, match=re.escape(DIALECTS[expression])):
        normalise(expression)


@pytest.mark.parametrize("expression", SLIPS)
def test_slips_are_refused_with_their_field_and_a_suggestion(expression: str) -> None:
    with pytest.raises(ValueError, match=re.escape(SLIPS[expression])):
        normalise(expression)


@pytest.mark.parametrize("expression", [*DIALECTS, *SLIPS])
def test_what_is_suggested_can_be_read(expression: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        normalise(expression)

    quoted = re.findall(r"write '([^']+)'|\"expression\": \"([^\"]+)\"", str(refused.value))
    for suggestion in ("".join(each) for each in quoted):
        if " " in suggestion:
            assert normalise(suggestion) == suggestion
