"""rollhistory tells of what was rolled, whatever was restarted since, and is in nobody's way."""

from __future__ import annotations

import json
import stat
from http.client import HTTPException
from pathlib import Path
from xmlrpc.client import Fault

import pytest

from tests.harness import Inet, MakeSite, Program, Site, free_port
from tests.harness.waiting import wait_until


def file_of(site: Site) -> Path:
    return site.folder / "logs" / "supervisord_roll.sqlite"


def test_it_outlives_the_listener_and_supervisord(make_site: MakeSite) -> None:
    site = make_site(Program(workers=2, boot_secs=0.3))
    assert site.ctl("rollhistory") == (0, "no rollout has ended yet\n")
    site.write(Program(workers=2, boot_secs=0.3, roll={"release": str(site.current)}))
    site.deploy("v2")
    site.roll("web")
    site.restart_listener()
    site.deploy("bad", boot="raise")
    site.roll("web", status=1)
    assert stat.S_IMODE(file_of(site).stat().st_mode) == 0o600

    before = site.listener_pid
    site.rpc.supervisor.restart()
    wait_until(
        lambda: site.listener_pid not in (0, before),
        30,
        "our listener runs again",
        not_yet=(OSError, Fault, HTTPException),
    )
    table = site.ctl("rollhistory", "web").output.splitlines()
    assert [line.split()[0] for line in table[:3]] == ["NO", "1", "2"]
    assert " complete  2/2 " in table[1]
    assert " ? -> v2 " in table[1]  # its workers were forked before the setting was there
    assert " failed    0/2 " in table[2]
    assert " v2      " in table[2]
    assert "supervisorctl rollrestart (" in table[2]
    assert "failed" in table[3]

    whole = site.ctl("rollhistory", "2").output
    assert "ImportError: release bad lacks a module" in whole
    assert "web: FAILING: " in whole
    status, shown = site.ctl("rollhistory", "--json", "1")
    reports = [json.loads(line) for line in shown.splitlines()]
    assert status == 0
    assert [one["kind"] for one in reports] == [
        *("past", "began", "replaced", "replaced", "complete"),
        *("worker", "worker", "worker", "worker"),
    ]
    lives = [one["facts"] for one in reports[-4:]]
    for one in lives:
        assert one["began"] + 0.3 <= one["ready_at"] <= reports[-1]["at"]
        assert (one["state"] == "gone") == one["outdated"]
        assert one["release"] == ("" if one["outdated"] else "v2")
        if one["outdated"]:
            assert reports[0]["facts"]["began"] <= one["retiring_at"] <= one["gone_at"]
    assert " failed: ImportError: release bad lacks a module" in whole
    assert 0.3 <= reports[0]["facts"]["boot_p50_secs"] <= reports[0]["facts"]["boot_max_secs"]
    assert site.ctl("rollhistory", "3") == (1, "no such rollout is known\n")


@pytest.mark.parametrize("trouble", ["a folder", "no database", "a full disk"])
def test_a_file_that_cannot_be_written_costs_no_rollout_anything(
    make_site: MakeSite, trouble: str
) -> None:
    site = make_site(Program(workers=2))
    path = file_of(site)
    if trouble == "a folder":
        path.mkdir()
    elif trouble == "no database":
        path.write_bytes(b"no database at all" * 1000)
    else:
        path.symlink_to("/dev/full")
    site.deploy("v2")
    with site.unharmed(replaced=2):
        site.roll("web")
    log = next((site.folder / "logs").glob("roll-stderr*")).read_text()
    assert log.count("the history of rollouts is not kept") == 1

    if trouble != "no database":
        assert site.ctl("rollhistory").status == 1
        path.rmdir() if trouble == "a folder" else path.unlink()
    site.deploy("v3")
    site.roll("web")
    status, shown = site.ctl("rollhistory")
    assert (status, shown.count(" complete ")) == (0, 2)


def test_it_is_read_over_http(make_site: MakeSite) -> None:
    inet = Inet(free_port())
    site = make_site(Program(workers=1), inet=inet)
    login = ("-s", inet.url, "-u", inet.username, "-p", inet.password)
    site.ctl_start(*login, "rollrestart", "web").ends()
    status, shown = site.ctl(*login, "rollhistory", "1")
    assert (status, shown.splitlines()[0]) == (0, "web: complete")
