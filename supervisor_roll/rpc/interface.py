"""The XML-RPC methods ``roll.*``. supervisord answers each at once, within its own loop."""

from __future__ import annotations

import time

from supervisor.events import RemoteCommunicationEvent, notify
from supervisor.options import NotFound, ProcessException, split_namespec
from supervisor.process import EventListenerPool
from supervisor.rpcinterface import SupervisorNamespaceRPCInterface
from supervisor.states import SupervisorStates
from supervisor.xmlrpc import Faults, RPCError

from supervisor_roll import __version__
from supervisor_roll.rollout.errors import BadMessage, BadSetting, RollError
from supervisor_roll.rollout.settings import check_asked
from supervisor_roll.rpc import (
    config_changes,
    program_names,
    reread,
    secret,
    spawn_spec,
    supervisor_internals,
)
from supervisor_roll.rpc.mailbox import Mailbox
from supervisor_roll.rpc.methods import for_all, for_the_listener
from supervisor_roll.rpc.page import handler
from supervisor_roll.rpc.preflights import Preflights
from supervisor_roll.rpc.successors import Successors
from supervisor_roll.rpc.supervisor_types import Process, Supervisor
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json, to_json
from supervisor_roll.wire.program import Processes, ProcessInfo
from supervisor_roll.wire.workers import workers_text

DOORBELL = "supervisor_roll"
WATCHED = "watched"  # in place of a request's id


