"""The doctor beside a supervisord that runs; what it says of files is in tests/installation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from supervisor_roll import __version__
from supervisor_roll.listener.edges.executed import Executed
from supervisor_roll.listener.rollouts.silence import FORKED_SECS
from supervisor_roll.rollout.installing import HOOK_LINE
from tests.harness import MakeSite, Program, Site, wait_until
from tests.harness.waiting import patience

_COMMAND = [sys.executable, "-m", "supervisor_roll.installation.command"]


def doctor(site: Site, status: int) -> list[dict[str, Any]]:
    """What it says, a dict a finding."""
    ran = subprocess.run(
        [*_COMMAND, "doctor", "-c", site.config, "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60 * patience(),
    )
    assert ran.returncode == status, ran.stdout + ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def bad(found: list[dict[str, Any]], program: str = "") -> dict[str, dict[str, Any]]:
    return {
        one["check"]: one for one in found if one["level"] != "ok" and one["program"] == program
    }


def test_a_healthy_installation(make_site: MakeSite) -> None:
    apart = "control_socket_disable = True"
    site = make_site(
        Program("web", conf=apart), Program("api", conf=apart, roll={"max_surge": "1"})
    )
    status = site.rpc.roll.status()
    with site.untouched("web"):
        found = doctor(site, 0)
    assert {one["level"] for one in found} == {"ok"}
    texts = [one["text"] for one in found]
    assert f"supervisord and the listener run supervisor_roll {__version__}" in texts
    assert [text for text in texts if "reports, with all hooks; 2 of 2 workers ready" in text]
    assert [one["program"] for one in found if one["check"] == "answer"] == ["api", "web"]
    assert json.loads(site.rpc.roll.status()) == json.loads(status)
    assert site.reread() == [[], [], []]


def test_programs_that_cannot_be_rolled(make_site: MakeSite) -> None:
    gunicorn = f"{Program().executable} -c %(here)s/../web.conf.py -b unix:%(here)s/../run/web.sock"
    wrapped = {"command": f"sh -c '{gunicorn} plain:app; true'", "stopasgroup": "true"}
    site = make_site(
        Program("web", section={**wrapped, "killasgroup": "true"}),
        Program("bare", hooks=False),
        start=False,
    )
    site.start_supervisord()
    site.wait_listener()
    site.start_programs()
    for name in ("web", "bare"):
        site.wait_state(name, "RUNNING")
    shell = psutil.Process(site.pid("web"))
    wait_until(lambda: len(shell.children(recursive=True)) == 3, 30, "arbiter and workers run")
    youngest = max(site.wait_ready("bare", 2).children)
    wait_until(lambda: Executed.of(youngest).age_secs > FORKED_SECS + 1, 30, "age")
    found = doctor(site, 2)
    assert list(bad(found)) == ["control-socket"]
    wrapper, bare = bad(found, "web")["answer"], bad(found, "bare")["answer"]
    assert "supervisord runs a wrapper" in wrapper["text"]
    assert "write exec before gunicorn" in wrapper["cure"]
    assert wrapper["where"] == f"[program:web] in {site.folder}/conf.d/web.conf"
    assert "runs without the hooks" in bare["text"]
    assert HOOK_LINE in bare["cure"]


def test_what_does_not_run(make_site: MakeSite) -> None:
    site = make_site(Program())
    assert site.ctl("stop", "roll").status == 0
    found = bad(doctor(site, 2))
    assert found["listener"]["text"] == "the listener is STOPPED"
    assert "supervisorctl start roll" in found["listener"]["cure"]
    assert site.ctl("stop", "web").status == 0
    assert site.ctl("start", "roll").status == 0
    site.wait_listener()
    found_in = doctor(site, 1)
    assert bad(found_in) == {}
    assert "it is STOPPED" in bad(found_in, "web")["answer"]["text"]


def test_an_installation_that_init_made(make_site: MakeSite) -> None:
    site = make_site(Program(), roll=False, start=False)
    files = [Path(site.config), site.folder / "web.conf.py"]
    before = [one.read_bytes() for one in files]
    files[1].write_bytes(before[1].replace(HOOK_LINE.encode(), b""))
    before[1] = files[1].read_bytes()
    subprocess.run([*_COMMAND, "init", "--yes", *files], check=True)
    site.start_supervisord()
    site.wait_listener()
    site.start_programs()
    site.wait_ready("web", 2)
    site.wait_state("web", "RUNNING")
    doctor(site, 0)
    site.deploy("v2")
    assert "never fewer than 2 ready" in site.roll("web")
    subprocess.run([*_COMMAND, "init", "--yes", "--undo", *files], check=True)
    assert [one.read_bytes() for one in files] == before
