"""Reading the configuration files again, as supervisor's own reloadConfig does.

That one lets through what is no ValueError, passes over an included file that it may not
read, as if its programs had been removed, and does not always say where the mistake is.
"""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from supervisor_roll.rpc import supervisor_internals
from supervisor_roll.rpc.supervisor_types import GroupConfig, Options, Supervisor

# supervisor keeps no list of what it has included, but says so (ServerOptions.read_config).
_INCLUDED = re.compile(r'Included extra file "(.*)" during parsing', re.DOTALL)


def reread(supervisord: Supervisor, path: str) -> dict[str, GroupConfig]:
    """Read the group configurations again, by name, from the file at the absolute ``path``.

    Raises ValueError, whatever is wrong with a file, with a text that names it; then nothing
    has changed.
    """
    options = supervisord.options
    before = options.process_group_configs
    if not Path(options.configfile).is_absolute():
        # [supervisord] directory has led it elsewhere since, and its own reread fails.
        options.configfile = path
    try:
        options.process_config(do_usage=False)
        for path in _included(options):
            if Path(path).is_file() and not os.access(path, os.R_OK):
                raise PermissionError(f"could not read config file {path}")
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a file is the file's
        options.process_group_configs = before
        raise ValueError(_told(options, error)) from None
    return supervisor_internals.new_groups(supervisord)


def _included(options: Options) -> list[str]:
    found = (_INCLUDED.fullmatch(text) for text in options.parse_infos)
    return [one[1] for one in found if one is not None]


def _told(options: Options, error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if any(path in text for path in [options.configfile, *_included(options)]):
        return text
    # A bad priority, say, is told by its value alone: what was being read then?
    section, file = "", options.configfile
    for code, names in _frames(error):
        if code.co_name == "read" and "filenames" in names:  # UnhosedConfigParser.read
            file = names.get("filename", file)
        elif isinstance(names.get("section"), str) and "parser" in names:
            section = names["section"]
            files = getattr(names["parser"], "section_to_file", {})
            file = files.get(section, options.configfile)
    if section and section not in text:
        text += f" in section {section!r}"
    return f"{text} (file: {file!r})"


def _frames(error: BaseException) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the code that ran when it happened, with its local names, the innermost last."""
    chain = [error]
    while chain[-1].__context__ is not None:
        chain.append(chain[-1].__context__)
    for one in chain:
        for frame, _ in traceback.walk_tb(one.__traceback__):
            yield frame.f_code, frame.f_locals
