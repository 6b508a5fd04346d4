"""Two processes of one program write to one log file, which is rotated once and never lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from supervisor.xmlrpc import Faults

from tests.rpc.succeeding import UNCHANGED, Succeeding, descriptors, fault
from tests.rpc.supervised import wait_for

Begin = Callable[..., Succeeding]
# Writes a line of 100 bytes with its environment's letter whenever it is told to.
WRITER = """[program:myapp]
command=/bin/sh -c 'trap "printf %%099d\\\\\\\\n 0 | tr 0 $LETTER" USR1; trap "" TERM; echo on;
 while :; do sleep 0.05; done'
startsecs=0
stopwaitsecs={stop}
stdout_logfile={{folder}}/app
environment=LETTER={letter}
"""


def writer(letter: str, more: str = "", stop: int = 600) -> str:
    return WRITER.format(letter=letter, stop=stop) + more + "\n"


def begun(site: Succeeding, count: int) -> None:
    wait_for(lambda: everything(site).count("on\n") == count)


def both(begin: Begin, old: str, new: str) -> Succeeding:
    """A site in which the old program and its successor, of another configuration, run."""
    site = begin(old)
    begun(site, 1)
    site.change(new)
    site.succeed()
    begun(site, 2)
    return site


def everything(site: Succeeding) -> str:
    """All that has been logged, of the oldest file first."""
    files = sorted(site.folder.glob("app*"), key=lambda path: -int(path.suffix[1:] or 0))
    return "".join(path.read_text() for path in files)


def write(site: Succeeding, name: str, letter: str) -> None:
    """Have the process write one line, and wait for it."""
    before = everything(site).count(letter * 99 + "\n")
    site.server.supervisor.signalProcess(name, "USR1")
    wait_for(lambda: everything(site).count(letter * 99 + "\n") == before + 1)


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ("", "", 1),
        # 300 bytes to a file.
        ("stdout_logfile_maxbytes=300", "stdout_logfile_maxbytes=300", 3),
        (
            "stdout_logfile_maxbytes=300",
            "stdout_logfile_maxbytes=300\nstdout_logfile_backups=20",
            3,
        ),
        ("stdout_logfile_maxbytes=0", "stdout_logfile_maxbytes=300", 2),
        ("stdout_logfile_maxbytes=300", "stdout_logfile_maxbytes=0", 2),
    ],
)
def test_no_line_is_lost_and_the_newest_are_in_the_file_itself(
    begin: Begin, old: str, new: str, kept: int
) -> None:
    site = both(begin, writer("a", old), writer("b", new))
    for _ in range(3):
        write(site, "myapp", "a")
        write(site, "myapp:myapp.successor", "b")
    site.promote()
    for _ in range(3):
        write(site, "myapp", "b")
        write(site, "myapp:myapp.retiring", "a")
    site.server.supervisor.signalProcess("myapp:myapp.retiring", "KILL")
    site.wait_names("myapp")
    write(site, "myapp", "b")
    text = everything(site)
    assert text.count("a" * 99 + "\n") == 6
    assert text.count("b" * 99 + "\n") == 7
    assert len(text) == 13 * 100 + 6
    assert len(list(site.folder.glob("app*"))) >= kept
    write(site, "myapp", "b")
    write(site, "myapp", "b")
    assert site.server.supervisor.tailProcessStdoutLog("myapp", 0, 100)[0] in ("b" * 99 + "\n", "")
    opened = [one for one in descriptors(site.server.supervisor.getPID()) if "/app" in one]
    assert opened == [f"{site.folder}/app"], "of the old process's loggers none is left"
    assert site.reload_config() == UNCHANGED


def test_the_new_limits_count_from_the_promotion_on(begin: Begin) -> None:
    site = both(
        begin,
        writer("a", "stdout_logfile_maxbytes=300\nstdout_logfile_backups=1"),
        writer("b", "stdout_logfile_maxbytes=1000\nstdout_logfile_backups=2"),
    )
    site.promote()
    for _ in range(8):
        write(site, "myapp", "b")
    assert (site.folder / "app").stat().st_size >= 800


def test_a_program_that_was_restarted_meanwhile_shares_again(begin: Begin) -> None:
    """Its new logger and the successor's would both rotate the file."""
    limits = "stdout_logfile_maxbytes=300\nstdout_logfile_backups=20\nautorestart=true"
    site = both(begin, writer("a", limits), writer("b", limits))
    old = site.pid()
    psutil.Process(old).kill()
    wait_for(lambda: site.pid() not in (0, old))
    begun(site, 3)
    site.promote()
    for _ in range(5):
        write(site, "myapp", "b")
        write(site, "myapp:myapp.retiring", "a")
    assert len(everything(site)) == 10 * 100 + 9
    opened = [one for one in descriptors(site.server.supervisor.getPID()) if "/app" in one]
    assert opened == [f"{site.folder}/app"]


