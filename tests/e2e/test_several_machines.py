"""Three machines behind HAProxy and nginx, each a supervisord with an address of its own: HAProxy
is told what each can serve, and Ansible rolls them all, without a failed request.

The balancers run what docs/several-machines.rst shows, and the collection is that of docs/ansible.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor_roll.listener.in_service.haproxy import ask
from tests.e2e.balancers import MACHINES, Balancers
from tests.harness import Load, MakeSite, Program, Site, steady, wait_until
from tests.harness.connections import Connection
from tests.harness.debian_packages import BALANCERS, install
from tests.harness.folders import new_folder
from tests.harness.venvs import CHECKOUT, packages_venv

WORKERS = 2


@pytest.fixture(scope="module", autouse=True)
def _balancers() -> None:
    why = install(BALANCERS) or ("needs root to run nginx" if os.geteuid() else "")
    if why:
        pytest.skip(why)


class Fleet:
    """``sites`` by the names that the balancer has for them."""

    def __init__(self, make_site: MakeSite, balancers: Balancers) -> None:
        self.balancers = balancers
        self.sites = {
            f"web{number}": make_site(
                Program(
                    workers=WORKERS,
                    binds=((address, balancers.port),),
                    # A rollout in place is to be seen.
                    roll={
                        "max_surge": "0",
                        "max_unavailable": "1",
                        "release": "%(here)s/../current",
                        "agent_listen": f"{address}:{balancers.agents}",
                        "status_path": "/balancer",
                        "haproxy_socket": balancers.api,
                        "haproxy_server": f"web/web{number}",
                    },
                ),
            )
            for number, address in enumerate(MACHINES.values(), 1)
        }

    def deploy(self, release: str, **boots: str) -> None:
        """Put it on all of them, with how it boots there."""
        for name, site in self.sites.items():
            site.deploy(release, boot=boots.get(name, "ok"))

    def weights(self) -> dict[str, tuple[str, int]]:
        """What HAProxy thinks of each: its status and weight."""
        header, *rows = ask(self.balancers.api, "show stat web 4 -1").lstrip("# ").splitlines()
        keys = header.split(",")
        found = [dict(zip(keys, row.split(","), strict=False)) for row in rows if row]
        return {one["svname"]: (one["status"], int(one["weight"])) for one in found}

    def wait_weights(self, **weights: tuple[str, int]) -> None:
        wanted = {**dict.fromkeys(self.sites, ("UP", 100)), **weights}
        wait_until(lambda: self.weights() == wanted, 30, f"HAProxy has {wanted}")

    def releases(self) -> dict[str, set[str]]:
        """What the workers of each run, by their own word."""
        found = {}
        for name, site in self.sites.items():
            status = site.rollout("web")
            found[name] = set(status.get("releases", {}).values()) or {"v1"}
        return found

    def play(self, **variables: Any) -> tuple[int, str]:
        """Run the playbook; its exit status and what it says."""
        folder = self.balancers.folder
        inventory = {
            name: {
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
                "roll_configuration": str(site.config),
            }
            for name, site in self.sites.items()
        }
        (folder / "inventory.json").write_text(json.dumps({"all": {"hosts": inventory}}))
        given = {
            "roll_programs": ["web"],
            "roll_supervisorctl": str(Path(sys.executable).parent / "supervisorctl"),
            **variables,
        }
        ran = with_ansible(
            folder,
            "ansible-playbook",
            "supervisor_roll.fleet.fleet",
            *("-i", str(folder / "inventory.json"), "-e", json.dumps(given)),
        )
        return ran.returncode, " ".join(ran.stdout.split())


def with_ansible(folder: Path, command: str, *given: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Ansible's that finds our collection in the folder's ``collections``."""
    there = packages_venv("ansible-lint")
    return subprocess.run(
        [str(there / command), *given],
        cwd=CHECKOUT / "docs" / "ansible",
        env={
            **os.environ,
            "PATH": f"{there}:{os.environ['PATH']}",
            "HOME": str(folder),
            "NO_COLOR": "1",
            "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """With the collection where Ansible looks for one."""
    made = new_folder("fleet.")
    inside = made / "collections" / "ansible_collections" / "supervisor_roll"
    inside.mkdir(parents=True)
    (inside / "fleet").symlink_to(CHECKOUT / "docs" / "ansible")
    yield made
    shutil.rmtree(made)


@pytest.fixture
def fleet(make_site: MakeSite, folder: Path) -> Iterator[Fleet]:
    balancers = Balancers(folder)
    found = Fleet(make_site, balancers)
    with balancers.run():
        yield found


def status_of(site: Site) -> int:
    connection = Connection(site.address("web"), 30.0)
    connection.request("GET", "/balancer")
    return connection.getresponse().status


SURGE = {"max-surge": "1", "max-unavailable": "0", "no-preflight": True}


def test_a_fleet_is_rolled_without_a_failed_request(fleet: Fleet) -> None:
    web1, web2, web3 = fleet.sites.values()
    balancers = (fleet.balancers.haproxy, fleet.balancers.nginx)
    loads = [Load(one, rate=15, max_secs=900.0) for one in balancers]
    fleet.wait_weights()
    with steady(*loads):
        # In place, HAProxy sends less to where fewer workers are.
        fleet.deploy("v2", web1="gate")
        roll = web1.ctl_start("rollrestart", "web")
        fleet.wait_weights(web1=("UP", 50))
        web1.open_gate("v2")
        roll.ends()
        fleet.wait_weights()

        assert "out of service" in web2.ctl_start("rolldrain", "web").ends()
        assert (status_of(web2), fleet.weights()["web2"][0][:5]) == (404, "DRAIN")
        assert "in service" in web2.ctl_start("rollready", "web").ends()
        fleet.wait_weights()

        # One of them runs it already, as after a play that has stopped.
        boots = web1.boots("web")
        status, said = fleet.play(roll_release="v2", roll_drain=True, roll_options=SURGE)
        assert status == 0, said
        assert "3 hosts: 2 rolled, 1 ran the release already" in said
        assert web1.boots("web") == boots
        assert fleet.releases() == {name: {"v2"} for name in fleet.sites}
        fleet.wait_weights()

        # A release that is broken on the second.
        fleet.deploy("v3", web2="raise")
        boots = web3.boots("web")
        status, said = fleet.play(roll_release="v3", roll_options=SURGE)
        assert status != 0
        assert "web2: web: failed: worker" in said, said
        assert "Rolled: web1. Not touched: web3." in said, said
        assert fleet.releases() == {"web1": {"v3"}, "web2": {"v2"}, "web3": {"v2"}}
        assert web3.boots("web") == boots
        fleet.wait_weights()
    for load in loads:
        assert not load.so_far().failed, load.so_far()
        assert {"v1", "v2", "v3"} <= load.so_far().answered.keys()

    # One that is away: none is touched.
    web3.stop()
    boots = web1.boots("web") + web2.boots("web")
    fleet.deploy("v4")
    status, said = fleet.play(roll_release="v4", roll_options=SURGE)
    assert status != 0
    assert "fatal: [web3]" in said and "refused connection" in said, said
    assert web1.boots("web") + web2.boots("web") == boots


def test_the_collection_is_clean_and_tells_of_itself(folder: Path) -> None:
    linted = with_ansible(folder, "ansible-lint", "--offline", "--profile", "production", ".")
    assert linted.returncode == 0, linted.stdout
    for kind in ("module", "role"):
        told = with_ansible(folder, "ansible-doc", "-t", kind, "supervisor_roll.fleet.roll")
        assert told.returncode == 0, told.stdout
        assert "release" in told.stdout
