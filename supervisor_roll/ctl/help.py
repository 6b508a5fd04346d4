"""What `help COMMAND` prints around the options, which argparse prints."""

from __future__ import annotations

ROLLRESTART, ROLLUPDATE, ROLLSTATUS = "rollrestart", "rollupdate", "rollstatus"
ROLLRECYCLE = "rollrecycle"
ROLLHISTORY = "rollhistory"
ROLLABORT, ROLLPAUSE, ROLLRESUME = "rollabort", "rollpause", "rollresume"
ROLLDRAIN, ROLLREADY = "rolldrain", "rollready"

USAGES = {
    ROLLRESTART: "rollrestart [options] <name> [<name> ...]",
    ROLLUPDATE: "rollupdate [options] [<name> ...]",
    ROLLRECYCLE: "rollrecycle [options] <name> [<pid> ...]",
    ROLLSTATUS: "rollstatus [--follow] [options] [<name> ...]",
    ROLLHISTORY: "rollhistory [options] [<name> ... | <number>]",
    ROLLABORT: "rollabort <name> [<name> ...]",
    ROLLPAUSE: "rollpause <name> [<name> ...]",
    ROLLRESUME: "rollresume <name> [<name> ...]",
    ROLLDRAIN: "rolldrain [--no-wait] [--json] <name> [<name> ...]",
    ROLLREADY: "rollready [--no-wait] [--json] <name> [<name> ...]",
}

WAITS = (ROLLRESTART, ROLLUPDATE, ROLLRECYCLE, ROLLDRAIN, ROLLREADY)
REPORTING = (ROLLRESTART, ROLLUPDATE, ROLLRECYCLE, ROLLSTATUS, ROLLHISTORY)
WITH_JSON = (*REPORTING, ROLLDRAIN, ROLLREADY)

DESCRIPTIONS = {
    ROLLRESTART: """\
Replaces a Gunicorn program's workers one by one while it keeps serving: a new worker
must report that it is ready before an old one is asked to leave. If a new worker fails,
the rollout removes what it started, and the old workers keep serving. The command waits
until the rollout has ended, and shows its progress.

Where the old arbiter's workers would not do, because the program's configuration has
changed for example, the arbiter is replaced too: a successor starts beside it, on the
same sockets, and takes over once all of its workers are ready.""",
    ROLLUPDATE: """\
Does without downtime what `update` does with it: has supervisord read its configuration
again, and rolls the programs whose sections have changed. Changes that need no new
process take effect at once. Only programs with a [roll:<name>] section are rolled; for
the others it says what is left to `supervisorctl update`. Without a name: all programs.""",
    ROLLRECYCLE: """\
Replaces single workers of a program: those of these pids, or without one the worker with
the most memory. Each leaves once a new one is ready, which runs what is deployed now.""",
    ROLLSTATUS: """\
Shows the rollouts under way and each program's last one: without names as a table of all
Gunicorn programs, with names in detail.""",
    ROLLHISTORY: """\
Shows the last 50 rollouts that have ended, or those of these programs: when and for whom
they began, from which release to which, how they ended, and why. With the number that one
has there: that one, with each line that was told of it, and how each worker has lived.""",
    ROLLABORT: """\
Ends a program's rollout: what it started is stopped, which the command does not wait for.
Workers that were already replaced stay; what serves keeps serving.""",
    ROLLPAUSE: """\
Holds a program's rollout where it is until `rollresume`: workers that are booting go on
booting and are watched, but none is added or retired.""",
    ROLLRESUME: "Lets a paused rollout go on.",
    ROLLDRAIN: """\
Takes programs out of service, as load balancers see it: HAProxy's agent-check and runtime
API, and the status page (see agent_listen, haproxy_server and status_path). Their workers
serve on. The command waits until HAProxy has no session left, or for rolldrain_secs.""",
    ROLLREADY: """\
Puts programs back into service, once all of their workers are ready, for which it waits
for ready_timeout_secs at most. Where none is ready then they stay out.""",
}

NAMES = """\
Names are as for `restart`: <name>, <group>:<name>, <group>:* and all."""

_NOTES = {
    ROLLRESTART: """\
With <group>:* and all, what does not run or is no Gunicorn program is skipped. Several
programs are begun in this order, --parallel of them at once; after a failure the others
are not begun.

An option overrides the program's [roll:<name>] section; the defaults are in parentheses.

Ctrl-C detaches: the rollout goes on. `rollstatus --follow <name>` follows it again,
`rollabort <name>` ends it.""",
    ROLLUPDATE: "Ctrl-C detaches: the update goes on; `rollstatus --follow` follows it again.",
}

_ROLLS = (ROLLRESTART, ROLLUPDATE, ROLLRECYCLE)
_CONTROLS = (ROLLABORT, ROLLPAUSE, ROLLRESUME)
_SERVICE = (ROLLDRAIN, ROLLREADY)
_REQUESTS = (*_ROLLS, *_CONTROLS, *_SERVICE)
_ALL = (*_REQUESTS, ROLLHISTORY, ROLLSTATUS)

# (exit status, commands, what it means for them)
STATUSES = (
    (0, (ROLLRESTART,), "every program that was not skipped is complete, and at least one is"),
    (0, (ROLLRESTART,), "with --no-wait: requested; with --dry-run: nothing would stop it"),
    (0, (ROLLUPDATE,), "every program that was rolled is complete, or nothing had to be done"),
    (0, (ROLLUPDATE,), "with --no-wait: requested"),
    (0, (ROLLRECYCLE,), "the workers are replaced; with --no-wait: requested"),
    (0, (ROLLSTATUS,), "shown; with --follow: all are complete"),
    (0, (ROLLHISTORY,), "shown"),
    (0, _CONTROLS, "the request was accepted"),
    (0, _SERVICE, "all are out of service, or back; with --no-wait: requested"),
    (1, _ROLLS, "a rollout failed, was aborted or refused; the configuration is invalid"),
    (1, (ROLLSTATUS,), "with --follow: a rollout failed, was aborted or refused"),
    (1, (ROLLHISTORY,), "no such rollout; no history is kept; no listener"),
    (1, _CONTROLS, "the program is not being rolled (of a group or all: none is)"),
    (1, _SERVICE, "a program could not be taken out of service, or be put back"),
    (1, _REQUESTS, "no such program; no listener"),
    (2, _ALL, "wrong usage"),
    (3, _ALL, "supervisord has no [rpcinterface:roll]"),
    (4, (*_REQUESTS, ROLLHISTORY), "supervisord refuses the connection"),
    (4, (ROLLSTATUS,), "no such program; supervisord cannot be reached"),
    (7, (ROLLRESTART, ROLLRECYCLE, ROLLREADY), "the program, or supervisord, is not running"),
    (7, (ROLLUPDATE, ROLLHISTORY, *_CONTROLS, ROLLDRAIN), "supervisord is not running"),
    (130, (*_ROLLS, *_SERVICE, ROLLSTATUS), "Ctrl-C: detached; what was asked for goes on"),
    (141, _ALL, "nobody reads the output any more (| head)"),
)


def epilog(command: str) -> str:
    """Return what follows the options: the names, notes, and the exit statuses."""
    lines = ["Exit status:"]
    shown = None
    for status, commands, text in STATUSES:
        if command in commands:
            lines.append(f"  {'' if status == shown else status:<5}{text}")
            shown = status
    return "\n\n".join(filter(None, [NAMES, _NOTES.get(command), "\n".join(lines)]))
