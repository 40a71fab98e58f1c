"""Random sequences of ends against a simple model: each edge notifies once, and nothing else does."""

from dataclasses import dataclass, field
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rota.db.command import Command, Transaction
from rota.domain.reasons import SkipReason
from rota.domain.runs.status import Trigger
from rota.store.runs.insertion import insert_runs
from rota.store.runs.new_run import new_run
from rota.store.task_rows import find_task
from tests.store.alerts.test_run_ends import types
from tests.support.factories import BROKEN, MINUTE, World, finish, success, together

AFTER, FAILED, OF = 2, 3, 5
#: Several runs that end in one commit (`f`: failed, `s`: succeeded); or something else that happens.
STEPS = st.lists(
    st.text("fs", min_size=1, max_size=3) | st.sampled_from(["skip", "pause", "resume"])
)
NUMBERS = count()


@dataclass
class Model:
    """The notifications that a reader of the documentation expects."""

    failures: int = 0
    is_paused: bool = False
    raised: set[str] = field(default_factory=set)
    latest: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def take(self, step: str) -> None:
        if step in {"pause", "resume"}:
            self.is_paused = step == "pause"
        elif step == "skip":
            self.begins("skipped", "skipped")
        else:
            for end in step:
                self.ends(end)
            self.look_at_the_rate(step)

    def ends(self, end: str) -> None:
        self.raised.discard("skipped")
        self.latest = [*self.latest, end][-OF:]
        self.failures = self.failures + 1 if end == "f" else 0
        if self.failures >= AFTER:
            self.begins("failures", "failing")
        if end == "s":
            self.recovers("failures")
            self.told += ["succeeded"] * (not self.is_paused)

    def look_at_the_rate(self, ends: str) -> None:
        failed = self.latest.count("f")
        if failed >= FAILED and "f" in ends:
            self.begins("rate", "failing")
        if failed <= FAILED / 2:
            self.recovers("rate")

    def begins(self, kind: str, event: str) -> None:
        if kind not in self.raised and not self.is_paused:
            self.raised.add(kind)
            self.told.append(event)

    def recovers(self, kind: str) -> None:
        if kind in self.raised:
            self.raised.remove(kind)
            self.told.append("recovered")


@dataclass(frozen=True)
class Skip(Command[None]):
    """Insert a skipped run, as a firing pass does."""

    name: str

    def apply(self, tx: Transaction) -> None:
        of = find_task(tx.connection, self.name, lock=True)
        made = new_run(
            of.definition, tx.now, of.id, of.generation, Trigger.SCHEDULE, tx.now, "null"
        )
        made.skip(SkipReason.MISFIRE)
        insert_runs(tx, [made])


def do(world: World, name: str, step: str) -> None:
    """Do a step to a task."""
    world.clock.advance(MINUTE)
    match step:
        case "skip":
            world.do(Skip(name))
        case "pause":
            world.pause(name)
        case "resume":
            world.resume(name)
        case _:
            started = [world.start(name) for _ in step]
            outcomes = [
                success(run) if end == "s" else BROKEN
                for run, end in zip(started, step, strict=True)
            ]
            pairs = zip(started, outcomes, strict=True)
            ended = together(
                world.writer, [finish(run, outcome, holder=world.holder) for run, outcome in pairs]
            )
            for each in ended:
                each.result()


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(STEPS)
def test_each_edge_notifies_once(world: World, steps: list[str]) -> None:
    number = next(NUMBERS)
    name, ops = f"t{number}", f"ops{number}"
    world.register(ops, schedule={"type": "manual"}, queue="ops")
    world.register(
        name,
        schedule={"type": "manual"},
        overlap_policy="allow",
        retry={"max_attempts": 1},
        on_failure={"task": ops, "after": AFTER, "rate": {"failed": FAILED, "of": OF}},
        on_success={"task": ops},
        on_skipped={"task": ops},
    )
    model = Model()

    for step in steps:
        do(world, name, step)
        model.take(step)

    assert types(world, ops) == model.told
