"""The sockets that hooks write to: one for each user, and the kernel says who wrote."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from supervisor_roll.hooks.channel import Channel
from supervisor_roll.listener.edges import readiness_socket, share
from supervisor_roll.listener.edges.process_stat import stat_of
from supervisor_roll.listener.edges.readiness_socket import ReadinessSocket
from supervisor_roll.listener.edges.received import Answer, Descriptors
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.wire.datagram import MAX_BYTES, SOCKET_VARIABLE, decode, encode
from supervisor_roll.wire.messages import Ack, Ready
from tests.harness.descriptors import open_descriptors
from tests.harness.waiting import wait_until
from tests.listener.edges.conftest import UID, send

DEADLINE_SECS = 30.0


@pytest.fixture
def sender(readiness: ReadinessSocket) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(DEADLINE_SECS)
        sender.connect(f"{readiness.path}/{UID}")
        yield sender


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(autouse=True)
def timeout() -> Iterator[None]:
    """As in the listener, whose XML-RPC has no other way to be bounded."""
    socket.setdefaulttimeout(DEADLINE_SECS)
    yield
    socket.setdefaulttimeout(None)


# --- who wrote ----------------------------------------------------------------------------------


def test_it_says_who_wrote_by_the_kernels_word(
    readiness: ReadinessSocket, sender: socket.socket
) -> None:
    sender.send(b"mine")
    program = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "s.sendto(b'pid=1', sys.argv[1])\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, f"{readiness.path}/{UID}"], stdin=subprocess.PIPE
    ) as child:
        found = []
        wait_until(lambda: bool(found.extend(readiness.receive()) or len(found) == 2))
        child.communicate(b"")
    assert [(one.sender.pid, one.data) for one in found] == [
        (os.getpid(), b"mine"),
        (child.pid, b"pid=1"),
    ]
    own = stat_of(os.getpid())
    assert found[0].sender == own.id


def test_a_pid_that_was_given_anew_since_is_not_the_senders(path: Path) -> None:
    """Its process began after the message was sent: the one that sent it has ended."""
    began = time.clock_gettime(time.CLOCK_BOOTTIME)
    later = InstanceId(os.getpid(), int((began + 1000) * os.sysconf("SC_CLK_TCK")))
    readiness = ReadinessSocket(str(path), lambda pid: later)
    send(path, b"READY=1")
    assert list(readiness.receive()) == []
    readiness.close()


def test_what_is_of_no_program_is_dropped_unread_and_not_worth_a_line(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    readiness = ReadinessSocket(str(path), lambda pid: None)
    before = open_descriptors()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(f"{path}/{UID}")
        for _ in range(200):
            socket.send_fds(sender, [b"secret text"], [sender.fileno()] * 64)
    wait_until(lambda: list(readiness.receive()) == [] and open_descriptors() <= before)
    lines = [one.getMessage() for one in caplog.records if "ignored" in one.getMessage()]
    assert len(lines) == 1
    assert f"pid {os.getpid()} of user {UID}" in lines[0]
    assert "secret" not in caplog.text
    readiness.close()


def test_one_message_that_fails_costs_no_other(path: Path) -> None:
    failing = [True]

    def known(pid: int) -> InstanceId | None:
        if failing.pop() if failing else False:
            raise OSError("Too many open files")
        return InstanceId(pid, 0)

    readiness = ReadinessSocket(str(path), known)
    send(path, b"one")
    send(path, b"two")
    assert [one.data for one in readiness.receive()] == [b"two"]
    readiness.close()


def test_what_is_said_is_heard_whole_and_in_order(
    readiness: ReadinessSocket, sender: socket.socket
) -> None:
    sender.setblocking(False)
    sent, heard = 0, []
    while sent < 40:
        try:
            sender.send(b"%d" % sent)
            sent += 1
        except BlockingIOError:
            heard += readiness.receive()
    while len(heard) < sent:
        heard += readiness.receive()
    assert [int(one.data) for one in heard] == list(range(sent))


def test_a_flood_by_a_programs_own_process_is_thinned_out(
    readiness: ReadinessSocket, sender: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    for _ in range(600):
        sender.send(b"x")
    heard = list(readiness.receive())
    for _ in range(10):
        heard += readiness.receive()
    seconds = int(time.monotonic() - began) + 2
    assert 50 <= len(heard) <= 50 * seconds
    assert len(caplog.records) == 1


def test_whose_messages_took_long_has_them_heard_later(
    readiness: ReadinessSocket, sender: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share, "BURST_SECS", 0.1)
    monkeypatch.setattr(share, "SHARE", 0.0)
    sender.send(b"takes long")
    (datagram,) = list(readiness.receive())
    with datagram.share.spend():
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            pass
    for _ in range(20):
        sender.send(b"x")
    wait_until(lambda: readiness.held_back)
    # Nobody else has said anything, so that it goes on, a few at a time.
    heard = list(readiness.receive())
    assert 1 <= len(heard) <= 8

    def all_heard() -> bool:
        heard.extend(readiness.receive())
        return len(heard) == 20

    wait_until(all_heard)
    assert not readiness.held_back


def test_nothing_more_to_receive_is_no_wait(
    readiness: ReadinessSocket, sender: socket.socket
) -> None:
    began = time.monotonic()
    for _ in range(20):
        sender.send(b"x")
        assert len(list(readiness.receive())) == 1
        assert list(readiness.receive()) == []
    assert time.monotonic() < began + 15


# --- the directory ------------------------------------------------------------------------------


def test_only_its_user_may_write_to_a_socket(readiness: ReadinessSocket, path: Path) -> None:
    assert mode_of(path) == 0o755
    assert [(one.name, mode_of(one)) for one in path.iterdir()] == [(str(UID), 0o600)]
    assert path.stat().st_uid == UID


@pytest.mark.skipif(UID != 0, reason="only root serves other users")
def test_each_user_has_a_socket_of_its_own(readiness: ReadinessSocket, path: Path) -> None:
    readiness.serve([65534, 0])
    readiness.serve([65534])
    found = {one.name: (one.stat().st_uid, mode_of(one)) for one in path.iterdir()}
    assert found == {"0": (0, 0o600), "65534": (65534, 0o600)}


@pytest.mark.skipif(UID != 0, reason="only root serves other users")
def test_users_that_workers_tell_of_take_no_place_of_those_that_are_configured(
    readiness: ReadinessSocket, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness_socket, "_MAX_USERS", 4)
    monkeypatch.setattr(readiness_socket, "_MAX_TOLD", 2)
    for uid in range(100, 110):
        readiness.serve([uid], told=True)
    readiness.serve([70_000, 70_001])
    readiness.serve([1, 2, 3])  # one has room yet, and nobody is dropped for it
    assert {one.name for one in path.iterdir()} == {"0", "1", "100", "101", "70000", "70001"}


def as_nobody(what: Callable[[], object]) -> int:
    """Do it in a child that has become another user; its exit status."""
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(DEADLINE_SECS))  # ends it
        try:
            os.setgroups([])
            os.setuid(65534)
            what()
            os._exit(0)
        except PermissionError:
            os._exit(13)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.skipif(UID != 0, reason="only root serves other users")
def test_a_worker_that_has_become_another_user_writes_to_that_users_socket(
    readiness: ReadinessSocket, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SOCKET_VARIABLE, str(path))
    readiness.serve([65534])
    for folder in path.parents:
        if folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
        if folder.parent == Path("/tmp"):
            break
    channel = Channel(patience_secs=DEADLINE_SECS)  # of its arbiter's user, as yet
    ended, end = os.pipe()

    def say() -> None:
        os.close(end)
        channel.tell(Ready(age=1))
        os.read(ended, 1)

    heard: list[bytes] = []

    def hear() -> None:
        try:
            wait_until(lambda: bool(heard.extend(one.data for one in readiness.receive()) or heard))
        finally:
            os.close(end)

    thread = threading.Thread(target=hear)
    thread.start()
    assert as_nobody(say) == 0
    thread.join()
    os.close(ended)
    assert [decode(data) for data in heard] == [Ready(age=1)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        assert as_nobody(lambda: one.sendto(b"x", f"{path}/65534")) == 0
        assert as_nobody(lambda: one.sendto(b"x", f"{path}/0")) == 13


@pytest.mark.skipif(UID != 0, reason="needs another user")
def test_a_folder_that_a_user_may_not_pass_is_named(readiness: ReadinessSocket, path: Path) -> None:
    readiness.serve([65534])
    path.parent.chmod(0o700)
    with subprocess.Popen(
        ["/bin/sleep", "60"], user=65534, group=65534, extra_groups=[], cwd="/"
    ) as other:
        why = readiness.barrier(other.pid)
        other.kill()
    assert "user 65534" in why
    assert str(path) in why
    assert "chmod o+x" in why
    assert readiness.barrier(os.getpid()) == ""


def test_a_new_listener_takes_the_path_over(readiness: ReadinessSocket, path: Path) -> None:
    new = ReadinessSocket(str(path))
    send(path, b"x")
    assert list(readiness.receive()) == []
    assert [one.data for one in new.receive()] == [b"x"]
    assert [one.name for one in path.iterdir()] == [str(UID)]
    new.close()


def test_a_socket_of_an_earlier_version_makes_way(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as old:
        old.bind(str(path))
    ReadinessSocket(str(path)).close()
    assert path.is_dir()


def test_what_makes_way_does_so_in_the_folder_that_was_looked_at(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner puts a link in the folder's place once the listener has looked."""
    path.write_text("theirs")
    (tmp_path / path.name).write_text("precious")
    rename = os.rename

    def swap_first(*names: Any, **folders: Any) -> None:
        monkeypatch.undo()
        path.parent.rename(f"{path.parent}.moved")
        path.parent.symlink_to(tmp_path)
        rename(*names, **folders)

    monkeypatch.setattr(os, "rename", swap_first)
    ReadinessSocket(str(path)).close()
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert (tmp_path / path.name).read_text() == "precious"
    path.parent.unlink()
    Path(f"{path.parent}.moved").rename(path.parent)
    assert Path(f"{path}.old").read_text() == "theirs"


