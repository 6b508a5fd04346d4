"""What stands at a path that another user may have made neither stops nor ends the listener."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.arbiters.releases import release_at
from supervisor_roll.listener.edges import socket_store
from supervisor_roll.listener.edges.process_table import ProcessTable
from supervisor_roll.listener.edges.process_user import Credentials
from supervisor_roll.listener.rollouts import deployed, strategy
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.wire import places
from supervisor_roll.wire.gunicorn_facts import GunicornFacts
from supervisor_roll.wire.places import CHDIR, ROOT, Place
from supervisor_roll.wire.program import Program


def links_without_end(folder: Path) -> Path:
    """A link whose text names the next one a hundred times, and so on."""
    for number in range(60):
        following = f"l{number + 1}/../" * 100 + f"l{number + 1}"
        (folder / f"l{number}").symlink_to(following)
    (folder / "l60").mkdir()
    return folder / "l0"


def arbiter(conf: str, digest: str) -> Arbiter:
    return Arbiter(InstanceId(1, 1), "web", facts=GunicornFacts(conf=conf, conf_digest=digest))


def in_a_process(expression: str) -> str:
    """What it comes to there, and any error; it must not last."""
    text = f"from test_told_paths import *\nprint({expression})"
    told = subprocess.run(
        [sys.executable, "-c", text],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return told.stdout


@pytest.mark.parametrize("kind", ["fifo", "zero"])
def test_a_configuration_file_that_never_ends(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "gunicorn.conf.py"
    os.mkfifo(path) if kind == "fifo" else path.symlink_to("/dev/zero")
    choice = f"strategy.choose(arbiter({str(path)!r}, 'digest'), Settings(), None)"
    assert in_a_process(f"{choice}.changes") == "{}\n"


def test_a_fifo_in_the_folder_that_a_worker_says_it_runs_from(tmp_path: Path) -> None:
    for name in ("v1", "evil"):
        (tmp_path / "releases" / name).mkdir(parents=True)
    (tmp_path / "releases" / "v1" / "REVISION").write_text("v1\n")
    (tmp_path / "current").symlink_to(tmp_path / "releases" / "v1")
    os.mkfifo(tmp_path / "releases" / "evil" / "REVISION")
    path, runs = (
        str(tmp_path / "current" / "REVISION"),
        [Place(CHDIR, "", str(tmp_path / "releases" / "evil"))],
    )
    assert in_a_process(f"release_at({path!r}, {runs!r})") == "?\n"


def test_a_link_in_that_folder_and_a_way_out_of_it_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "releases" / "v1").mkdir(parents=True)
    (tmp_path / "releases" / "v1" / "REVISION").write_text("v1\n")
    (tmp_path / "releases" / "evil").mkdir()
    (tmp_path / "current").symlink_to(tmp_path / "releases" / "v1")
    (tmp_path / "REVISION").write_text("secret\n")
    (tmp_path / "releases" / "evil" / "REVISION").symlink_to(tmp_path / "REVISION")
    path = str(tmp_path / "current" / "REVISION")
    (tmp_path / "releases" / "is_a_link").symlink_to(tmp_path / "private")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "REVISION").write_text("secret\n")
    for place, shown in (("evil", "?"), ("is_a_link", "?"), ("../x", "v1")):
        runs = [Place(CHDIR, "", f"{tmp_path}/releases/{place}")]
        assert release_at(path, runs) == shown


def test_links_that_lead_to_links_without_end_take_no_time(tmp_path: Path) -> None:
    link = str(links_without_end(tmp_path))
    rows = [Place(ROOT, "/", "/", deployed.told_paths.led_to("/")[1])]
    rows.append(Place(places.DIRECTORY, "/", "/", rows[0].node))
    rows += [Place(places.PATH, link, "/elsewhere")] * 400
    told = "\n".join("\t".join((p.kind, p.text, p.real, p.node)) for p in rows)
    run = places.decode(told)
    program = Program("/bin/sh", ["sh", link], "/", {}, 0o22)
    began = time.thread_time()
    assert deployed.elsewhere(run, program) == ""
    deployed.elsewhere([*run, Place(places.BEGAN, "", "1.0")], program)
    assert socket_store.unused([link], [f"unix:{link}"] * 100) == []
    assert time.thread_time() < began + 10


def test_of_what_an_arbiter_tells_no_more_is_looked_at_than_a_real_one_has(tmp_path: Path) -> None:
    def told(places_before: int) -> str:
        rows = [Place(ROOT, "/", "/", deployed.told_paths.led_to("/")[1])]
        rows += [Place(places.PATH, "/", "/", rows[0].node)] * places_before
        rows.append(Place(places.PATH, str(tmp_path), "/elsewhere"))
        return deployed.elsewhere(rows, None)

    assert str(tmp_path) in told(19)
    assert told(20) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may see more than others")
def test_root_sees_of_what_is_told_no_more_than_who_told_it(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        conf, private = Path(folder, "conf.py"), Path(folder, "private")
        conf.write_text("secret")
        conf.chmod(0o640)
        private.mkdir(mode=0o700)
        (private / "link").symlink_to("/usr")
        private_link = Place(places.PATH, str(private / "link"), "/elsewhere")
        process = Place(places.PATH, f"/proc/{os.getpid()}/cwd", "/elsewhere")
        table = ProcessTable(selectors.DefaultSelector())
        before = os.getgroups()
        with subprocess.Popen(
            ["/bin/sleep", "60"], user=65534, group=65534, extra_groups=[], cwd="/"
        ) as worker:
            instance = table.identity(worker.pid)
            assert instance is not None
            for who in ([instance], [InstanceId(os.getpid(), 1), instance], []):
                with table.looking_as(who):
                    assert not strategy.choose(
                        arbiter(str(conf), "guess"), Settings(), None
                    ).changes
                    assert deployed.moved(private_link, False) == ""
            worker.kill()
        assert deployed.moved(process, False) == ""
        assert deployed.moved(private_link, False) == "/usr"
        assert os.getgroups() == before
        assert strategy.choose(arbiter(str(conf), "guess"), Settings(), None).changes


def test_a_worker_that_executes_what_gives_it_anothers_rights_is_not_copied(tmp_path: Path) -> None:
    def shown(uids: str) -> Path:
        (tmp_path / "7").mkdir(exist_ok=True)
        (tmp_path / "7" / "status").write_text(f"Uid:\t{uids}\nGid:\t9\t42\t42\t42\nGroups:\t9 \n")
        return tmp_path

    assert Credentials.of_worker(7, 9, shown("9 9 9 9")) == Credentials(9, 9, (9,))
    assert Credentials.of_worker(7, -1, shown("9 9 9 9")) == Credentials(9, 9, (9,))
    for uid, uids in ((9, "9 0 0 0"), (-1, "9 0 0 0"), (9, "0 0 0 0")):
        assert Credentials.of_worker(7, uid, shown(uids)) is None
