"""Of every key that a program's section may have, it is known what it takes to change it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from supervisor.xmlrpc import Faults

from supervisor_roll.wire.successor import LIVE, NEEDS_ARBITER
from tests.rpc.succeeding import PLAIN, UNCHANGED, Succeeding, fault, keys
from tests.rpc.supervised import wait_for

Begin = Callable[..., Succeeding]
# Each key with a value and another one.
LIVE_KEYS = {
    "autostart": ("false", "true"),
    "autorestart": ("true", "false"),
    "startsecs": ("0", "1"),
    "startretries": ("3", "4"),
    "stopsignal": ("TERM", "INT"),
    "stopwaitsecs": ("10", "9"),
    "stopasgroup": ("false", "true"),
    "killasgroup": ("false", "true"),
    "exitcodes": ("0", "0,2"),
    "priority": ("999", "5"),
}
ARBITER_KEYS = {
    "command": ("sleep 1000", "sleep 2000"),
    "environment": ("", "A=1"),
    "directory": ("/", "/tmp"),
    "user": ("root", "nobody"),
    "umask": ("022", "027"),
    "serverurl": ("AUTO", "http://x"),
    "redirect_stderr": ("false", "true"),
}
for channel in ("stdout", "stderr"):
    ARBITER_KEYS |= {
        f"{channel}_logfile": ("/dev/null", "NONE"),
        f"{channel}_logfile_maxbytes": ("0", "1MB"),
        f"{channel}_logfile_backups": ("10", "0"),
        f"{channel}_syslog": ("false", "true"),
        f"{channel}_capture_maxbytes": ("0", "1KB"),
        f"{channel}_events_enabled": ("no", "yes"),
    }
# They make other processes, not other settings of one: see roll.resize.
IDENTITY_KEYS = {"numprocs", "numprocs_start", "process_name"}
# What a key needs beside it, that it may be changed alone.
BESIDE = {"stopasgroup": "killasgroup=true", "redirect_stderr": "stderr_logfile=NONE"}


def sections(which: int) -> str:
    """A program for each key, which is its name."""
    return "".join(
        f"[program:{key}]\n{BESIDE.get(key, '')}\n"
        + "".join(
            f"{one}\n"
            for one in ("command=sleep 1000", "autostart=false")
            if not one.startswith(f"{key}=")
        )
        + f"{key}={values[which]}\n"
        for key, values in {**LIVE_KEYS, **ARBITER_KEYS}.items()
    )


def test_every_key_of_this_supervisor_is_known(python: str) -> None:
    """A release that brings another key must make somebody say what it takes to change it."""
    script = Path(__file__).with_name("supervisor_keys.py")
    done = subprocess.run([python, str(script)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert set(found["read"]) == {*LIVE_KEYS, *ARBITER_KEYS, *IDENTITY_KEYS}
    compared = {{"uid": "user"}.get(key, key) for key in found["compared"]}
    assert compared == {*LIVE_KEYS, *ARBITER_KEYS, "name"}


def test_each_key_takes_what_it_takes(begin: Begin) -> None:
    site = begin(sections(0))
    expected = {
        **{key: {key: LIVE} for key in LIVE_KEYS},
        **{key: {key: NEEDS_ARBITER} for key in ARBITER_KEYS},
    }
    assert keys(site.change(sections(1))) == expected
    for key in LIVE_KEYS:
        site.listener.adopt(key)
    assert keys(site.reread()) == {key: expected[key] for key in ARBITER_KEYS}
    [[added, changed, removed]] = site.reload_config()
    assert (added, set(changed), removed) == ([], set(ARBITER_KEYS), [])
    for key in ARBITER_KEYS:
        assert fault(site.listener.adopt, key) == (
            Faults.FAILED,
            f"FAILED: {key}: {key} cannot be changed while it runs",
        )
    site.write(sections(1).replace("[program:command]", "[program:other]"))
    assert set(site.reread().removed) == {"command"}


def test_a_longer_startsecs_does_not_make_an_exit_too_quick(begin: Begin) -> None:
    """supervisord itself would end, if it took a process that is RUNNING for one that starts."""
    section = f"[program:myapp]\n{PLAIN}\nautorestart=true\n"
    site = begin(section)
    site.change(section.replace("startsecs=0", "startsecs=60"))
    site.listener.adopt("myapp")
    assert site.reload_config() == UNCHANGED
    old = site.pid()
    site.server.supervisor.signalProcess("myapp", "KILL")
    wait_for(lambda: site.pid() not in (0, old))
    assert site.info("myapp")["statename"] == "STARTING"
