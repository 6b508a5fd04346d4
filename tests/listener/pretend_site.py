"""A supervisord with Gunicorns under it, of which only the listener's coordinator is real.

Pretended are the narrow objects that the coordinator is given: supervisord (with the real
mailbox in it), the process table, the clocks. Its Gunicorns do with signals what real ones
with our hooks do, and their workers say what real ones say. Nothing happens by itself: what
a process says waits in ``inbox`` until ``settle`` delivers it, one message at a time.

``log`` has what the coordinator did, in order: "exchange", "TTIN myapp", "SIGTERM 5000011",
"answer READY 5000011". Each of these is a point at which ``killed_at`` can end the listener.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from signal import Signals
from typing import Any

from pretend_program import BOOT, PIDS, SUPERVISORD_PID, Program

from supervisor_roll.listener.configuration import Configuration
from supervisor_roll.listener.coordinator import Coordinator
from supervisor_roll.listener.process_table import Child
from supervisor_roll.listener.readiness_socket import Datagram
from supervisor_roll.listener.supervisord import ProcessInfo, Unreachable
from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rpc.mailbox import Mailbox
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.datagram import READY, Message, encode
from supervisor_roll.wire.succession import Reread

EPOCH = 1_800_000_000.0


class Killed(BaseException):
    """The listener was sent SIGKILL."""


class PretendAnswer:
    """The sender's end, for one answer."""

    def __init__(self, site: Site, pid: int, message: Message) -> None:
        self._site, self.pid, self.message = site, pid, message
        self.sent: Message | None = None
        self.dropped = False

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        self._site.point(f"answer {self.message.kind} {self.pid}")
        self.sent = message

    def drop(self) -> None:
        self.dropped = True


@dataclass
class Process:
    id: InstanceId
    parent: int
    command_line: str


class PretendTable:
    """The process table, and the signals that are sent without supervisord."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.processes: dict[int, Process] = {}
        self.watched: set[InstanceId] = set()
        self.forbidden = False

    def identity(self, pid: int) -> InstanceId | None:
        process = self.processes.get(pid)
        return process and process.id

    def child(self, pid: int) -> Child | None:
        process = self.processes.get(pid)
        parent = self.identity(process.parent) if process else None
        return Child(process.id, parent) if process and parent else None

    def children(self, instance: InstanceId) -> list[InstanceId]:
        return [one.id for one in self.processes.values() if one.parent == instance.pid]

    def alive(self, instance: InstanceId) -> bool:
        return self.identity(instance.pid) == instance

    def descendants_titled(self, instance: InstanceId, word: str) -> list[int]:
        return [one.pid for one in self.children(instance)
                if word in self.command_line(one.pid)]

    def command_line(self, pid: int) -> str:
        process = self.processes.get(pid)
        return process.command_line if process else ""

    def watch(self, instance: InstanceId) -> bool:
        if self.alive(instance):
            self.watched.add(instance)
        return self.alive(instance)

    def unwatch(self, instance: InstanceId) -> None:
        self.watched.discard(instance)

    def send(self, instance: InstanceId, signum: Signals) -> None:
        if self.forbidden:
            raise PermissionError
        self._site.point(f"{signum.name} {instance.pid}",
                         lambda: self.alive(instance) and self._site.struck(instance.pid, signum))


class PretendSupervisord:
    """supervisord's side: the mailbox is the real one."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.mailbox = Mailbox()
        self.infos: list[ProcessInfo] = []
        self.unreachable = self.refuses_signals = False
        self.received: list[wire.Exchange] = []

    def exchange(self, text: str) -> str:
        self._check()
        said = wire.decode_exchange(text)
        deliveries: list[wire.Delivery] = []

        def put() -> None:
            self.received.append(said)
            deliveries.append(
                self.mailbox.exchange(said, self._site.now, EPOCH + self._site.now))

        self._site.point("exchange", put)
        return wire.encode(deliveries[0])

    def signal(self, namespec: str, name: str) -> None:
        self._check()
        if self.refuses_signals:
            raise Unreachable(f"supervisord refused {name}")
        self._site.point(f"{name} {namespec}", lambda: self._site.programs[namespec].signal(name))

    def reread(self) -> Reread:
        self._check()
        return Reread()

    def processes(self) -> list[ProcessInfo]:
        self._check()
        return list(self.infos)

    def _check(self) -> None:
        if self.unreachable:
            raise Unreachable("supervisord does not answer")