class RollRPCInterface:
    """One for each HTTP server; all share the mailbox. What has no underscore is a method."""

    def __init__(
        self,
        supervisord: Supervisor,
        mailbox: Mailbox,
        successors: Successors,
        preflights: Preflights,
        config: str,
    ) -> None:
        self._supervisord = supervisord
        self._successors, self._preflights = successors, preflights
        self._mailbox = mailbox
        self._config = config

    def _serve_page(self) -> None:
        """Have supervisord's HTTP servers serve the page."""
        handler.install(
            self._supervisord,
            self._mailbox.documents,
            self.request,
            self.reports,
            self._listener_state,
        )

    @for_all
    def request(self, text: str) -> str:
        """Ask the listener to roll programs, or to abort their rollouts

        @param string text    JSON: kind, names, values, by, parallel, pids, last
        @return string result JSON: id, programs, skipped
        """
        self._check_mood()
        try:
            ask = wire.decode_command(text)
            check_asked(ask.values)
        except (BadMessage, BadSetting) as error:
            raise _bad_arguments(error) from None
        if ask.kind in (wire.UPDATE, wire.HISTORY):
            # Some may not be there yet, or not any more: that is for the listener to find out.
            expansion = program_names.Expansion(
                [program_names.shown(one) for one in ask.names], wildcard=True
            )
        else:
            expansion = program_names.expand(
                self._supervisord.process_groups,
                ask.names,
                must_run=ask.kind in (wire.ROLLOUT, wire.DRY_RUN, wire.RECYCLE, wire.READY),
            )
        if expansion.programs:
            self._check_listener()
        request = self._mailbox.put(
            ask, expansion.programs, expansion.wildcard, time.monotonic(), time.time()
        )
        if request.programs:
            ring(request.id)
        return to_json(wire.Receipt(request.id, request.programs, expansion.skipped))

    @for_all
    def reports(self, id: str, since: int) -> str:
        """Get what has been reported of a job; the rest, if it is much, with the next call

        @param string id      The job's id, as request gave it
        @param int since      The seq of the last report known, 0 for all
        @return string result JSON: reports, done, listener
        """
        if not isinstance(id, str) or not isinstance(since, int) or isinstance(since, bool):
            raise RPCError(Faults.BAD_ARGUMENTS, "reports takes an id and a number")
        found = self._mailbox.reports(id, since, time.monotonic())
        if found is None:
            raise RPCError(Faults.BAD_NAME, f"no job {program_names.shown(id[:80])}")
        reports, done = found
        return wire.reports_text(reports, done, self._listener_state())

    @for_all
    def status(self) -> str:
        """Get the last rollout of every program, the jobs under way, and the listener

        @return string result JSON: programs, listener, jobs
        """
        process = self._listener()
        listener = None
        if process is not None:
            listener = wire.Listener(
                process.pid,
                program_names.state_name(process),
                self._mailbox.trouble,
                self._mailbox.package_version,
            )
        everyone = dict(program_names.all_processes(self._supervisord.process_groups))
        self._mailbox.forget_others(everyone)
        return to_json(
            wire.Overview(self._mailbox.statuses, listener, self._mailbox.jobs, __version__)
        )

    @for_all
    def workers(self, names: list[str]) -> str:
        """Get the workers of programs, and have the listener tell of them for 5 more seconds

        @param array names    The programs' names, as in status; empty: all
        @return string result JSON: programs, each a list of workers; at
        """
        if not isinstance(names, list) or len(names) > wire.MAX_NAMES:
            text = f"workers takes a list of {wire.MAX_NAMES} names at most"
            raise RPCError(Faults.BAD_ARGUMENTS, text)
        chosen = {name for name in names if isinstance(name, str)}
        if self._mailbox.watch(time.monotonic()):
            ring(WATCHED)
        found = self._mailbox.workers
        shown = {name: found[name] for name in found if not names or name in chosen}
        return workers_text(shown, self._mailbox.workers_at)

    @for_the_listener
    def getProcesses(self) -> str:
        """Get all processes, in brief: getAllProcessInfo takes twenty times as long

        @param string token   The listener's own, from its SUPERVISOR_ROLL_TOKEN
        @return string result JSON: processes, each a list of namespec, pid, state, log
        """
        self._check_mood()
        found = []
        for namespec, process in program_names.all_processes(self._supervisord.process_groups):
            config = process.config
            # With redirect_stderr it is in the other one.
            log = "stderr" if config.stderr_logfile else "stdout" if config.stdout_logfile else ""
            state = program_names.state_name(process)
            found.append(ProcessInfo(namespec, process.pid, state, log))
        return to_json(Processes(found))

    @for_the_listener
    def program(self, name: str, changed: bool = False) -> str:
        """Get a process as supervisord would spawn it, from its configuration in force

        @param string token   The listener's own, from its SUPERVISOR_ROLL_TOKEN
        @param string name    The process's name, or group:name
        @param bool changed   By the configuration that was last reread instead
        @return string result JSON: file, arguments, directory, environment, umask
        """
        everyone = dict(program_names.all_processes(self._supervisord.process_groups))
        process = everyone.get(name) if isinstance(name, str) else None
        if process is None:
            raise RPCError(Faults.BAD_NAME, program_names.shown(str(name)[:80]))
        if changed:
            config = supervisor_internals.new_config(self._supervisord, process)
            process = config.make_process(process.group)  # which is never spawned
        try:
            return to_json(spawn_spec.described(process))
        except ProcessException as error:
            code = Faults.NO_FILE if isinstance(error, NotFound) else Faults.NOT_EXECUTABLE
            raise RPCError(code, program_names.shown(str(error))) from None
        except FileNotFoundError:
            raise RPCError(Faults.FAILED, "supervisord's own directory is gone") from None

    @for_the_listener
    def reread(self) -> str:
        """Read the configuration files, as reloadConfig does, and compare

        @param string token   The listener's own, from its SUPERVISOR_ROLL_TOKEN
        @return string result JSON: changes, resized, added, removed
        """
        try:
            new = reread.reread(self._supervisord, self._config)
        except ValueError as error:
            raise RPCError(Faults.CANT_REREAD, program_names.shown(str(error))) from None
        return to_json(config_changes.reread(self._supervisord.process_groups, new))

    @for_the_listener
    def startSuccessor(self, name: str) -> str:
        """Start a program's successor beside it, from the configuration that was last read

        @param string token   The listener's own, from its SUPERVISOR_ROLL_TOKEN
        @param string name    The process's name, or group:name
        @return string result JSON: pid, state, successor, successor_state, retiring, ended, tail
        """
        return to_json(self._successors.succeed(self._supervisord, name))

    @for_the_listener
    def promoteSuccessor(self, name: str, drain_secs: float = 60.0) -> str:
        """Give the successor the program's name and configuration, and retire the old process

        @param string token   The listener's own, from its SUPERVISOR_ROLL_TOKEN
        @param string name    The process's name, or group:name
        @param double drain_secs  How long the old process may take to finish its requests
        @return string result JSON: as startSuccessor
        """
        return to_json(self._successors.promote(self._supervisord, name, drain_secs))

    @for_the_listener
    def discardSuccessor(self, name: str) -> str:
        """Stop the successor

        @param string token   The listener's own, from its SUPERVISOR_ROLL_TOKEN
        @param string name    The process's name, or group:name
        @return string result JSON: as startSuccessor
        """
        return to_json(self._successors.discard(self._supervisord, name))

    @for_the_listener
    def getSuccession(self, name: str) -> str:
        """Get what there is of a program and its successor

        @param string token   The listener's own, from its SUPERVISOR_ROLL_TOKEN
        @param string name    The process's name, or group:name
        @return string result JSON: as startSuccessor
        """
        return to_json(self._successors.shown(self._supervisord, name))

    @for_the_listener
    def startPreflight(self, name: str, within_secs: float, changed: bool = False) -> str:
        """Start a successor that loads the application, and ends before it serves

        @param string token   The listener's own, from its SUPERVISOR_ROLL_TOKEN
        @param string name    The process's name, or group:name
        @param double within_secs  How long it may take, after which the listener ends it
        @param bool changed   From the configuration that was last reread instead of that in force
        @return string result JSON: pid, runs, exit_code, tail
        """
        return to_json(
            self._preflights.start(self._supervisord, name, within_secs, changed is True)
        )

    @for_the_listener
    def stopPreflight(self, name: str) -> str:
        """End the preflight at once

        @param string token   The listener's own, from its SUPERVISOR_ROLL_TOKEN
        @param string name    The process's name, or group:name
        @return string result JSON: as startPreflight
        """
        return to_json(self._preflights.stop(self._supervisord, name))

    @for_the_listener
    def getPreflight(self, name: str) -> str:
        """Get what there is of a program's last preflight

        @param string token   The listener's own, from its SUPERVISOR_ROLL_TOKEN
        @param string name    The process's name, or group:name
        @return string result JSON: as startPreflight
        """
        return to_json(self._preflights.shown(self._supervisord, name))

    @for_the_listener
    def adopt(self, name: str) -> str:
        """Apply the program's changed settings that need no other process

        @param string token   The listener's own, from its SUPERVISOR_ROLL_TOKEN
        @param string name    The process's name, or group:name
        @return string result Empty
        """
        self._successors.adopt(self._supervisord, name)
        return ""

    @for_the_listener
    def resize(self, name: str) -> str:
        """Start the processes that a group has gained (numprocs), stop those that it has lost

        @param string token   The listener's own, from its SUPERVISOR_ROLL_TOKEN
        @param string name    The group's name
        @return string result JSON: group, added, dropped
        """
        return to_json(self._successors.resize(self._supervisord, name))

    @for_the_listener
    def exchange(self, text: str) -> str:
        """For the listener alone: hand in reports, fetch requests

        @param string token   The listener's own, from its SUPERVISOR_ROLL_TOKEN
        @param string text    JSON: wire.mailbox.Exchange
        @return string result JSON: requests, unsent, state, jobs
        """
        try:
            said = from_json(wire.Exchange, text, wire.MAX_EXCHANGE_BYTES)
            self._mailbox.listener = (said.pid, self._listener_of(said.pid))
            answer = self._mailbox.exchange(said, time.monotonic(), time.time(), self._send)
        except BadMessage as error:
            raise _bad_arguments(error) from None
        return wire.exchanged(answer)

    def _check_mood(self) -> None:
        """Raise RPCError where supervisord stops all that it runs, as its own methods do."""
        mood = self._supervisord.options.mood
        if isinstance(mood, int) and mood < SupervisorStates.RUNNING:
            raise RPCError(Faults.SHUTDOWN_STATE)

    def _send(self, namespec: str, name: str) -> str:
        """Send a signal as supervisorctl does; say why not."""
        try:
            SupervisorNamespaceRPCInterface(self._supervisord).signalProcess(namespec, name)
        except RPCError as fault:
            return f"supervisord could not send {name} to {namespec}: {fault.text}"
        return ""

    def _listener_of(self, pid: int) -> str:
        """Return the namespec of the listener that has this pid. Raises RPCError for none."""
        known, listener = self._mailbox.listener, self._listener()
        if known and listener and listener.pid == pid and secret.is_listener(listener):
            return known[1]
        for namespec, process in program_names.all_processes(self._supervisord.process_groups):
            if process.pid == pid and secret.is_listener(process):
                return namespec
        raise RPCError(
            Faults.FAILED,
            f"process {pid} claims to be the listener but was not started by this"
            " supervisord; the command of [eventlistener:roll] must exec it, as in"
            " conf.d/roll.conf",
        )

    def _listener(self) -> Process | None:
        """Return the process of the listener that spoke last, or None."""
        if self._mailbox.listener is None:
            return None
        group, name = split_namespec(self._mailbox.listener[1])
        members = self._supervisord.process_groups.get(group)
        return members.processes.get(name) if members is not None else None

    def _listener_state(self) -> str:
        process = self._listener()
        return program_names.state_name(process) if process is not None else ""

    def _check_listener(self) -> None:
        """Raise RPCError where nobody would take a request."""
        process = self._listener()
        if process is None:
            raise RPCError(Faults.FAILED, self._no_listener())
        state = program_names.state_name(process)
        if state not in wire.LISTENING:
            name = self._mailbox.listener[1] if self._mailbox.listener else ""
            raise RPCError(
                Faults.FAILED,
                (
                    f"the listener {name} is {state}: see `supervisorctl tail {name} stderr`,"
                    f" then `supervisorctl start {name}`"
                ),
            )
        if self._mailbox.full:
            raise RPCError(
                Faults.FAILED,
                ("too many requests wait for the listener; see `supervisorctl rollstatus`"),
            )

    def _no_listener(self) -> str:
        """Say what to do where no listener has connected, or it is no longer configured."""
        pools = [
            group
            for group in self._supervisord.process_groups.values()
            if isinstance(group, EventListenerPool)
            and any(
                issubclass(RemoteCommunicationEvent, event) for event in group.config.pool_events
            )
        ]
        members = [
            (group.config.name, process) for group in pools for process in group.processes.values()
        ]
        alive = [
            name for name, process in members if program_names.state_name(process) in wire.LISTENING
        ]
        if alive:
            return (
                f"{wire.NO_LISTENER_YET}: if this lasts, see `supervisorctl tail {alive[0]} stderr`"
            )
        if members:
            name, process = members[0]
            return (
                f"{wire.NO_LISTENER}: {name} is {program_names.state_name(process)}; see"
                f" `supervisorctl tail {name} stderr`, then `supervisorctl start {name}`"
            )
        return (
            f"{wire.NO_LISTENER}: there is no [eventlistener:roll]; include conf.d/roll.conf,"
            " then `supervisorctl update`"
        )


def ring(id: str = "page") -> None:
    """Have the listener look into the mailbox: for this request, or for what the page asks for."""
    notify(RemoteCommunicationEvent(DOORBELL, id))


def _bad_arguments(error: RollError) -> RPCError:
    return RPCError(Faults.BAD_ARGUMENTS, program_names.shown(str(error)))
