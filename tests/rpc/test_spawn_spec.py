"""roll.program says what supervisord would spawn: the same that it did spawn."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xmlrpc.client import Fault

import psutil
import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.wire.codec import from_json
from supervisor_roll.wire.program import Program
from tests.rpc.supervised import DEAF_LISTENER, Supervised, wait_for

PROGRAM = """
[program:dressed]
command=/bin/sh -c 'cat; echo "a %%b" %(ENV_HOME)s'
directory=%(here)s/there
environment=COLOUR="gr%%C3",PATH="/usr/bin:/bin",SUPERVISOR_PROCESS_NAME="mine"
umask=027
startsecs=0
{more}
[program:missing]
command=nosuch --option
autostart=false
[program:directory]
command=/tmp
autostart=false
[program:cut]
command='sleep
autostart=false
"""


@pytest.fixture(scope="module")
def dressed() -> Iterator[Supervised]:
    site = Supervised(DEAF_LISTENER)
    user = "user=nobody" if os.getuid() == 0 else ""
    (site.folder / "there").mkdir()
    site.folder.chmod(0o755)
    site.config.write_text(site.config.read_text() + PROGRAM.format(more=user))
    os.environ["INHERITED"] = "by all"
    try:
        site.start()
        wait_for(lambda: site.info("dressed")["statename"] == "RUNNING")
        yield site
    finally:
        del os.environ["INHERITED"]
        site.stop()


def asked(site: Supervised, name: str) -> Program:
    return from_json(Program, site.listener.program(name))


def test_it_is_what_supervisord_has_spawned(dressed: Supervised) -> None:
    program = asked(dressed, "dressed")
    process = psutil.Process(dressed.info("dressed")["pid"])
    assert program.file == "/bin/sh"
    assert program.arguments == process.cmdline()
    assert program.directory == process.cwd() == f"{dressed.folder}/there"
    assert program.environment == dressed.environment("dressed")
    assert program.environment["INHERITED"] == "by all"
    assert program.environment["SUPERVISOR_PROCESS_NAME"] == "mine"
    assert program.umask == 0o027 == umask(process.pid)


def test_what_is_not_configured_is_supervisords_own(dressed: Supervised) -> None:
    program = asked(dressed, "web:one")
    process = psutil.Process(dressed.info("web:one")["pid"])
    assert Path(program.file).samefile(process.exe())
    assert program.arguments == process.cmdline() == ["sleep", "1000"]
    assert program.directory == process.cwd()
    assert program.environment == dressed.environment("web:one")
    assert program.environment["SUPERVISOR_GROUP_NAME"] == "web"
    assert program.umask == umask(process.pid)
    assert umask(dressed.server.supervisor.getPID()) == program.umask


def umask(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)


def test_it_is_the_configuration_in_force(dressed: Supervised) -> None:
    """Not the one in the file: an operator's update puts that in force."""
    dressed.config.write_text(dressed.config.read_text().replace("umask=027", "umask=077"))
    dressed.server.supervisor.reloadConfig()
    assert asked(dressed, "dressed").umask == 0o027


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("nosuch", Faults.BAD_NAME, "nosuch"),
        ("web", Faults.BAD_NAME, "web"),
        ("web:*", Faults.BAD_NAME, "web:*"),
        (["dressed"], Faults.BAD_NAME, "dressed"),
        ("missing", Faults.NO_FILE, "can't find command 'nosuch'"),
        ("directory", Faults.NOT_EXECUTABLE, "command at '/tmp' is a directory"),
        ("cut", Faults.NOT_EXECUTABLE, "can't parse command"),
    ],
)
def test_what_could_not_be_spawned_is_a_fault(
    dressed: Supervised, name: object, code: int, says: str
) -> None:
    with pytest.raises(Fault) as caught:
        dressed.listener.program(name)
    assert caught.value.faultCode == code
    assert says in caught.value.faultString


@pytest.mark.parametrize("wrong", ["", "0" * 32, 5])
def test_who_does_not_know_the_token_is_told_nothing(dressed: Supervised, wrong: object) -> None:
    with pytest.raises(Fault) as caught:
        dressed.server.roll.program(wrong, "dressed")
    assert caught.value.faultCode == Faults.BAD_ARGUMENTS


def test_it_can_be_spawned_anew(dressed: Supervised) -> None:
    program = asked(dressed, "web:one")
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(sorted(os.environ.items()))"],
        env=program.environment,
        cwd=program.directory,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'SUPERVISOR_PROCESS_NAME', 'one'" in done.stdout
