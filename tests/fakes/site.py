"""A supervisord with Gunicorns under it, of which only the listener's coordinator is real.

Fake are the narrow objects that the coordinator is given: supervisord (with the real
mailbox in it), the process table, the clocks. Its Gunicorns do with signals what real ones
with our hooks do, and their workers say what real ones say. Nothing happens by itself: what
a process says waits in ``inbox`` until ``settle`` delivers it, one message at a time.

``log`` has what the coordinator did, in order: "exchange", "TTIN myapp", "SIGTERM 5000011",
"answer READY 5000011". Before and after each of these is a point at which ``killed_at`` can end
the listener; with ``killed_again_after`` each further one ends after so many points.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from signal import Signals
from typing import Any

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.configuration.sections import BadConfiguration, Configuration
from supervisor_roll.listener.coordinator import Coordinator
from supervisor_roll.listener.edges.received import Datagram
from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json
from supervisor_roll.wire.datagram import encode
from supervisor_roll.wire.messages import FROM_ARBITERS, Counted, Listening, Message, Ready
from supervisor_roll.wire.successor import program_of, successor_of
from tests.fakes.answer import FakeAnswer
from tests.fakes.process_table import TICKS, FakeSides, FakeTable, Process
from tests.fakes.program import BOOT, PIDS, SUPERVISORD_PID, Program, close
from tests.fakes.supervisord import EPOCH, FakeSupervisord

LISTENER_PID = PIDS + 99

__all__ = [
    "BOOT",
    "EPOCH",
    "PIDS",
    "Killed",
    "Program",
    "Site",
    "ready_site",
    "save",
    "saved",
    "site_with",
]


class Killed(BaseException):
    """The listener was sent SIGKILL."""


class Site:
    """All of it. ``now`` is the monotonic clock, in seconds."""

    def __init__(self, **sections: Mapping[str, str]) -> None:
        """``sections`` are [roll:NAME] sections."""
        self.now = 1000.0
        self.log: list[str] = []
        self.inbox: deque[Callable[[], None]] = deque()
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.answers: list[FakeAnswer] = []
        self.programs: dict[str, Program] = {}
        self.bad: dict[str, BadSetting] = {}
        self.invalid: BadConfiguration | None = None
        self.path = "/etc/supervisord.conf"
        self.read: Configuration | None = None  # last; None: a file has changed since
        self.parallel: int | BadSetting = 1  # of [roll]
        self.configures: dict[str, str] = {}  # its processes, if not those that run
        self.settings = {name: Settings.parsed(values) for name, values in sections.items()}
        self.supervisord = FakeSupervisord(self)
        self.table = FakeTable(self)
        self.sides = FakeSides()
        self.drain_sides = FakeSides()
        self.folder = ""  # where the files are that workers look for
        self.fork(SUPERVISORD_PID, 0, "supervisord")
        self.fork(LISTENER_PID, SUPERVISORD_PID, "listener")
        self.successor: Callable[[Program], None] = lambda program: None
        self.successors = 0
        self.configured: dict[str, int] = {}  # how many workers a successor is to have
        self.killed_at = self.killed_again_after = -1
        self.points = 0
        self.exits: list[int] = []  # the pids of all that has gone
        self.deaf = False  # whether what processes say is lost
        self.least_serving: dict[str, int] = {}
        self.most_staying: dict[str, int] = {}
        self.history = ""  # the path of its file; "": there is none
        self.coordinator = self.make_coordinator()

    def make_coordinator(self) -> Coordinator:
        supervisord: Any = self.supervisord
        table: Any = self.table
        sides: Any = self.sides
        drain_sides: Any = self.drain_sides
        return Coordinator(
            LISTENER_PID,
            supervisord,
            table,
            self._configuration,
            sides,
            lambda: self.now,
            lambda: EPOCH + self.now,
            history=self.history,
            folder=self.folder,
            drain_sides=drain_sides,
        )

    def start(
        self,
        namespec: str,
        workers: int = 2,
        pid: int = PIDS + 10,
        boots: Callable[[int], Iterable[str | None]] = lambda age: BOOT,
        binds: Sequence[str] = (),
        **facts: Any,
    ) -> Program:
        """A Gunicorn that supervisord has just started, with its first workers."""
        program = self.programs[namespec] = Program(self, namespec, pid, facts, binds)
        program.boots = boots
        self.supervisord.put(namespec, pid, "RUNNING")
        program.begin(workers)
        return program

    def start_beside(self, namespec: str) -> Program:
        """A successor of it, which has not begun."""
        old = self.programs[namespec]
        self.successors += 1
        program = self.programs[successor_of(namespec)] = Program(
            self, namespec, PIDS + 1000 * self.successors, {}, old.binds
        )
        program.is_successor = True
        self.supervisord.put(successor_of(namespec), program.id.pid, "STARTING")
        return program

    def start_other(self, namespec: str, pid: int, command_line: str, below: str = "") -> None:
        """A program that is none of ours, perhaps with a child."""
        self.fork(pid, SUPERVISORD_PID, command_line)
        if below:
            self.fork(pid + 1, pid, below)
        self.supervisord.put(namespec, pid, "RUNNING")

    # --- the operator --------------------------------------------------------------------------

    def ask(
        self,
        *programs: str,
        kind: str = wire.ROLLOUT,
        wildcard: bool = False,
        parallel: int | None = None,
        pids: Sequence[int] = (),
        by: str = "the operator",
        last: int = 0,
        **values: str,
    ) -> str:
        """Put a request into the mailbox, ring, and let all happen that follows; its id."""
        request = self.supervisord.mailbox.put(
            wire.Command(kind, list(programs), values, by, parallel, list(pids), last),
            list(programs),
            wildcard,
            self.now,
            EPOCH + self.now,
        )
        self.coordinator.rung()
        self.settle()
        return request.id

    def reports(self, job: str) -> list[tuple[str, str]]:
        """The job's reports so far: program and kind."""
        return [(one.program, one.kind) for one in self.found(job)[0]]

    def facts(self, job: str, kind: str) -> dict[str, Any]:
        """The facts of the job's last report of that kind."""
        return [one.facts for one in self.found(job)[0] if one.kind == kind][-1]

    def check_facts(self, job: str, kind: str, **expected: Any) -> None:
        """These are among the facts of the job's last report of that kind."""
        found = self.facts(job, kind)
        assert {name: found[name] for name in expected} == expected

    def is_done(self, job: str) -> bool:
        return self.found(job)[1]

    def found(self, job: str) -> tuple[list[wire.Report], bool]:
        """All of a job's reports, as who follows it reads them, and whether it is done."""
        reports: list[wire.Report] = []
        while True:
            since = reports[-1].seq if reports else 0
            found = self.supervisord.mailbox.reports(job, since, self.now)
            reports += [from_json(wire.Report, text) for text in found[0]]
            if not found[0] or found[1]:
                return reports, found[1]

    def arbiter(self, program: Program) -> Arbiter:
        """What is known of it."""
        found = self.coordinator.registry.arbiter(program.id)
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
                self._restart_at_last()

    def pass_time(self, secs: float) -> None:
        """Let time pass, from deadline to deadline, and all happen that is due."""
        until = self.now + secs
        while True:
            deadlines = [when for when, _ in self.timers]
            deadline = self.coordinator.next_deadline()
            deadlines += [] if deadline is None else [deadline]
            if not deadlines or min(deadlines) > until:
                break
            self.now = max(self.now, min(deadlines))
            due = [effect for when, effect in self.timers if when <= self.now]
            self.timers = [(when, effect) for when, effect in self.timers if when > self.now]
            self.inbox.extend(due)
            self.settle()
        self.now = until
        self.settle()

    def after(self, secs: float, effect: Callable[[], None]) -> None:
        self.timers.append((self.now + secs, effect))

    def restart(self) -> None:
        """A new listener, as supervisord starts one. A worker without an answer says it again."""
        self.killed_at = (
            -1 if self.killed_again_after < 0 else (self.points + self.killed_again_after)
        )
        unanswered = [one for one in self.answers if one.sent is None and not one.dropped]
        self.answers = [one for one in self.answers if one not in unanswered]
        self.table.watched.clear()
        self.close_listener()
        self.coordinator = self.make_coordinator()
        for one in unanswered:
            if isinstance(one.message, (*FROM_ARBITERS, Counted, Listening)):
                self.answered(one, None, [])
            else:
                self.say(one.pid, one.message, answered=True)
        self.coordinator.restore()

    def _restart_at_last(self) -> None:
        while True:
            try:
                return self.restart()
            except Killed:
                continue

    def close_listener(self) -> None:
        """Close what a listener that is gone had open."""
        store = self.coordinator.keeper.store
        for namespec in store.programs:
            store.release(namespec)
        for _, _, fds in self.coordinator.outbox.answers:
            close(fds)
        self.coordinator.outbox.answers.clear()

    def close(self) -> None:
        """Close all that is open here."""
        self.close_listener()
        for program in self.programs.values():
            program.close()

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

    def fork(
        self, pid: int, parent: int, command_line: str, marked: bool | None = False
    ) -> InstanceId:
        self.now += 0.001
        instance = InstanceId(pid, round(self.now * TICKS))
        self.table.processes[pid] = Process(instance, parent, command_line, marked)
        return instance

    def die(self, pid: int) -> None:
        process = self.table.processes.pop(pid, None)  # it may be a zombie already
        self.exits.append(pid)
        if process is not None and process.id in self.table.watched:
            self.table.watched.discard(process.id)
            self.coordinator.exited(process.id)

    def say(self, pid: int, message: Message, answered: bool, fds: Sequence[int] = ()) -> None:
        self.inbox.append(lambda: self.hear(pid, message, answered, fds))

    def hear(
        self, pid: int, message: Message, answered: bool = True, fds: Sequence[int] = ()
    ) -> FakeAnswer | None:
        """The coordinator gets the message now, unless its sender has gone meanwhile."""
        if pid not in self.table.processes or self.deaf:
            return None
        for program in self.programs.values():
            if pid in program.workers and isinstance(message, Ready):
                program.workers[pid].ready = True
        answer = FakeAnswer(self, pid, message) if answered else None
        if answer is not None:
            self.answers.append(answer)
        given: Any = answer
        sender = self.table.processes[pid].id
        self.coordinator.receive(
            Datagram(sender, encode(message), given, [os.dup(fd) for fd in fds])
        )
        return answer

    def ignores(self, pid: int, message: Message, fds: Sequence[int] = ()) -> bool:
        """Whether its message gets no answer."""
        answer = self.hear(pid, message, fds=fds)
        return answer.dropped

    def answered(self, answer: FakeAnswer, message: Message | None, fds: list[int]) -> None:
        """An answer has come, with these descriptors, or will never come (None)."""
        for program in list(self.programs.values()):
            if answer.pid == program.id.pid or answer.pid in program.workers:
                program.answered(answer.pid, type(answer.message), message, fds)
                return
        close(fds)

    def struck(self, pid: int, signum: Signals) -> None:
        program = next(one for one in self.programs.values() if pid in one.workers)
        if signum == Signals.SIGTERM:
            program.drain(program.workers[pid])
        elif signum == Signals.SIGURG:
            program.due(program.workers[pid].born, "")
        else:
            self.inbox.append(lambda: program.exit(pid))

    @property
    def signals(self) -> list[str]:
        return [one for one in self.log if one != "exchange" and not one.startswith("answer")]

    def _configuration(self) -> Configuration:
        if isinstance(self.invalid, BadConfiguration):
            raise self.invalid
        now = Configuration(
            self.path,
            self.settings,
            self.bad,
            self.configures or {name: name for name in self.programs if program_of(name) == name},
            (self.path,),
            of_all=self.parallel,
        )
        if now != self.read:
            self.read = now
        return self.read

    def _observe(self) -> None:
        serving: dict[str, int] = {}
        staying: dict[str, int] = {}
        for key, program in self.programs.items():
            name = program_of(key)
            serving[name] = serving.get(name, 0) + len(program.serving)
            staying[name] = staying.get(name, 0) + sum(
                not one.draining for one in program.workers.values()
            )
        for name in serving:
            self.least_serving[name] = min(self.least_serving.get(name, 10**6), serving[name])
            self.most_staying[name] = max(self.most_staying.get(name, 0), staying[name])

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


def ready_site(
    workers: int = 2,
    binds: Sequence[str] = (),
    later: Iterable[str | None] = BOOT,
    **sections: dict[str, str],
) -> tuple[Site, Program]:
    """A site whose program has so many ready workers; ``later`` ones are to say this."""
    site = Site(**sections)
    program = site.start("myapp", workers, binds=binds)
    site.settle()
    site.forget_observations()
    site.log.clear()
    site.points = 0
    program.boots = lambda age: later
    return site, program


def saved(site: Site, program: str = "myapp") -> dict[str, Any]:
    """What a listener that started now would be given of the program, by part."""
    parts = site.supervisord.mailbox.state.get(program, {})
    return {part: json.loads(text) for part, text in parts.items()}


def save(site: Site, parts: Mapping[str, Any], program: str = "myapp") -> None:
    """Let a listener that starts now be given that."""
    texts = {part: json.dumps(one) for part, one in parts.items()}
    site.supervisord.mailbox.state[program] = texts
