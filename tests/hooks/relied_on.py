"""Run by the interpreter of any Gunicorn: prints what it lacks of what our hooks touch."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from gunicorn import version_info
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.pidfile import Pidfile
from gunicorn.sock import TCPSocket
from gunicorn.workers.base import Worker
from gunicorn.workers.workertmp import WorkerTmp

from supervisor_roll.hooks import gunicorn_types as types
from tests.protocols import lacking

WORKERS = [("gthread", types.ThreadWorker), ("gtornado", types.TornadoWorker)]
if version_info >= (24,):
    WORKERS.append(("gasgi", types.ASGIWorker))


def differences() -> Iterator[str]:
    listener = TCPSocket(("127.0.0.1", 0), Config(), None)
    try:
        yield from lacking(types.Listener, listener)
    finally:
        listener.close()
    yield from lacking(types.Config, Config())
    yield from lacking(types.Application, BaseApplication)
    yield from lacking(types.Pidfile, Pidfile)
    yield from lacking(types.WorkerTmp, WorkerTmp)
    yield from lacking(types.Worker, Worker)
    yield from lacking(types.Arbiter, Arbiter)
    for module, protocol in WORKERS:
        found = importlib.import_module(f"gunicorn.workers.{module}")
        yield from lacking(protocol, getattr(found, protocol.__name__))


if __name__ == "__main__":
    print("\n".join(differences()))
