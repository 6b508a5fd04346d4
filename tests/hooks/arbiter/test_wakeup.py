"""A signal that does not interrupt the arbiter's wait is handled at once all the same."""

from __future__ import annotations

import statistics

import pytest

from tests.harness.waiting import wait_until
from tests.hooks.fake_listener import DEADLINE_SECS, HOOKS, Site

TIMES = 5

# What the kernel does now and then: the signal goes to a thread that is not the main one. It is
# about as long until the wait would be over anyway, each time.
CONFIGURATION = """
import signal, threading, time

sent_at = []

def when_ready(server):
    def send():
        for _ in range(TIMES):
            time.sleep(0.35)
            sent_at.append(time.monotonic())
            signal.pthread_kill(threading.get_ident(), signal.SIGTTIN)
            time.sleep(1.2)
    threading.Thread(target=send, daemon=True).start()

def nworkers_changed(server, new, old):
    if sent_at:
        with open("log", "a") as log:
            log.write(f"{time.monotonic() - sent_at[-1]}\\n")
"""


@pytest.mark.parametrize("version", ["20.1.0", "23.0.0", "25.3.0", "27.0.1"])
def test_a_signal_that_another_thread_gets_is_handled_at_once(site: Site, version: str) -> None:
    bind = f"unix:{site.folder}/http"
    conf = CONFIGURATION.replace("TIMES", str(TIMES)).replace('"log"', repr(f"{site.folder}/log"))
    site.start(version, f"bind = {bind!r}\nworkers = 1\n{conf}{HOOKS}")
    log = site.folder / "log"
    wait_until(
        lambda: log.exists() and len(log.read_text().splitlines()) == TIMES,
        DEADLINE_SECS,
        "all signals are handled",
    )
    assert statistics.median(map(float, log.read_text().split())) < 0.2
