"""What each setting means, in the words that help, the example and the reference show."""

from __future__ import annotations

from dataclasses import dataclass

from supervisor_roll.rollout.settings import Health, Settings


@dataclass(frozen=True)
class SettingHelp:
    """``form``: what a value looks like."""

    form: str
    text: str


# In the order of the documentation.
SETTINGS = {
    "strategy": SettingHelp(
        "workers|arbiter|auto",
        "What is replaced: the workers, under the arbiter that runs; the arbiter with its workers, "
        "by a new one on the same sockets, which applies a changed configuration; or auto: the "
        "arbiter where only a new one will do, and else the workers.",
    ),
    "max_surge": SettingHelp(
        "N|N%",
        "How many more workers than desired may run: a count, or a percentage of the desired "
        "workers, rounded up. The first boots alone; once it is ready, as many at once as this "
        "says, but no more than there are cores where its boot was limited by one. On a host "
        "short of memory max_surge=0 and max_unavailable=1 replace in place, an old worker first.",
    ),
    "max_unavailable": SettingHelp(
        "N|N%",
        "How many fewer workers than desired may be ready: a count, or a percentage, rounded "
        "down. Where both come to 0, it is 1.",
    ),
    "ready_timeout_secs": SettingHelp("SECS", "How long a new worker may take to be ready."),
    "min_ready_secs": SettingHelp(
        "SECS",
        "How long a new worker must stay ready before it counts as available and the next old "
        "worker goes. Meanwhile a crash, a failing health check or too many errors fail the "
        "rollout.",
    ),
    "max_error_rate_increase": SettingHelp(
        "N%",
        "How far the new workers' share of failed requests may be above twice that of the old "
        "ones during min_ready_secs, in percentage points, from 3 errors on (10 where the old "
        "ones answered nothing). Empty: they are not compared.",
    ),
    "canary": SettingHelp(
        "N|N%",
        "Hold only the first so many new workers, at least one, for min_ready_secs; the others "
        "follow without. Empty: hold each.",
    ),
    "drain_timeout_secs": SettingHelp(
        "SECS",
        "How long an old worker, or all workers of an old arbiter, may take to finish their "
        "requests, streams and websockets, in place of graceful_timeout. Then they get ABRT and "
        "KILL.",
    ),
    "preflight": SettingHelp(
        "true|false",
        "Load the application once in a throw-away process first; retire no worker before that "
        "has succeeded.",
    ),
    "health": SettingHelp(
        "PATH",
        "A path such as /_status that a new worker must answer with 2xx before it is ready. "
        "Empty: no check, it is ready when it begins to accept.",
    ),
    "health_host": SettingHelp(
        "HOST", "The Host header of the health check (see Django's ALLOWED_HOSTS)."
    ),
    "health_headers": SettingHelp(
        "NAME: VALUE",
        "More headers of the health check, one an indented line (X-Forwarded-Proto: https).",
    ),
    "health_timeout_secs": SettingHelp("SECS", "How long the answer to the health check may take."),
    "auto": SettingHelp(
        "true|false",
        "Roll the program automatically when its section of supervisord's configuration, or a "
        "file of watch, has changed. Without it, supervisorctl rollupdate does that.",
    ),
    "watch": SettingHelp(
        "PATH ...",
        "With auto=true: absolute paths, separated by spaces, that roll the program when they "
        "change: a release link, a file that is touched, gunicorn.conf.py.",
    ),
    "settle_secs": SettingHelp(
        "SECS", "With auto=true: how long all of these must stay unchanged first."
    ),
    "recycle": SettingHelp(
        "true|false",
        "Replace a worker that has reached its max_requests before it leaves: it serves on until "
        "a new one is ready. false: Gunicorn's own way, where it leaves first.",
    ),
    "recycle_grace_secs": SettingHelp(
        "SECS",
        "How long such a worker waits for its replacement before it leaves as it would without "
        "one.",
    ),
    "max_worker_lifetime_secs": SettingHelp(
        "SECS", "With recycle=true: replace a worker that is older than that. Empty: never."
    ),
    "max_worker_rss_mib": SettingHelp(
        "MIB",
        "With recycle=true: replace a worker before it has more memory of its own than that "
        "(USS: what it shares with its arbiter does not count). Empty: no limit.",
    ),
    "agent_listen": SettingHelp(
        "ADDRESS:PORT",
        "Where HAProxy's agent-check asks how much of the program can serve: up with the share of "
        "the workers that are ready, up 0% while it is drained, or down. The listener then stays "
        "as it is (20 MiB) when there is nothing to do. Empty: nowhere.",
    ),
    "status_path": SettingHelp(
        "PATH",
        "A path such as /_status that the hooks answer in the application's stead, for a load "
        "balancer's health check: 200, or 404 while the program is drained. Empty: none.",
    ),
    "haproxy_socket": SettingHelp(
        "PATH|ADDRESS:PORT",
        "HAProxy's runtime API (stats socket, level admin), by which rolldrain and rollready "
        "tell it. Empty: they do not.",
    ),
    "haproxy_server": SettingHelp(
        "BACKEND/SERVER", "What the program is to HAProxy, with haproxy_socket."
    ),
    "rolldrain_secs": SettingHelp(
        "SECS",
        "How long rolldrain waits for the load balancer: with haproxy_server until its sessions "
        "are gone, so long at most; else always, since only the balancer knows when it has "
        "noticed.",
    ),
    "on_failure": SettingHelp(
        "COMMAND",
        "A shell command to run after a failed rollout, which puts the old release back. If it "
        "succeeds, what the rollout had replaced is rolled back.",
    ),
    "on_failure_timeout_secs": SettingHelp("SECS", "How long on_failure may take."),
    "release": SettingHelp(
        "PATH|COMMAND",
        "What tells which release a worker runs, for rollstatus: a link (its target's name), a "
        "file (its first line), or a command (the last line that it prints; it runs in the "
        "worker's directory, as the worker's user).",
    ),
}

# Of a whole job, in [roll].
PARALLEL = SettingHelp(
    "N",
    "How many programs are rolled at once, 1 to 64. Once one of them fails no other is begun; "
    "those under way are carried to their own ends.",
)


def default_of(key: str) -> str:
    """Return the default of a setting, as a configuration would say it."""
    if key.startswith("health_"):
        value = getattr(Health(path=""), key.removeprefix("health_"))
    else:
        value = getattr(Settings(), key)
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
