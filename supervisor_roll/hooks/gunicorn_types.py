"""What the hooks touch of Gunicorn's objects. For type checkers: nothing imports it at run time.

A test compares it with each supported Gunicorn. What only some of them have is not here: the
hooks look whether it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Config(Protocol):
    """``gunicorn.config.Config``: each setting is an attribute."""

    address: list[Any]  # parsed: a path, a host and port, or an inherited descriptor
    chdir: str
    config: str
    env_orig: dict[str, str]
    gid: int
    graceful_timeout: int
    initgroups: bool
    keepalive: int
    on_exit: Callable[[Any], None]
    pidfile: str | None
    preload_app: bool
    proc_name: str
    reload: bool
    reuse_port: bool
    settings: dict[str, Any]
    threads: int
    timeout: int
    uid: int
    workers: int

    def set(self, name: str, value: Any) -> None: ...


class Listener(Protocol):
    """``gunicorn.sock.BaseSocket``."""

    cfg_addr: Any
    conf: Config

    def fileno(self) -> int: ...

    def close(self) -> None: ...


class Application(Protocol):
    """``gunicorn.app.base.BaseApplication``."""

    def wsgi(self) -> Any: ...


class Pidfile(Protocol):
    """``gunicorn.pidfile.Pidfile``."""

    def rename(self, path: str) -> None: ...

    def unlink(self) -> None: ...


class WorkerTmp(Protocol):
    """``gunicorn.workers.workertmp.WorkerTmp``."""

    def notify(self) -> None: ...


class Worker(Protocol):
    """``gunicorn.workers.base.Worker``."""

    age: int
    alive: bool
    app: Application
    cfg: Config
    max_requests: int
    nr: int
    pid: int
    ppid: int
    sockets: list[Any]
    timeout: float
    tmp: WorkerTmp
    wsgi: Any  # the loaded application, but for ASGIWorker

    def init_process(self) -> None: ...

    def notify(self) -> None: ...

    def run(self) -> None: ...


class ThreadWorker(Worker, Protocol):
    """``gunicorn.workers.gthread.ThreadWorker``."""

    max_keepalived: int
    nr_conns: int


class ASGIWorker(Worker, Protocol):
    """``gunicorn.workers.gasgi.ASGIWorker``, from 24.0 on."""

    asgi: Any
    loop: Any
    nr_conns: int
    servers: list[Any]

    def handle_exit_signal(self) -> None: ...

    def load_wsgi(self) -> None: ...


class TornadoWorker(Worker, Protocol):
    """``gunicorn.workers.gtornado.TornadoWorker``."""

    ioloop: Any
    server: Any


class Arbiter(Protocol):
    """``gunicorn.arbiter.Arbiter``."""

    APP_LOAD_ERROR: int
    LISTENERS: list[Listener]
    START_CTX: dict[Any, Any]
    WORKERS: dict[int, Worker]
    WORKER_BOOT_ERROR: int
    app: Application
    cfg: Config
    log: Any
    master_name: str
    master_pid: int
    num_workers: int
    pid: int
    pidfile: Pidfile | None
    proc_name: str
    reexec_pid: int
    systemd: bool

    def handle_ttin(self) -> None: ...

    def kill_workers(self, sig: int) -> None: ...

    def maybe_promote_master(self) -> None: ...

    def reap_workers(self) -> None: ...

    def reexec(self) -> None: ...

    def spawn_worker(self) -> int | None: ...

    def spawn_workers(self) -> None: ...

    def stop(self, graceful: bool = True) -> None: ...
