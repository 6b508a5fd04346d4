"""Reading the configuration files again, as supervisor's own reloadConfig does.

That one lets through what is no ValueError, and passes over an included file that it may not
read, as if its programs had been removed.
"""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from supervisor_roll.rpc import supervisor_internals
from supervisor_roll.rpc.supervisor_types import GroupConfig, Options, Supervisor

# supervisor keeps no list of what it has included, but says so (ServerOptions.read_config).
_INCLUDED = re.compile(r'Included extra file "(.*)" during parsing', re.DOTALL)


def reread(supervisord: Supervisor, path: str) -> dict[str, GroupConfig]:
    """Read the group configurations again, by name, from the file at the absolute ``path``.

    Raises ValueError, whatever is wrong with a file, with supervisor's own text; then nothing has
    changed.
    """
    options = supervisord.options
    before = options.process_group_configs
    if not Path(options.configfile).is_absolute():
        # [supervisord] directory has led it elsewhere since, and its own reread fails.
        options.configfile = path
    try:
        with _collected():
            options.process_config(do_usage=False)
        for path in _included(options):
            # Not by pathlib, which interns every name: that table doubled, by half a megabyte.
            if os.access(path, os.F_OK) and not os.access(path, os.R_OK):
                raise PermissionError(f"could not read config file {path}")
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a file is the file's
        options.process_group_configs = before
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
    return supervisor_internals.new_groups(supervisord)


@contextmanager
def _collected() -> Iterator[None]:
    """Free what the body leaves behind in cycles, as a parser does, while that is cheap.

    It would grow old otherwise, and wait for a collection of all that there is: megabytes of it,
    with many programs.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(0)
        if enabled:
            gc.enable()


def _included(options: Options) -> list[str]:
    found = (_INCLUDED.fullmatch(text) for text in options.parse_infos)
    return [one[1] for one in found if one is not None]
