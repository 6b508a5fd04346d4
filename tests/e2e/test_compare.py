"""scripts/bench compare: a peer takes a broken release and is down, and rollrestart is not."""

from __future__ import annotations

import re

from tests.harness.command import run_script


def test_two_peers_deploy_a_broken_release() -> None:
    peers = ("--only", "rollrestart, arbiter", "--only", "Gunicorn HUP")
    ran = run_script("_bench", "compare", "--only", "broken release", *peers)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = dict(re.findall(r"^(rollrestart, arbiter|Gunicorn HUP)  +(.+)$", ran.stdout, re.M))
    ours, hup = (re.split("  +", rows[one]) for one in ("rollrestart, arbiter", "Gunicorn HUP"))
    assert re.fullmatch(r"0 of [1-9]\d+", ours[0])
    assert (ours[2], ours[5:]) == ("4", ["never", "old"])
    assert (hup[1:3], hup[5:]) == (["lost", "0"], ["never", "nothing"])


def test_what_is_not_there_is_an_error_and_so_is_to_document_a_part() -> None:
    ran = run_script("_bench", "compare", "--only", "no such peer")
    assert (ran.returncode, "uvicorn HUP" in ran.stderr) == (1, True)
    ran = run_script("_bench", "compare", "--only", "broken release", "--write")
    assert (ran.returncode, "--write without --only" in ran.stderr) == (1, True)
