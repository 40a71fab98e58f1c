"""Lineage: which runs a run has followed from, and the chain that they are part of."""

from enum import StrEnum
from typing import NamedTuple

from rota.domain.primitives.ids import Id


class LinkKind(StrEnum):
    """How one run has led to another."""

    AFTER = "after"  # it ended, and the task of the other comes after its task
    RERUN = "rerun"  # the other repeats it
    NOTIFICATION = "notification"  # the other notifies of it
    REGISTRATION = "registration"  # it registered the task of the other, whose first run that is


class Link(NamedTuple):
    """What has led to a run: an earlier run, and how."""

    run_id: Id
    kind: LinkKind


class LinkedRun(NamedTuple):
    """A run at the other end of a link."""

    id: Id
    task: str
    kind: LinkKind


class Neighbours(NamedTuple):
    """The runs that a run has followed from, and those that have followed from it."""

    fed_by: tuple[LinkedRun, ...] = ()
    fed: tuple[LinkedRun, ...] = ()
