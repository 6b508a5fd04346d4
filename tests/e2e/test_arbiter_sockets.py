"""A new arbiter serves on the very sockets of the old one, whatever they are; where it cannot, the
old one never notices."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness import (
    Load,
    MakeSite,
    Program,
    Site,
    connected,
    free_port,
    refuses,
    steady,
    wait_until,
)
from tests.harness.certificate import PEM, trusting
from tests.harness.connections import has_ipv6
from tests.harness.processes import environment

CHANGED = {"COLOUR": "green"}


def roll(site: Site, *options: str) -> str:
    """Roll ``web``, which must succeed, and leave one arbiter, another one, as configured."""
    old, before = site.pid("web"), site.workers("web")
    output = site.roll("web", *options)
    assert site.pid("web") != old
    after = site.wait_ready("web", site.programs["web"].workers)
    assert not after.children & before.children
    site.assert_applied("web")
    return output


def load_on_each(site: Site) -> list[Load]:
    return [Load(address, rate=30) for address in site.addresses("web")]


def assert_served(*loads: Load) -> None:
    for load in loads:
        summary = load.so_far()
        assert not summary.failed, summary


@pytest.mark.parametrize(
    "where",
    [
        "TCP",
        pytest.param("TCP6", marks=pytest.mark.skipif(not has_ipv6(), reason="takes ::1")),
        "TCP and Unix",
    ],
)
def test_every_address_is_served_throughout(make_site: MakeSite, where: str) -> None:
    port = free_port()
    binds = {"TCP": (port,), "TCP6": (("::1", port),), "TCP and Unix": (port, "web.sock")}[where]
    program = Program(boot_secs=0.3, binds=binds)
    site = make_site(program)
    loads = load_on_each(site)
    with steady(*loads):
        for colour in ("green", "blue"):  # the second takes its sockets from the first
            site.write(replace(program, environment={"COLOUR": colour}))
            assert "its configuration has changed: environment" in roll(site)
            assert f"COLOUR={colour}" in environment(site.pid("web"))
    assert len(loads) == len(binds)
    assert_served(*loads)


def test_tls(make_site: MakeSite, tmp_path: Path) -> None:
    pem = tmp_path / "localhost.pem"
    pem.write_text(PEM)
    program = Program(
        boot_secs=0.3, port=free_port(), conf=f"certfile = {str(pem)!r}\nkeyfile = {str(pem)!r}"
    )
    site = make_site(program)
    site.write(replace(program, environment=CHANGED))
    with site.unharmed(replaced=2, same_arbiter=False, rate=30, tls=trusting()):
        site.roll("web")
    site.assert_applied("web")


def test_a_unix_path_stays_through_a_rollout_and_goes_with_a_stop_as_it_does_without_us(
    make_site: MakeSite,
) -> None:
    program = Program(boot_secs=0.3)
    site = make_site(program, Program("plain", hooks=False))
    path, plain = Path(str(site.address("web"))), Path(str(site.address("plain")))
    inode = path.stat().st_ino
    with site.unharmed(replaced=2, same_arbiter=False):
        site.roll("web", "--strategy", "arbiter")
        assert path.stat().st_ino == inode
    assert site.ctl("stop", "web", "plain").status == 0
    assert (path.exists(), plain.exists()) == (False, False)
    assert site.ctl("start", "web").status == 0
    site.wait_ready("web", 2)
    connected(str(path)).close()


def test_a_changed_bind_keeps_one_socket_opens_one_and_drops_two(make_site: MakeSite) -> None:
    kept, opened, dropped = free_port(), free_port(), free_port()
    program = Program(binds=(kept, dropped, "dropped.sock"))
    site = make_site(program)
    path = str(site.addresses("web")[2])
    site.deploy("v2", boot="gate")
    site.write(replace(program, binds=(kept, opened)))
    old = site.pid("web")
    on_kept, on_dropped, on_path = load_on_each(site)[0], Load(dropped, rate=30), Load(path)
    # What it serves when the successor takes over, and so what its end waits for.
    slow = Load(dropped, path="/slow?secs=60", rate=0.001, timeout_secs=60)
    with steady(on_kept):
        rolling = site.ctl_start("rollrestart", "web")
        wait_until(lambda: len(site.arbiters("web")) == 2, 15, "there is a successor")
        with steady(on_dropped, on_path):
            pass  # while it boots
        with steady(slow, before=1, after=0):
            wait_until(lambda: "v1 takes 60 s" in site.log("web"), 15, "a slow request is served")
            site.open_gate("v2")
            rolling.wait_says("took over")
            assert old in site.arbiters("web")
            assert not refuses(dropped)
            assert not refuses(path)
            site.wake("v1")
        output = rolling.ends()
    assert f"127.0.0.1:{dropped} is no longer configured" in output
    assert f"{path} is no longer configured" in output
    assert f"127.0.0.1:{kept} is no longer" not in output
    assert_served(on_kept, on_dropped, on_path, slow)
    assert {one.release for one in slow.so_far().requests} == {"v1"}
    assert refuses(dropped)
    assert not Path(path).exists()
    site.assert_alone("web")
    with steady(on_opened := Load(opened)):
        pass
    assert_served(on_opened)
    assert on_opened.so_far().answered.keys() == {"v2"}


def test_a_bind_that_moves_into_gunicorns_configuration_file_and_then_changes_there(
    make_site: MakeSite,
) -> None:
    kept, opened = free_port(), free_port()
    program = Program(port=kept)
    site = make_site(program)
    with steady(load := Load(kept)):
        site.write(replace(program, conf_binds=True))
        output = roll(site)
        assert "its configuration has changed:" in output
        assert "command" in output
        site.write(replace(program, conf_binds=True, binds=(opened, kept)))
        output = roll(site)
        assert "web.conf.py" in output
        with steady(on_opened := Load(opened)):
            pass
        # Of the file's and the command line's it is the latter that counts.
        site.write(program)
        roll(site)
    assert_served(load, on_opened)
    assert refuses(opened)


@pytest.mark.parametrize(("where", "supervisor"), [("Unix", None), ("TCP", "4.2.5")])
def test_an_fcgi_program_whose_socket_is_supervisords(
    make_site: MakeSite, where: str, supervisor: str | None
) -> None:
    program = Program(boot_secs=0.3, fcgi=True, port=None if where == "Unix" else free_port())
    site = make_site(program, supervisor=supervisor)
    site.write(replace(program, environment=CHANGED))
    with steady(load := site.load("web")):
        output = roll(site)
        assert "its configuration has changed: environment" in output
        roll(site, "--strategy", "arbiter")
    assert_served(load)
    assert site.ctl("stop", "web").status == 0
    assert refuses(site.address("web"))


@pytest.mark.parametrize("where", ["Unix", "TCP"])
def test_an_address_that_somebody_else_uses_is_left_to_them_and_the_old_arbiter_serves_on(
    make_site: MakeSite, where: str
) -> None:
    program = Program(binds=(free_port(),))
    site = make_site(program)
    used = str(site.folder / "run" / "used.sock") if where == "Unix" else free_port()
    family = socket.AF_UNIX if where == "Unix" else socket.AF_INET
    with socket.socket(family) as other:
        other.bind(used if isinstance(used, str) else ("127.0.0.1", used))
        other.listen()
        site.write(replace(program, binds=(*program.binds, used)))
        with site.untouched():
            output = site.roll("web", status=1)
        assert not refuses(used)
        assert other.accept()
    assert ("somebody serves on" if where == "Unix" else "in use") in output


def test_reuse_port_is_refused(make_site: MakeSite) -> None:
    """Whether a rollout would come to it or from it."""
    program = Program(port=free_port())
    site = make_site(program)

    def refused(changed: Program, how: str) -> None:
        boots = site.boots("web")
        site.write(changed)
        with site.untouched():
            output = site.roll("web", status=1)
        assert how in output
        assert "reuse_port" in output
        assert site.boots("web") == boots

    refused(replace(program, conf="reuse_port = True"), "web: failed")
    assert site.ctl("restart", "web").status == 0
    site.wait_ready("web", 2)
    refused(program, "web: refused, nothing was touched:")


def test_with_preload_app_it_costs_one_boot_whatever_the_number_of_workers(
    make_site: MakeSite,
) -> None:
    """Only as many processes get through the new release's gate as it has tickets: one."""
    workers = 5
    site = make_site(Program(workers=workers, conf="preload_app = True")).deploy("v2", boot="gate")
    site.open_gate("v2", boots=1)
    with site.unharmed(replaced=workers, same_arbiter=False) as meanwhile:
        assert "it has preload_app" in site.roll("web")
    site.assert_applied("web")
    assert meanwhile.load.so_far().requests[-1].release == "v2"
    assert site.boots("web") == 2 * workers