def test_a_path_as_long_as_may_be_is_fine() -> None:
    with tempfile.TemporaryDirectory(prefix="roll") as directory:
        path = f"{directory}/{'s' * 200}"[:96]
        readiness = ReadinessSocket(path)
        send(Path(path), b"x")
        assert len(list(readiness.receive())) == 1
        readiness.close()


def test_a_parent_that_is_missing_is_an_error() -> None:
    with pytest.raises(OSError):
        ReadinessSocket("/nonexistent/s")


def test_a_directory_that_others_may_write_is_refused(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)
    with pytest.raises(OSError, match="may be written by others"):
        ReadinessSocket(str(path))


@pytest.mark.skipif(UID != 0, reason="needs another user")
def test_a_directory_of_another_user_is_refused(path: Path) -> None:
    path.mkdir()
    os.chown(path, 65534, -1)
    with pytest.raises(OSError, match="belongs to user 65534"):
        ReadinessSocket(str(path))


def _removed(path: Path) -> None:
    (path / str(UID)).unlink()
    path.rmdir()


def _moved(path: Path) -> None:
    path.rename(path.with_name("moved"))


def _replaced_by_a_file(path: Path) -> None:
    _moved(path)
    path.write_text("precious")


def _replaced_by_a_link(path: Path) -> None:
    _moved(path)
    path.symlink_to("moved")


