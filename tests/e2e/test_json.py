"""A script that reads --json is told all that an operator is."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.harness import MakeSite, Program, Site


def test_a_deploy_script_reads_a_plan_a_rollout_and_the_status(make_site: MakeSite) -> None:
    site = make_site(Program(workers=2, boot_secs=0.3))
    site.deploy("v2")
    status, [requested, plan, ended] = _objects(site, "rollrestart", "--dry-run", "--json", "web")
    assert (status, requested["kind"], ended["ok"]) == (0, "dry-run", True)
    assert plan["facts"]["workers"] == 2
    assert plan["facts"]["preflight"]["ok"]

    with site.unharmed(replaced=2):
        status, [requested, *reports, ended] = _objects(site, "rollrestart", "--json", "web")
    assert (status, ended["ok"], ended["programs"]) == (0, True, {"web": "complete"})
    assert [one["kind"] for one in reports] == ["began", "replaced", "replaced", "complete"]
    assert {one["job"] for one in reports} == {requested["job"]}

    status, [shown, listener] = _objects(site, "rollstatus", "--json", "web")
    assert (status, shown["state"], shown["job"]) == (0, "complete", requested["job"])
    assert sorted(shown["fresh"]) == sorted(reports[-1]["facts"]["fresh"])
    assert listener["pid"] == site.listener_pid


def test_a_release_that_cannot_boot_is_told_with_its_traceback(make_site: MakeSite) -> None:
    site = make_site(Program(workers=1))
    site.deploy("bad", boot="raise")
    status, [_, *reports, ended] = _objects(site, "rollrestart", "--json", "web")
    assert (status, ended["ok"], reports[-1]["kind"]) == (1, False, "failed")
    assert "ImportError: release bad lacks a module" in reports[-1]["facts"]["why"]


def _objects(site: Site, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    ran = subprocess.run(
        site.ctl_command(*arguments), stdout=subprocess.PIPE, text=True, timeout=90, check=False
    )
    return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()]
