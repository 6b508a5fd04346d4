"""Route a successor's output inside supervisord, and keep its tail.

Two loggers on one file would both rotate it, each without knowing of the other. So of two
processes with the same file only one logger writes at a time: the serving one's until the
successor is promoted, and from then on what the successor's configuration asks for.
"""

from __future__ import annotations

import copy
from pathlib import Path

from supervisor.datatypes import Automatic
from supervisor.loggers import SyslogHandler

from supervisor_roll.rpc.supervisor_types import Logger, OutputDispatcher, Process, ProcessConfig

TAIL_BYTES = 16384
_LOGFILES = ("stdout_logfile", "stderr_logfile")
# With the same log file: what else must be the same for one logger to serve both for good.
_LOG_KEYS = ("logfile_maxbytes", "logfile_backups", "syslog")


def resolved(config: ProcessConfig, former: ProcessConfig) -> ProcessConfig:
    """Return it, or a copy with the former configuration's files for automatic log files."""
    automatic = [key for key in _LOGFILES if getattr(config, key) is Automatic]
    if automatic:
        config = copy.copy(config)
    for key in automatic:
        setattr(config, key, getattr(former, key))
    return config


def with_logs(config: ProcessConfig, former: ProcessConfig) -> tuple[ProcessConfig, list[str]]:
    """As ``resolved``, but automatic log files are made where there have been none: their paths.

    Raises ChildProcessError if they, or those that are named, cannot be opened: supervisor itself
    would tell no more than an error's name then, and leave pipes open.
    """
    named = resolved(config, former)
    made = [
        key
        for key in _LOGFILES
        if getattr(config, key) is Automatic and getattr(former, key) is None
    ]
    for key in _LOGFILES:
        if getattr(named, key):
            _check_log(key, Path(getattr(named, key)))
    for key in made:
        setattr(named, key, Automatic)
    try:
        named.create_autochildlogs()
    except OSError as error:
        raise ChildProcessError(f"no log file can be made: {error}") from None
    return named, [getattr(named, key) for key in made]


def remove_logs(paths: list[str]) -> None:
    """Remove log files that nobody has come to use."""
    for path in paths:
        try:
            Path(path).unlink()
        except OSError:
            pass


def dispatchers(process: Process) -> list[OutputDispatcher]:
    """Return the process's output dispatchers."""
    return [one for one in process.dispatchers.values() if hasattr(one, "record_output")]


class SuccessorLogs:
    """Of a successor, from its spawn until it is promoted or has ended. ``name``: its program's."""

    def __init__(self, process: Process, serving: Process, name: str) -> None:
        self._tail = bytearray()
        self._dispatchers = dispatchers(process)
        # By channel: the logger that the successor shares, and its own, closed, if it needs one.
        self._shared: dict[str, Logger] = {}
        self._own: dict[str, Logger] = {}
        for dispatcher in self._dispatchers:
            for handler in getattr(dispatcher.normallog, "handlers", ()):
                if isinstance(handler, SyslogHandler):
                    handler.setFormat(f"{name} %(message)s")  # as supervisor has it
            self._share(dispatcher, process.config, serving)
            _tap(dispatcher, self._tail)

    @property
    def tail(self) -> str:
        """The end of what was written to both channels, in the order in which it was read."""
        return self._tail.decode(errors="replace")

    def settle(self, serving: Process) -> None:
        """Have the promoted successor and ``serving`` write to its own logs from now on.

        Raises OSError if a log file cannot be opened; nothing has changed then.
        """
        try:
            for logger in self._own.values():
                for handler in logger.handlers:
                    handler.reopen()
        except OSError:
            for logger in self._own.values():
                logger.close()
            raise
        for dispatcher in self._dispatchers:
            channel = dispatcher.channel
            if channel in self._shared:
                logger = self._own.get(channel, self._shared[channel])
                for one in (dispatcher, _twin(dispatcher, serving)):
                    # The serving one may have been started again, with a logger of its own.
                    if one is not None and one.normallog is not logger:
                        _write_to(one, logger)
        self.close()

    def close(self) -> None:
        """Stop listening."""
        for dispatcher in self._dispatchers:
            # It refers to its dispatcher, whose log files are to be closed with that.
            dispatcher.__dict__.pop("record_output", None)
        self._dispatchers = []

    def _share(self, dispatcher: OutputDispatcher, config: ProcessConfig, serving: Process) -> None:
        channel, twin = dispatcher.channel, _twin(dispatcher, serving)
        logfile = getattr(config, f"{channel}_logfile")
        if (
            twin is None
            or twin.normallog is None
            or not logfile
            or logfile != getattr(serving.config, f"{channel}_logfile")
        ):
            return
        if dispatcher.normallog is not None and any(
            getattr(config, f"{channel}_{key}") != getattr(serving.config, f"{channel}_{key}")
            for key in _LOG_KEYS
        ):
            self._own[channel] = dispatcher.normallog
        self._shared[channel] = twin.normallog
        _write_to(dispatcher, twin.normallog)


def _check_log(key: str, path: Path) -> None:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            return  # a terminal or a pipe, whose opening may do something
        with path.open("ab"):
            pass
    except OSError as error:
        raise ChildProcessError(f"{key}={path}: {error.strerror}") from None


def _twin(dispatcher: OutputDispatcher, process: Process) -> OutputDispatcher | None:
    """Return the other process's dispatcher of the same channel, or None."""
    return next((one for one in dispatchers(process) if one.channel == dispatcher.channel), None)


def _write_to(dispatcher: OutputDispatcher, logger: Logger | None) -> None:
    """Exchange the dispatcher's logger, and close the one that it had."""
    former, dispatcher.normallog = dispatcher.normallog, logger
    if dispatcher.childlog is former:  # and not the one that captures
        dispatcher.childlog = logger
    if former is not None:
        former.close()


def _tap(dispatcher: OutputDispatcher, tail: bytearray) -> None:
    original = type(dispatcher).record_output
    seen, within = 0, False

    def record_output() -> None:
        nonlocal seen, within
        if within:  # it calls itself where it captures
            original(dispatcher)
            return
        tail.extend(dispatcher.output_buffer[seen:])
        del tail[:-TAIL_BYTES]
        within = True
        try:
            original(dispatcher)
        finally:
            within, seen = False, len(dispatcher.output_buffer)  # it keeps what may be a token

    dispatcher.record_output = record_output