class PretendSides:
    """What runs beside the rollouts: these sites have nothing there."""

    def drop(self, namespec: str) -> None:
        pass

    def poll(self) -> list[tuple[str, Any]]:
        return []

    def next_deadline(self) -> float | None:
        return None


class Site:
    """All of it. ``now`` is the monotonic clock, in seconds."""

    def __init__(self, **sections: Mapping[str, str]) -> None:
        """``sections`` are [roll:NAME] sections."""
        self.now = 1000.0
        self.log: list[str] = []
        self.inbox: deque[Callable[[], None]] = deque()
        self.answers: list[PretendAnswer] = []
        self.programs: dict[str, Program] = {}
        self.bad: dict[str, BadSetting] = {}
        self.settings = {name: Settings.parsed(values) for name, values in sections.items()}
        self.supervisord = PretendSupervisord(self)
        self.table = PretendTable(self)
        self.sides = PretendSides()
        self.fork(SUPERVISORD_PID, 0, "supervisord")
        self.killed_at = -1
        self.points = 0
        self.least_serving: dict[str, int] = {}
        self.most_staying: dict[str, int] = {}
        self.coordinator = self.make_coordinator()

    def make_coordinator(self) -> Coordinator:
        supervisord: Any = self.supervisord
        table: Any = self.table
        sides: Any = self.sides
        return Coordinator(PIDS + 99, supervisord, table, self._configuration, sides,
                           lambda: self.now, lambda: EPOCH + self.now)

    def start(self, namespec: str, workers: int = 2, pid: int = PIDS + 10,
              boots: Callable[[int], Iterable[str | None]] = lambda age: BOOT,
              **facts: str) -> Program:
        """A Gunicorn that supervisord has just started, with its first workers."""
        program = self.programs[namespec] = Program(self, namespec, pid, facts)
        program.boots = boots
        self.supervisord.infos.append(ProcessInfo(namespec, pid, "RUNNING"))
        program.num_workers, program.changes = workers, 1
        for _ in range(workers):
            program.fork()
        return program

    def start_other(self, namespec: str, pid: int, command_line: str,
                    below: str = "") -> None:
        """A program that is none of ours, perhaps with a child."""
        self.fork(pid, SUPERVISORD_PID, command_line)
        if below:
            self.fork(pid + 1, pid, below)
        self.supervisord.infos.append(ProcessInfo(namespec, pid, "RUNNING"))

    # --- the operator --------------------------------------------------------------------------

    def ask(self, *programs: str, kind: str = wire.ROLLOUT, wildcard: bool = False,
            **values: str) -> str:
        """Put a request into the mailbox, ring, and let all happen that follows; its id."""
        request = self.supervisord.mailbox.put(
            wire.Ask(kind, list(programs), values, "the operator"), list(programs), wildcard,
            self.now, EPOCH + self.now)
        self.coordinator.rung(processes_changed=False)
        self.settle()
        return request.id

    def reports(self, job: str) -> list[tuple[str, str]]:
        """The job's reports so far: program and kind."""
        return [(one.program, one.kind) for one in self.found(job)[0]]

    def facts(self, job: str, kind: str) -> dict[str, Any]:
        """The facts of the job's last report of that kind."""
        return [one.facts for one in self.found(job)[0] if one.kind == kind][-1]

    def is_done(self, job: str) -> bool:
        return self.found(job)[1]

    def found(self, job: str) -> tuple[list[wire.Report], bool]:
        found = self.supervisord.mailbox.reports(job, 0)
        assert found is not None
        return found

    # --- time, and what happens in it ----------------------------------------------------------

    def settle(self) -> None:
        """Pump, and deliver what is said, until nothing more is. A killed listener is restarted."""
        while True:
            try:
                self.coordinator.pump()
                self._observe()
                if not self.inbox:
                    return
                self.inbox.popleft()()
                self._observe()
            except Killed:
                self.restart()

    def pass_time(self, secs: float) -> None:
        """Let time pass, from deadline to deadline, and all happen that is due."""
        until = self.now + secs
        while True:
            deadline = self.coordinator.next_deadline()
            if deadline is None or deadline > until:
                break
            self.now = max(self.now, deadline)
            self.settle()
        self.now = until
        self.settle()

    def restart(self) -> None:
        """A new listener, as supervisord starts one. Who was not answered says it again."""
        self.killed_at = -1
        unanswered = [one for one in self.answers if one.sent is None and not one.dropped]
        self.answers = [one for one in self.answers if one not in unanswered]
        self.table.watched.clear()
        self.coordinator = self.make_coordinator()
        self.coordinator.restore()
        for one in unanswered:
            self.say(one.pid, one.message, answered=True)

    def point(self, what: str, effect: Callable[[], Any] = lambda: None) -> None:
        """The coordinator does something that is seen from outside, unless it is killed before
        or right after."""
        before, after = self.points, self.points + 1
        self.points += 2
        if self.killed_at == before:
            raise Killed
        self.log.append(what)
        effect()
        if self.killed_at == after:
            raise Killed

    # --- processes -----------------------------------------------------------------------------

    def fork(self, pid: int, parent: int, command_line: str) -> InstanceId:
        self.now += 0.001
        instance = InstanceId(pid, EPOCH + self.now)
        self.table.processes[pid] = Process(instance, parent, command_line)
        return instance

    def die(self, pid: int) -> None:
        instance = self.table.processes.pop(pid).id
        if instance in self.table.watched:
            self.table.watched.discard(instance)
            self.coordinator.exited(instance)

    def say(self, pid: int, message: Message, answered: bool) -> None:
        self.inbox.append(lambda: self.hear(pid, message, answered))

    def hear(self, pid: int, message: Message, answered: bool = True) -> PretendAnswer | None:
        """The coordinator gets the message now, unless its sender has gone meanwhile."""
        if pid not in self.table.processes:
            return None
        for program in self.programs.values():
            if pid in program.workers and message.kind == READY:
                program.workers[pid].ready = True
        answer = PretendAnswer(self, pid, message) if answered else None
        if answer is not None:
            self.answers.append(answer)
        given: Any = answer
        self.coordinator.heard(Datagram(pid, encode(message), given))
        return answer

    def struck(self, pid: int, signum: Signals) -> None:
        program = next(one for one in self.programs.values() if pid in one.workers)
        if signum == Signals.SIGTERM:
            program.drain(program.workers[pid])
        else:
            self.inbox.append(lambda: program.exit(pid))

    @property
    def signals(self) -> list[str]:
        return [one for one in self.log if one != "exchange" and not one.startswith("answer")]

    def _configuration(self) -> Configuration:
        return Configuration("/etc/supervisord.conf", self.settings, self.bad,
                             {name: name for name in self.programs}, ())

    def _observe(self) -> None:
        for name, program in self.programs.items():
            staying = sum(not one.draining for one in program.workers.values())
            self.least_serving[name] = min(
                self.least_serving.get(name, 10**6), len(program.serving))
            self.most_staying[name] = max(self.most_staying.get(name, 0), staying)

    def forget_observations(self) -> None:
        self.least_serving, self.most_staying = {}, {}
        self._observe()


def site_with(**programs: int) -> Site:
    """A site with a Gunicorn of that many workers for each name, all ready."""
    site = Site()
    for number, (name, workers) in enumerate(programs.items(), start=1):
        site.start(name, workers, pid=PIDS + 100 * number)
    site.settle()
    site.forget_observations()
    site.log.clear()
    return site


def ready_site(workers: int = 2, **sections: dict[str, str]) -> tuple[Site, Program]:
    site = Site(**sections)
    program = site.start("myapp", workers)
    site.settle()
    site.forget_observations()
    site.log.clear()
    site.points = 0
    return site, program


def saved(site: Site) -> dict[str, object]:
    """What a listener that started now would be given."""
    return json.loads(site.supervisord.mailbox.state)  # type: ignore[no-any-return]
