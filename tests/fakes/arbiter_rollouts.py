"""What the tests of the strategy ``arbiter`` look at in a fake site."""

from __future__ import annotations

import os

from supervisor_roll.listener.edges.socket_store import SocketStore, StoredSocket
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.reports import Arrived, Began, Complete, Promoted, Succeeded
from supervisor_roll.wire.messages import Ack, Message
from tests.fakes.site import PIDS, Site

BIND, UNIX = "127.0.0.1:8000", "unix:/run/myapp.sock"
# What is told of the rollout of an arbiter with two workers.
_REPORTS = [Began, Succeeded, Arrived, Arrived, Promoted, Complete]
ALL_OF_IT = [report.kind for report in _REPORTS]
OLD, NEW = PIDS + 10, PIDS + 1000  # the arbiters' pids


def kinds(site: Site, job: str) -> list[str]:
    return [kind for _, kind in site.reports(job)]


def why(site: Site, job: str) -> str:
    """What a rollout that ended so tells at its end."""
    text: str = site.found(job)[0][-1].facts["why"]
    return text


def what_it_is(fd: int) -> int:
    return os.fstat(fd).st_ino


def answer_to(site: Site, kind: type[Message], pid: int) -> Ack:
    found = [one for one in site.answers if (type(one.message), one.pid) == (kind, pid)]
    assert found[-1].sent is not None
    return found[-1].sent


def assert_old_one_serves(site: Site) -> None:
    """Nothing but the arbiter that served before is there, as it was."""
    program = site.programs["myapp"]
    assert program.id.pid == OLD
    assert program.serving == [1, 2]
    assert program.num_workers == 2
    assert site.least_serving["myapp"] == 2
    assert [(one.namespec, one.pid) for one in site.supervisord.infos] == [("myapp", OLD)]
    assert store_of(site).has(program.id)
    assert store_of(site).for_another(program.id, "myapp") == []
    assert site.coordinator.next_deadline() is None


def store_of(site: Site) -> SocketStore:
    return site.coordinator.keeper.store


def kept(site: Site) -> list[StoredSocket]:
    """What a newly started arbiter of myapp would be given."""
    return store_of(site).for_another(InstanceId(0, 0), "myapp")
