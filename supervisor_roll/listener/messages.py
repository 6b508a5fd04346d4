"""What hooks say, and what they are answered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from supervisor_roll.listener.arbiters.arbiter import Arbiter, Worker, cut
from supervisor_roll.listener.arbiters.registry import ArbiterRegistry
from supervisor_roll.listener.arbiters.releases import Releases
from supervisor_roll.listener.configuration.sections import BadConfiguration, Configuration
from supervisor_roll.listener.edges.process_table import ProcessTable
from supervisor_roll.listener.edges.received import Datagram
from supervisor_roll.listener.outbox import Outbox
from supervisor_roll.listener.recycling.recycler import Recycler
from supervisor_roll.listener.rollouts import deployed
from supervisor_roll.listener.rollouts.active import ActiveRollouts
from supervisor_roll.listener.rollouts.eligibility import RELOADS
from supervisor_roll.listener.rollouts.socket_keeper import SocketKeeper
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.instances import Instance
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.wire.messages import (
    Ack,
    Booting,
    Counted,
    Counting,
    Describing,
    Draining,
    Due,
    Failed,
    ForkFailed,
    FromWorker,
    Listening,
    Loaded,
    Measured,
    Message,
    Ready,
    Reloaded,
    Starting,
    Stopping,
    Unready,
)
from supervisor_roll.wire.places import decode

log = logging.getLogger("supervisor_roll")

# (uid_t) -1, to the kernel: leave it as it is.
_NO_USER = 2**32 - 1
# A worker says twice at its boot where it runs. Each path in that takes a look.
VERIFIED_SECS = 1.0


class MessageHandler:
    """Tells the knowledge and the rollouts of each message."""

    def __init__(
        self,
        outbox: Outbox,
        registry: ArbiterRegistry,
        table: ProcessTable,
        active: ActiveRollouts,
        keeper: SocketKeeper,
        releases: Releases,
        recycler: Recycler,
        configuration: Callable[[], Configuration],
        serve: Callable[[list[int]], None],
        marker: Callable[[str], str],
    ) -> None:
        """``marker`` is the path of the file that is there while a program is out of service."""
        self._marker = marker
        self._outbox, self._registry, self._table = outbox, registry, table
        self._active, self._keeper, self._releases = active, keeper, releases
        self._recycler = recycler
        self._configuration, self._serve = configuration, serve
        # What runs what is deployed, by what it has told, and when that was looked at.
        self._verified: dict[InstanceId, tuple[tuple[str, str], float]] = {}

    def receive(self, datagram: Datagram, message: Message) -> tuple[Ack | None, list[int]]:
        """Return the answer, with the descriptors that go with it.

        ``message`` is what is in the datagram; what is taken of its descriptors is taken out.

        None where the sender is no arbiter that supervisord runs, nor a child of one, or has ended:
        its pid may be another's already. Raises RollError for a message that cannot be used.
        """
        by_arbiter = isinstance(message, Counted) and message.age is None
        if isinstance(message, Listening) or by_arbiter or not isinstance(message, FromWorker):
            return self._from_arbiter(datagram.sender, message, datagram.fds)
        return self._from_worker(datagram, message), []

    def _from_worker(self, datagram: Datagram, message: FromWorker) -> Ack | None:
        worker = datagram.sender
        arbiter = self._parent(worker)
        if arbiter is None or not self._table.watch(worker):
            return None
        return self._note_worker(arbiter, worker, datagram.uid, message)

    def _parent(self, sender: InstanceId) -> Arbiter | None:
        """Return the arbiter that has forked the sender."""
        child = self._table.child(sender.pid)
        return self._registry.arbiter(child.parent) if child and child.id == sender else None

    def _from_arbiter(
        self, sender: InstanceId, message: Message, fds: list[int]
    ) -> tuple[Ack | None, list[int]]:
        """Answer what an arbiter says, or on its behalf one of its workers."""
        arbiter = self._registry.arbiter(sender) if self._table.alive(sender) else None
        if arbiter is not None and isinstance(message, (Starting, Listening, Reloaded)):
            self._serve_user(arbiter, message.uid)
        if arbiter is None and isinstance(message, (Listening, Draining)):
            arbiter = self._parent(sender)
        if arbiter is None:
            return None, []
        if isinstance(message, Draining):
            return Ack(drain_secs=self._active.drain_secs(arbiter)), []
        self._outbox.unsaved.add(arbiter.namespec)
        if isinstance(message, Starting):
            return self._keeper.starting(arbiter, message)
        if isinstance(message, Listening):
            taken = self._keeper.listening(arbiter, message, fds, own=arbiter.id == sender)
            return Ack() if taken else None, []
        if isinstance(message, Stopping):
            return self._keeper.stopping(arbiter, message), []
        if isinstance(message, Counting):
            self._note_arbiter(arbiter, message)
        return None, []

    def _serve_user(self, arbiter: Arbiter, uid: int) -> None:
        """Serve the user that an arbiter says its workers will run as, if it can do that."""
        if 0 <= uid < _NO_USER and self._table.uid(arbiter.id) in (0, uid):
            self._serve([uid])

    def _note_arbiter(self, arbiter: Arbiter, message: Counting) -> None:
        if isinstance(message, Reloaded):
            self._active.warn(arbiter.namespec, "the arbiter was sent HUP during the rollout")
        if isinstance(message, ForkFailed):
            if not message.surplus:
                arbiter.boot_failure = cut(message.error)
            self._active.feed(arbiter, ev.ForkFailed(message.error, self._active.whose(arbiter)))
        self._note_count(arbiter, message, own=True)

    def _note_count(self, arbiter: Arbiter, message: Counting, own: bool) -> None:
        """Believe what an arbiter says of its count, and of a worker what is to be seen."""
        before = arbiter.changes, arbiter.count
        if not arbiter.heard_count(message, own):
            return
        leaving = self._active.leaving(arbiter)
        known = own or before[0] < 0
        if not known and not self._registry.confirms(arbiter, arbiter.count, leaving):
            arbiter.changes, arbiter.count = before
        else:
            self._active.feed(arbiter, ev.Counted(arbiter.count, self._active.whose(arbiter)))

    def _note_worker(
        self, arbiter: Arbiter, worker: InstanceId, uid: int, message: FromWorker
    ) -> Ack:
        """Tell the registry and the rollout what a worker says; the answer to it."""
        self._outbox.unsaved.add(arbiter.namespec)
        # What a worker that serves says each second needs no settings: they take a look at files.
        brief = not isinstance(message, (Describing, Due))
        settings = Settings() if brief else self._settings(arbiter.namespec)
        if isinstance(message, Ready) and self._counts_as_loaded(arbiter, message, settings):
            message = Loaded(**vars(message))
        known = arbiter.heard_worker(worker, message)
        known.uid = uid
        self._active.feed_birth(arbiter, worker, known.age, message.surplus)
        self._note_count(arbiter, message, own=False)
        if isinstance(message, (Booting, Loaded)) and settings.release:
            self._releases.told_by(arbiter, known, settings.release, message)
        if isinstance(message, Describing) and message.reload and self._active.succeeds(arbiter):
            self._active.feed(arbiter, ev.BootFailed(worker, RELOADS))
        fresh = self._active.fresh(arbiter, worker)
        verifies = fresh is not None and not self._active.recycles(arbiter)
        if verifies and isinstance(message, (Loaded, Ready)):
            self._verify(arbiter, worker, message)
        answer = self._answer(arbiter, known, fresh, message, settings)
        self._tell_rollout(arbiter, known, fresh, message)
        return answer

    def _counts_as_loaded(self, arbiter: Arbiter, message: Ready, settings: Settings) -> bool:
        """Whether it was not LOADED first, and had to be; or our answer to that was lost.

        It has not been checked then, or has not said what it runs: it will say READY again.
        """
        if message.alone and not self._may_be_alone(arbiter, settings):
            return True
        return settings.health is not None and message.status is None and not message.unchecked

    def _may_be_alone(self, arbiter: Arbiter, settings: Settings) -> bool:
        """Whether there is nothing to be said to a worker before it is ready."""
        wanted = settings.health or settings.release
        return not wanted and arbiter.namespec not in self._active.runs

    def _tell_rollout(
        self, arbiter: Arbiter, known: Worker, fresh: Instance | None, message: FromWorker
    ) -> None:
        """Tell it what the message means for it."""
        worker = known.id
        if isinstance(message, Loaded):
            self._active.feed(arbiter, ev.Loaded(worker))
        elif isinstance(message, Unready):
            self._active.feed(arbiter, ev.BecameUnready(worker, known.health))
        elif isinstance(message, Measured):
            self._active.measured(arbiter, worker, message.requests, message.errors)
        elif isinstance(message, Failed):
            if fresh is None:
                arbiter.boot_failure = cut(message.error or "a boot failed")
            texts = filter(None, (message.error, message.traceback))
            self._active.feed(arbiter, ev.BootFailed(worker, "\n".join(texts)))
        elif isinstance(message, Ready):
            self._warn_of_timeout(arbiter, known.boot_secs)
            first = fresh is not None and not fresh.ready and self._active.tries(arbiter)
            cpu_secs = self._table.cpu_secs(worker) if first else 0.0
            self._active.feed(
                arbiter, ev.BecameReady(worker, known.boot_secs, known.health, cpu_secs)
            )

    def _answer(
        self,
        arbiter: Arbiter,
        known: Worker,
        fresh: Instance | None,
        message: FromWorker,
        settings: Settings,
    ) -> Ack:
        # A successor is to keep what was added to it.
        surplus = fresh is not None and fresh.surplus and not self._active.succeeds(arbiter)
        # A fresh one whose check fails is kept from serving while others serve; also after
        # the rollout has failed. A cold start or a crashed one's replacement never is.
        if fresh is not None and isinstance(message, Unready) and not known.ready:
            known.held_back = True
        holds = (fresh is not None or known.held_back) and any(
            one.ready for one in self._registry.siblings(arbiter.namespec)
        )
        fields: dict[str, Any] = {}
        if isinstance(message, Describing):
            fields["hold_secs"] = settings.ready_timeout_secs
        if isinstance(message, Loaded):
            fields.update(_check_fields(settings))
        if isinstance(message, Ready):
            fields["drain_secs"] = settings.drain_timeout_secs
            fields["ready_alone"] = self._may_be_alone(arbiter, settings)
            fields.update(self._recycler.told_ready(arbiter, settings))
            if fresh is not None:
                fields["watch_secs"] = self._active.watch_secs(arbiter.namespec)
        if isinstance(message, (Loaded, Ready)):
            fields["want_sockets"] = self._keeper.wants_sockets(arbiter)
            if settings.status_path:
                fields["status_path"] = settings.status_path
                fields["drained_path"] = self._marker(arbiter.namespec)
        if isinstance(message, Due):
            fields.update(self._recycler.told_due(arbiter, known, settings, message))
        return Ack(surplus=surplus, changes=arbiter.changes, hold=holds, **fields)

    def _settings(self, namespec: str) -> Settings:
        """Return the program's settings; the defaults where they are bad, which is logged."""
        try:
            return self._configuration().settings_for(namespec)
        except (BadSetting, BadConfiguration) as error:
            log.error("%s: %s", namespec, error)
            return Settings()

    def _verify(self, arbiter: Arbiter, worker: InstanceId, message: Describing) -> None:
        """End the rollout if a fresh worker does not run what is deployed, now or a moment ago."""
        now, told = self._active.clock(), (message.places, message.runs)
        lately = {one: at for one, at in self._verified.items() if now < at[1] + VERIFIED_SECS}
        self._verified = lately
        if worker in lately and lately[worker][0] == told:
            return
        program = self._registry.program_lately(arbiter.namespec, self._active.succeeds(arbiter))
        run, own = arbiter.facts.places, decode(message.runs)
        with self._table.looking_as([worker]):
            why = deployed.strays(run, own) or deployed.elsewhere(run, program)
        if why:
            text = f"worker {worker.pid} does not run what is deployed: {why}; roll it again"
            self._active.feed(arbiter, ev.PrerequisiteFailed(text))
        else:
            self._verified[worker] = told, now

    def _warn_of_timeout(self, arbiter: Arbiter, boot_secs: float) -> None:
        if arbiter.facts.nearly_ends(boot_secs):
            self._active.warn(
                arbiter.namespec,
                f"workers boot in {boot_secs:.1f} s, and Gunicorn {arbiter.facts.gunicorn} "
                f"ends a boot at timeout={arbiter.facts.timeout:g} s: raise timeout",
            )


def _check_fields(settings: Settings) -> dict[str, Any]:
    health = settings.health
    if health is None:
        return {}
    return {
        "health": health.path,
        "health_host": health.host,
        "health_headers": tuple(f"{name}: {value}" for name, value in health.headers),
        "health_timeout_secs": health.timeout_secs,
    }