def test_another_file_is_another_log(begin: Begin) -> None:
    site = begin(writer("a"))
    begun(site, 1)
    site.change(writer("b").replace("/app", "/new"))
    site.succeed()
    wait_for(lambda: site.log("new") == "on\n")
    site.promote()
    site.server.supervisor.signalProcess("myapp:myapp.retiring", "USR1")
    wait_for(lambda: site.log("app") == "on\n" + "a" * 99 + "\n")
    assert site.log("new") == "on\n"


SPEAKS = "command=/bin/sh -c 'echo on; echo off >&2; exec sleep 1000'\nstartsecs=0\n"


def test_automatic_log_files_stay_the_same(begin: Begin) -> None:
    site = begin(f"[program:myapp]\n{SPEAKS}")
    before = site.info("myapp")
    for number in range(2):
        site.change(f"[program:myapp]\n{SPEAKS}environment=A={number}\n")
        site.replace()
        for key in ("stdout_logfile", "stderr_logfile"):
            path = site.info("myapp")[key]
            assert path == before[key]
            wait_for(
                lambda path=path, number=number: len(Path(path).read_text().split()) == number + 2
            )
    assert len(list(site.folder.glob("myapp-*---supervisor-*"))) == 2
    assert site.reload_config() == UNCHANGED


def test_an_automatic_log_file_that_was_not_there_is_made(begin: Begin) -> None:
    """stderr had none while it was redirected, and would be lost without."""
    site = begin(f"[program:myapp]\n{SPEAKS}redirect_stderr=true\n")
    assert site.info("myapp")["stderr_logfile"] == ""
    site.change(f"[program:myapp]\n{SPEAKS}redirect_stderr=false\n")
    before = set(site.folder.iterdir())
    site.succeed()
    made = set(site.folder.iterdir()) - before
    assert len(made) == 1
    site.discard()
    site.wait_names("myapp")
    assert not made & set(site.folder.iterdir()), "nobody uses it"
    site.replace()
    path = site.info("myapp")["stderr_logfile"]
    assert path.startswith(f"{site.folder}/myapp-stderr---supervisor-")
    wait_for(lambda: Path(path).read_text() == "off\n")
    assert site.reload_config() == UNCHANGED


def test_a_log_file_that_cannot_be_opened_any_more_stops_no_promotion_halfway(begin: Begin) -> None:
    site = both(
        begin, writer("a", "stdout_logfile_maxbytes=0"), writer("b", "stdout_logfile_maxbytes=300")
    )
    before = site.processes()
    (site.folder / "app").rename(site.folder / "was")
    (site.folder / "app").mkdir()
    code, text = fault(site.promote)
    assert (code, "its log files cannot be opened" in text) == (Faults.FAILED, True)
    assert site.processes() == before
    (site.folder / "app").rmdir()
    site.promote()
    write(site, "myapp", "b")
