"""Where Gunicorn's hooks write to: a directory with a Unix datagram socket for each user.

The directory is the listener's, and nobody else may write in it. Who runs no program finds no
socket there that he may write to. A listener that is not root has one for its own user alone.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from supervisor_roll.listener.edges.process_stat import stat_of
from supervisor_roll.listener.edges.process_user import Credentials
from supervisor_roll.listener.edges.received import Datagram
from supervisor_roll.listener.edges.user_socket import Bound, Known, UserSocket
from supervisor_roll.rollout.events import InstanceId

log = logging.getLogger("supervisor_roll")

# For how long the loop waits for what is in the queues already.
PATIENCE_SECS = 1.0
_MAX_USERS = 1000
# Of which so many are of users that no configuration has, but workers say they will be.
_MAX_TOLD = 100
_CURE = "; move it away, or set socket= in [rpcinterface:roll] to another path"


def anybody(pid: int) -> InstanceId | None:
    """Any process that runs."""
    found = stat_of(pid)
    return None if found is None else found.id


class ReadinessSocket:
    """The directory ``path`` and the sockets in it.

    ``wrong`` says why nobody, or not everybody, can write there now; empty if all is well.
    ``known`` tells the identity of a process that may be heard. ``bound`` are sockets that are
    open already. Raises OSError; with these it sets ``wrong`` instead.
    """

    def __init__(self, path: str, known: Known = anybody, bound: Sequence[Bound] = ()) -> None:
        self.path, self._known = path, known
        self.wrong = ""
        self._wanted = {os.geteuid(), *(one.uid for one in bound)}
        self._told = {one.uid for one in bound if one.told}
        self._sockets: dict[int, UserSocket] = {}
        self._former: list[UserSocket] = []  # lost; what was in their queues is still received
        self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._directory = -1
        self._sockets.update((one.uid, self._socket(one.uid, bound=one)) for one in bound)
        try:
            self._directory = _made(path)
            self._bind()
        except OSError as error:
            if not bound:
                self.close()
                raise
            self._cannot(error)

    def fileno(self) -> int:
        """Readable when something has come."""
        return self._woken

    def close(self) -> None:
        for one in self._sockets.values():
            one.close()
        self._sockets.clear()
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def serve(self, uids: Iterable[int], *, told: bool = False) -> None:
        """Have a socket for each of these users too, as far as we are root.

        ``told``: only workers say that they are needed, and take no place that others need.
        """
        new = sorted(set(uids) - self._wanted)
        if told:
            new = new[: _MAX_TOLD - len(self._told)]
            self._told.update(new)
        new = new[: max(0, _MAX_USERS - len(self._wanted - self._told))]
        if os.geteuid() == 0 and new:
            self._wanted.update(new)
            self.check()

    @property
    def held_back(self) -> bool:
        """Something has come that ``receive`` gives later."""
        return any(one.held_back for one in self._all())

    @property
    def handled(self) -> int:
        """How much has come, used or not, through the sockets that there are."""
        return sum(one.handled for one in self._all())

    @property
    def bound(self) -> list[Bound]:
        """The sockets, for who receives in our place."""
        return [one.bound(uid in self._told) for uid, one in self._sockets.items()]

    @property
    def paths(self) -> list[str]:
        """Where a hook finds them."""
        return [self.path, *(f"{self.path}/{uid}" for uid in self._sockets)]

    @contextmanager
    def silenced(self) -> Iterator[bool]:
        """Leave what comes meanwhile in the queues. False: we are in the middle of something."""
        with ExitStack() as stack:
            silent = [stack.enter_context(one.silenced()) for one in self._sockets.values()]
            yield all(silent) and not self._former

    def receive(self) -> Iterator[Datagram]:
        """Hand over what has come, at least what was there when this was called.

        What is done with each, before the next is asked for, counts as time of its user's.
        """
        try:
            os.eventfd_read(self._woken)
        except BlockingIOError:
            pass
        ended = {one for one in self._former if one.ended}
        until = time.monotonic() + PATIENCE_SECS
        for one in self._all():
            one.wait(until)
        some = False
        for one in self._all():
            for datagram in one.receive():
                some = True
                yield datagram
        if not some:
            # A share is for when there are others: a user of many programs is not slowed by it.
            for one in self._all():
                yield from one.few()
        self._former = [one for one in self._former if one not in ended or one.held_back]

    def _all(self) -> list[UserSocket]:
        return [*self._former, *self._sockets.values()]

    def check(self) -> bool:
        """Compare the paths with what was bound, and bind anew what was lost.

        Whether ``wrong`` is another now.
        """
        before = self.wrong
        try:
            lost = self._lost()
            if lost:
                if not before:
                    log.warning("%s %s: it is created again", self.path, lost)
                old, self._directory = self._directory, -1
                if old >= 0:
                    os.close(old)
                self._directory = _made(self.path)
            self._bind()
            self.wrong = ""
        except OSError as error:
            self._cannot(error)
        if self.wrong and self.wrong != before:
            log.error("%s", self.wrong)
        elif before and not self.wrong:
            log.info("%s can be written to again", self.path)
        return self.wrong != before

    def barrier(self, pid: int) -> str:
        """Why this process cannot write to the listener; empty if nothing is in its way."""
        if self.wrong:
            return self.wrong
        user = Credentials.of_process(pid)
        if user is None or user.uid == 0:
            return ""
        folder = os.path.dirname(self.path)  # noqa: PTH120
        while True:
            try:
                found = os.stat(folder)  # noqa: PTH116
            except OSError:
                return ""
            if not _may_pass(user, found):
                return (
                    f"user {user.uid}, whom pid {pid} runs as, may not pass through {folder} to "
                    f"the listener's sockets in {self.path}: chmod o+x {folder}, or set socket= "
                    "in [rpcinterface:roll] to a path that it can reach"
                )
            if folder in ("/", ""):
                break
            folder = os.path.dirname(folder)  # noqa: PTH120
        if user.uid not in self._sockets:
            return (
                f"there is no socket for user {user.uid}, whom pid {pid} runs as, in {self.path}: "
                "only a listener that runs as root has sockets for other users"
            )
        return ""

    def _cannot(self, error: OSError) -> None:
        self.wrong = f"nobody can write to the listener's sockets: {told(error, self.path)}"

    def _socket(
        self, uid: int, former: UserSocket | None = None, bound: Bound | None = None
    ) -> UserSocket:
        return UserSocket(self._directory, uid, self._known, self._wake, former, bound)

    def _lost(self) -> str:
        """Return what is wrong with the directory; empty if nothing is."""
        if self._directory < 0:
            return "is missing"
        bound = os.fstat(self._directory)
        try:
            found = os.lstat(self.path)
        except OSError as error:
            return f"cannot be found ({error.strerror})"
        if (found.st_dev, found.st_ino) != (bound.st_dev, bound.st_ino):
            return "was replaced"
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != 0o755:
            return "was given another owner or mode"
        return ""

    def _bind(self) -> None:
        """Bind what is not bound. One that cannot be keeps no other from it. Raises OSError."""
        failed: OSError | None = None
        for uid in sorted(self._wanted):
            one = self._sockets.get(uid)
            try:
                lost = one.lost(self._directory) if one is not None else ""
                if one is not None and not lost:
                    continue
                if lost and not self.wrong:
                    log.warning("%s/%d %s: it is bound again", self.path, uid, lost)
                self._sockets[uid] = self._socket(uid, one)
            except OSError as error:
                failed = error
                continue
            if one is not None:
                one.close()
                self._former.append(one)
        if failed is not None:
            raise failed

    def _wake(self) -> None:
        try:
            os.eventfd_write(self._woken, 1)
        except BlockingIOError:
            pass


def told(error: OSError, path: str) -> str:
    """Return the error, and at what path it was."""
    why = error.strerror or str(error)
    return why if isinstance(error, _RefusedError) else f"{path}: {why}"


class _RefusedError(OSError):
    """A path that is not to be used, and why."""

    def __init__(self, why: str) -> None:
        super().__init__(None, why)


def _made(path: str) -> int:
    """Open the directory; made if it is not there. What is no directory makes way."""
    folder, name = os.path.split(path.rstrip("/"))
    # Whose folder it is may put another in its place meanwhile: what is done is done in this one.
    parent = os.open(folder or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISSOCK(found.st_mode):
                os.unlink(name, dir_fd=parent)  # an earlier version's
            elif not stat.S_ISDIR(found.st_mode):
                os.rename(name, f"{name}.old", src_dir_fd=parent, dst_dir_fd=parent)
        except FileNotFoundError:
            pass
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
        except FileExistsError:
            pass
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        directory = os.open(name, flags, dir_fd=parent)
    finally:
        os.close(parent)
    try:
        found = os.fstat(directory)
        if found.st_uid != os.geteuid():
            raise _RefusedError(
                f"{path} belongs to user {found.st_uid}, and not to {os.geteuid()}, whom the "
                f"listener runs as{_CURE}"
            )
        if found.st_mode & 0o022:
            raise _RefusedError(
                f"{path} may be written by others (mode {stat.S_IMODE(found.st_mode):04o}): "
                f"chmod 755 {path}"
            )
        os.fchmod(directory, 0o755)
    except OSError:
        os.close(directory)
        raise
    return directory


def _may_pass(user: Credentials, found: os.stat_result) -> bool:
    if found.st_uid == user.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid in (user.gid, *user.groups):
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