def _replaced_by_a_fifo(path: Path) -> None:
    _moved(path)
    os.mkfifo(path)


def _replaced_by_a_directory(path: Path) -> None:
    _moved(path)
    path.mkdir()


def _socket_removed(path: Path) -> None:
    (path / str(UID)).unlink()


def _socket_replaced(path: Path) -> None:
    _socket_removed(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(f"{path}/{UID}")


def _socket_is_a_directory(path: Path) -> None:
    _socket_removed(path)
    (path / str(UID) / "full").mkdir(parents=True)


def _socket_opened(path: Path) -> None:
    (path / str(UID)).chmod(0o666)


@pytest.mark.parametrize(
    "lose",
    [
        _removed,
        _moved,
        _replaced_by_a_file,
        _replaced_by_a_link,
        _replaced_by_a_fifo,
        _replaced_by_a_directory,
        _socket_removed,
        _socket_replaced,
        _socket_is_a_directory,
        _socket_opened,
    ],
)
def test_what_is_lost_is_bound_anew(
    lose: Callable[[Path], None],
    readiness: ReadinessSocket,
    path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    readiness.check()
    assert caplog.text == ""
    send(path, b"before")
    lose(path)
    readiness.check()
    assert readiness.wrong == ""
    assert len([one for one in caplog.records if ": it is " in one.getMessage()]) >= 1
    send(path, b"after")
    heard: list[bytes] = []
    wait_until(lambda: bool(heard.extend(one.data for one in readiness.receive()) or heard[1:]))
    assert heard == [b"before", b"after"]
    assert (mode_of(path), mode_of(path / str(UID))) == (0o755, 0o600)
    kept = path.with_name("s.old")
    assert lose is not _replaced_by_a_file or kept.read_text() == "precious"


def threads_of_sockets() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("receives")]


def test_a_user_who_opens_its_socket_to_others_keeps_the_same_one(
    readiness: ReadinessSocket, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bound, threads = (path / str(UID)).lstat().st_ino, len(threads_of_sockets())
    for _ in range(20):
        (path / str(UID)).chmod(0o666)
        readiness.check()
        assert mode_of(path / str(UID)) == 0o600
    assert (path / str(UID)).lstat().st_ino == bound
    assert len(threads_of_sockets()) <= threads
    assert len(caplog.records) == 1


def test_what_waits_in_a_socket_that_was_lost_is_heard_in_its_users_time(
    readiness: ReadinessSocket, sender: socket.socket, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_descriptors()
    for _ in range(20):
        socket.send_fds(sender, [b"x"], [sender.fileno()] * 3)
    wait_until(lambda: readiness.held_back)
    monkeypatch.setattr(share, "SHARE", 0.0)
    monkeypatch.setattr(share, "BURST_SECS", -1.0)  # spent, for its next socket too
    (path / str(UID)).unlink()
    readiness.check()
    with pytest.raises(OSError):
        sender.send(b"nothing more goes there")
    heard = []

    def all_heard() -> bool:
        some = list(readiness.receive())
        heard.extend(some)
        assert len(some) <= 8
        return len(heard) == 20

    wait_until(all_heard)
    for datagram in heard:
        datagram.answer.drop()
        datagram.close()
    wait_until(lambda: open_descriptors() <= before)
    assert len({id(one.share) for one in heard}) == 1
    send(path, b"x")
    wait_until(lambda: readiness.held_back)
    (datagram,) = readiness.receive()
    assert datagram.share is heard[0].share


def test_of_what_was_received_together_nothing_is_heard_after_its_users_time_is_spent(
    readiness: ReadinessSocket, sender: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share, "SHARE", 0.0)
    for _ in range(20):
        sender.send(b"takes long")
    heard = 0
    for datagram in readiness.receive():
        with datagram.share.spend():
            until = time.thread_time() + share.BURST_SECS / 4
            while time.thread_time() < until:
                pass
        heard += 1
    assert heard <= 5
    assert readiness.held_back


def test_while_it_cannot_be_bound_it_says_why_and_once(
    readiness: ReadinessSocket, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.chmod(0o777)
    assert readiness.check()
    assert "may be written by others" in readiness.wrong
    assert f"chmod 755 {path}" in readiness.wrong
    lines = len(caplog.records)
    assert not readiness.check()
    assert len(caplog.records) == lines
    assert readiness.barrier(os.getpid()) == readiness.wrong
    path.chmod(0o755)
    assert readiness.check()
    assert readiness.wrong == ""
    send(path, b"x")
    assert len(list(readiness.receive())) == 1


def test_a_parent_that_has_gone_is_told_and_its_return_is_enough(
    readiness: ReadinessSocket, path: Path
) -> None:
    parent = path.parent
    parent.rename(f"{parent}.gone")
    readiness.check()
    assert str(path) in readiness.wrong
    Path(f"{parent}.gone").rename(parent)
    readiness.check()
    assert readiness.wrong == ""
    send(path, b"x")
    assert len(list(readiness.receive())) == 1


# --- answers and descriptors ----------------------------------------------------------------------


def test_a_hook_is_answered(
    readiness: ReadinessSocket, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SOCKET_VARIABLE, str(path))
    channel = Channel(patience_secs=0.01)
    assert channel.ask(Ready(age=1)) is None
    (datagram,) = list(readiness.receive())
    assert decode(datagram.data) == Ready(age=1)
    datagram.answer.send(Ack(surplus=False))
    assert channel.ask(Ready()) == Ack(surplus=False)


def test_an_answer_is_given_once() -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    answer = Answer(theirs.detach(), Descriptors())
    answer.send(Ack())
    answer.send(Ack())
    answer.drop()
    with mine:
        assert mine.recv(1000) == encode(Ack())
        assert mine.recv(1000) == b""


def test_a_sender_that_has_gone_or_does_not_read_is_no_error() -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    answer = Answer(theirs.detach(), Descriptors())
    mine.close()
    answer.send(Ack())

    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine:
        theirs.setblocking(False)
        try:
            while True:
                theirs.send(b"x" * 1000)
        except BlockingIOError:
            pass
        theirs.setblocking(True)
        Answer(theirs.detach(), Descriptors()).send(Ack())  # returns


def test_descriptors_that_come_uncalled_for_are_closed(
    readiness: ReadinessSocket, sender: socket.socket
) -> None:
    before = open_descriptors()
    with socket.socket() as one, socket.socket() as two, Path(__file__).open() as file:
        socket.send_fds(sender, [b"many"], [one.fileno(), two.fileno(), one.fileno()])
        socket.send_fds(sender, [b"no socket"], [file.fileno()])
        socket.send_fds(sender, [b"too many"], [one.fileno()] * 250)
        socket.send_fds(sender, [b""], [one.fileno()])
    found = list(readiness.receive())
    assert [one.data for one in found] == [b"many", b"no socket", b"too many", b""]
    for datagram in found:
        datagram.close()
        datagram.answer.send(Ack())
    wait_until(lambda: open_descriptors() <= before)


def test_more_descriptors_than_are_taken_at_once_cost_their_answers_alone(
    readiness: ReadinessSocket, sender: socket.socket
) -> None:
    before = open_descriptors()
    with socket.socket() as one:
        for _ in range(8):
            socket.send_fds(sender, [b"x"], [one.fileno()] * 100)
    found = list(readiness.receive())
    assert len(found) == 8
    assert open_descriptors() < before + 500
    assert found[-1].answer is None
    for datagram in found:
        datagram.close()
        if datagram.answer is not None:
            datagram.answer.drop()
    wait_until(lambda: open_descriptors() <= before)


def test_a_datagram_that_is_too_long_is_seen_to_be(
    readiness: ReadinessSocket, sender: socket.socket
) -> None:
    sender.send(b"READY=1\nX=" + b"x" * MAX_BYTES)
    (datagram,) = list(readiness.receive())
    with pytest.raises(BadMessage):
        decode(datagram.data)


def test_an_answer_goes_to_nobody_else_whom_its_socket_leads_to(tmp_path: Path) -> None:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        with (
            socket.socket(socket.AF_UNIX, kind) as other,
            socket.socket(socket.AF_UNIX, kind) as to,
        ):
            other.bind(f"\0{tmp_path}")
            if kind == socket.SOCK_SEQPACKET:
                other.listen()
            to.connect(f"\0{tmp_path}")
            Answer(to.detach(), Descriptors()).send(Ack())
            there = other.accept()[0] if kind == socket.SOCK_SEQPACKET else other
            there.setblocking(False)
            with there, suppress(BlockingIOError):
                assert not there.recv(1000)
