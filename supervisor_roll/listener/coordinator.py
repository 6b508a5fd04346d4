"""The coordinator: what the listener makes of what it hears.

It has no loop and no descriptors. The loop (``__main__``) tells it what came in, and then
calls ``pump``, which first saves all that is known into supervisord's mailbox, only then
acts, and last answers the workers: whatever was acted on or acknowledged is known to a
listener that starts after this one was killed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from supervisor_roll.listener.actions import Actions
from supervisor_roll.listener.arbiters.registry import ArbiterRegistry
from supervisor_roll.listener.arbiters.releases import Releases
from supervisor_roll.listener.configuration.sections import Configuration
from supervisor_roll.listener.configuration.watched import LastLook
from supervisor_roll.listener.edges.clock import SteadyClock
from supervisor_roll.listener.edges.process_table import ProcessTable
from supervisor_roll.listener.edges.received import Datagram
from supervisor_roll.listener.edges.seldom import Seldom
from supervisor_roll.listener.edges.socket_store import HeldSockets
from supervisor_roll.listener.edges.supervisord import Supervisord, SupervisordError
from supervisor_roll.listener.exchanges import Exchanges
from supervisor_roll.listener.history import History
from supervisor_roll.listener.in_service.answer import agent_answer
from supervisor_roll.listener.in_service.drains import Drains
from supervisor_roll.listener.messages import MessageHandler
from supervisor_roll.listener.outbox import Outbox
from supervisor_roll.listener.page.page import Page
from supervisor_roll.listener.reconcile.executor import OperationExecutor
from supervisor_roll.listener.reconcile.reconciler import Watched
from supervisor_roll.listener.recycling.recycler import Recycler
from supervisor_roll.listener.rollouts.active import ActiveRollouts
from supervisor_roll.listener.rollouts.jobs import Jobs
from supervisor_roll.listener.rollouts.preflight import Preflights
from supervisor_roll.listener.rollouts.rollback import Rollback
from supervisor_roll.listener.rollouts.socket_keeper import SocketKeeper
from supervisor_roll.listener.rollouts.start import RolloutStarter
from supervisor_roll.listener.rollouts.succession import SuccessorControl
from supervisor_roll.listener.saved_state import SavedState
from supervisor_roll.listener.side_processes.process import NotPossible
from supervisor_roll.listener.side_processes.side_processes import SideProcesses
from supervisor_roll.listener.watching import Watching
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.errors import RollError
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.wire.datagram import decode
from supervisor_roll.wire.mailbox import DRAIN, HISTORY, READY, RECYCLE, UPDATE, Request
from supervisor_roll.wire.program import Program

log = logging.getLogger("supervisor_roll")

RETRY_SECS = 1.0


class Coordinator:
    """All that the listener knows and wants. ``clock`` is monotonic, ``wall`` epoch seconds.

    Time in which nobody looked does not pass for it (SteadyClock).
    """

    def __init__(
        self,
        pid: int,
        supervisord: Supervisord,
        table: ProcessTable,
        configuration: Callable[[], Configuration],
        sides: SideProcesses,
        clock: Callable[[], float],
        wall: Callable[[], float],
        serve: Callable[[list[int]], None] = lambda uids: None,
        barrier: Callable[[int], str] = lambda pid: "",
        history: str = "",
        folder: str = "",
        drain_sides: SideProcesses | None = None,
    ) -> None:
        """Take the parts that are passed in; ``configuration`` raises BadConfiguration.

        ``serve`` lets these users' processes write to us too; ``barrier`` says why a process
        cannot. ``history`` is the path of the file of rollouts that have ended.
        ``folder`` is the listener's own, which every worker may look into; ``drain_sides`` are for
        what runs beside that is of no rollout.
        """
        self.pid = pid
        self.supervisord, self.table = supervisord, table
        self.clock = SteadyClock(clock)
        configuration = LastLook(configuration, self.clock)
        self.configuration = configuration.lately
        self.outbox = Outbox(wall)
        self.registry = ArbiterRegistry(pid, supervisord, table, self.clock, barrier)
        self.active = active = ActiveRollouts(self.outbox, self.registry, self.clock)
        self.keeper = SocketKeeper(active)
        self._successors = SuccessorControl(active, supervisord)
        preflights = Preflights(supervisord, self.registry, self.clock)
        releases = Releases(sides, self._program)
        self.jobs = Jobs(
            active,
            RolloutStarter(active, supervisord, self.keeper, preflights, configuration),
            self._successors,
            Rollback(active, sides, self._program),
            preflights,
            sides,
            releases,
        )
        self._actions = Actions(active, self._successors, supervisord)
        self._updates = OperationExecutor(self.jobs, active, supervisord, configuration)
        self._recycler = Recycler(self.jobs, active, configuration.lately)
        self._drains = Drains(active, drain_sides or sides, configuration, folder)
        self._messages = MessageHandler(
            self.outbox,
            self.registry,
            table,
            active,
            self.keeper,
            releases,
            self._recycler,
            configuration.lately,
            serve,
            self._drains.marker,
        )
        self._saved = SavedState(
            active,
            self.jobs,
            self._updates.reconciler,
            self._recycler,
            self._drains,
            configuration,
            self.clock,
        )
        self._history = History(history, active, supervisord)
        self._exchanges = Exchanges(
            pid,
            supervisord,
            self._saved,
            active,
            self.jobs,
            self._recycler,
            self._history,
            self._drains,
        )
        self._watching = Watching(self._exchanges, active, self.jobs.statuses, self.clock)
        self._page = Page(self._exchanges, active, self.jobs.statuses, self._history, self.clock)
        self._unusable = Seldom()
        self._sides = sides
        self._rung = True
        self._retry_at: float | None = None

    # --- what came in -----------------------------------------------------------------------

    def restore(self, held: Sequence[HeldSockets] = ()) -> None:
        """Take up what an earlier listener left in the mailbox, and the sockets that it held.

        Raises SupervisordError; it may be called again then.
        """
        delivery = self._exchanges.hello()
        runs = self._saved.restore(delivery.state)
        self._drains.restored()
        # A job that the saved state does not tell of will never go on: let go who waits for it.
        known = {*(run.job.id for run in runs), *self.jobs.waiting}
        self.outbox.done += set(delivery.jobs) - known
        for run in runs:
            log.info("%s: carrying on the rollout that %s asked for", run.namespec, run.job.by)
            self.active.adopt(run)
        for run in runs:
            self.jobs.restored(run)
        for one in held:
            self.keeper.store.put(one.arbiter, one.namespec, one.sockets)
            if one.arbiter not in self.registry.arbiters:
                self.keeper.store.drop(one.arbiter)
        for arbiter in list(self.registry.arbiters.values()):
            for instance in [*arbiter.workers, arbiter.id]:
                if not self.table.watch(instance):
                    self.exited(instance)
        for arbiter in self.registry.arbiters.values():
            self.keeper.recover_sockets(arbiter)  # its sockets were lost with that listener

    def troubled(self, trouble: str) -> None:
        """Note what is wrong with the listener itself, for rollstatus to say; empty: nothing."""
        self._rung = self._rung or trouble != self._exchanges.trouble
        self._exchanges.trouble = trouble

    def rung(self) -> None:
        """Note that there are requests in the mailbox."""
        self._rung = True

    def processes_changed(self) -> None:
        """Note that supervisord has told of one of its processes."""
        self.registry.stale()

    def receive(self, datagram: Datagram) -> None:
        """Take what a hook wrote; drop it if it is not from a supervised arbiter or its child."""
        answer, fds = None, list[int]()
        try:
            message = decode(datagram.data)
            answer, fds = self._messages.receive(datagram, message)
        except RollError as error:
            self._unusable.warn(
                "a message from pid %d was not used: %s", datagram.sender.pid, error
            )
        except BaseException:
            if datagram.answer is not None:
                datagram.answer.drop()
            raise
        finally:
            datagram.close()
        if datagram.answer is not None:
            if answer is None:
                datagram.answer.drop()
            else:
                self.outbox.answers.append((datagram.answer, answer, fds))
        else:
            datagram.descriptors.came(len(fds))
            datagram.descriptors.close(fds)

    def exited(self, instance: InstanceId) -> None:
        """Take note that a watched process has ended."""
        how = self.table.how_ended(instance)
        self.active.left(instance)
        arbiter, itself, why = self.registry.exited(instance)
        if arbiter is None:
            return
        self.outbox.unsaved.add(arbiter.namespec)
        self.active.process_gone(arbiter.namespec, instance)
        if itself:
            self.registry.stale()
            self.keeper.exited(arbiter)
            if arbiter.successor:
                self._successors.exited(arbiter)
                return
            self.active.feed(
                arbiter,
                ev.ArbiterExited(
                    f"the arbiter (pid {instance.pid}) exited: it halted, was killed or stopped; "
                    f"{self.registry.log_of(arbiter.namespec)} may say more",
                    self.active.whose(arbiter),
                ),
            )
        else:
            self.active.feed(arbiter, ev.Exited(instance, why or how))

    def next_deadline(self) -> float | None:
        """When ``pump`` is due at the latest, on the clock; None if only when something comes."""
        deadlines = [
            self.jobs.next_deadline(),
            self.keeper.next_deadline(),
            self._updates.next_deadline(),
            self._recycler.next_deadline(),
            self._watching.next_deadline(),
            self._drains.next_deadline(),
            self._page.next_deadline(),
            self._exchanges.next_deadline(),
        ]
        if self._retry_at is not None:
            deadlines = [self._retry_at]
        due = min((one for one in deadlines if one is not None), default=None)
        return due and self.clock.outside(due)

    def agent_answer(self, namespecs: list[str]) -> str:
        """Return what a load balancer is told of these processes of one program."""
        return agent_answer(self.active, namespecs, self._drains.drained)

    def watched_at_rest(self) -> Watched | None:
        """Return what is watched, if nothing is under way and nothing is yet to be said.

        Then all is saved: a listener that starts anew knows what this one does.
        """
        if self._is_busy:
            return None
        self.outbox.unsaved |= self._saved.programs
        self.pump()
        return None if self._is_busy else self._updates.watched_at_rest()

    @property
    def _is_busy(self) -> bool:
        return bool(
            self._rung
            or self._retry_at is not None
            or self.outbox.full
            or self.outbox.answers
            or self.active.runs
            or self.jobs.waiting
            or self._recycler.has_due
            or self._sides.running
            or self._drains.busy
            or self.jobs.next_deadline() is not None
            or self.keeper.next_deadline() is not None
            or self._recycler.next_deadline() is not None
            or self._watching.next_deadline() is not None
            or self._page.next_deadline() is not None
            or self._exchanges.next_deadline() is not None
            or self.keeper.store.closing
        )

    # --- pump ---------------------------------------------------------------------------------

    def pump(self) -> None:
        """Let time pass, save, act, answer, until nothing is left to do now."""
        if self._retry_at is not None and self.clock() < self._retry_at:
            return
        self._retry_at = None
        try:
            self._look_at_states()
            self.keeper.tick()
            self.jobs.tick()
            self._recycler.tick()
            self._updates.tick()
            self._drains.tick()

            show_at = self._exchanges.next_deadline()
            self._rung = self._rung or (show_at is not None and show_at <= self.clock())
            while self._rung or self.outbox.full:
                self._actions.leave_signals()
                requests = self._exchanges.make()
                self._rung = False
                self._actions.run()
                self.jobs.settle()
                for request in requests:
                    self._accept(request)
                self._updates.note()
                self._drains.tick()
        except SupervisordError as error:
            log.warning("will try again: %s", error)
            self._retry_at = self.clock() + RETRY_SECS
            self._rung = True  # what was fetched with it may have been lost
            return
        while self.outbox.answers:
            answer, message, fds = self.outbox.answers.pop(0)
            answer.send(message, fds)
        if self._history.tick():
            self.pump()
        self._watching.tick()
        self._page.tick()

    def _look_at_states(self) -> None:
        """Let no rollout, and no sockets, outlive a program that was stopped on purpose."""
        rolled = [run for run in self.active.runs.values() if run.rolling]
        if self.registry.is_stale and (rolled or self.keeper.store.programs):
            states = self.registry.states()
            for run in rolled:
                self.active.state_changed(run, states.get(run.namespec, "UNKNOWN"))
            self.keeper.states_changed(states)

    def _accept(self, request: Request) -> None:
        """Begin with a request. Raises SupervisordError; it stays in the mailbox then."""
        if request.kind == UPDATE:
            self._updates.update(request)
        elif request.kind == RECYCLE:
            self._recycler.accept(request)
        elif request.kind in (DRAIN, READY):
            self._drains.accept(request)
        elif request.kind == HISTORY:
            self._history.asked(request)
        else:
            self.jobs.accept(request)
        self.outbox.fetched.append(request.id)

    def _program(self, namespec: str) -> Program:
        try:
            return self.supervisord.program(namespec)
        except SupervisordError as error:
            raise NotPossible(str(error)) from error
