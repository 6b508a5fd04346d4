#!/usr/bin/python
"""Rolls programs on one host by ``supervisorctl rollrestart --json``, or drains them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: roll
short_description: Roll Gunicorn programs under supervisord
version_added: 0.1.0
description:
  - Replaces the workers or the arbiters of programs by C(supervisorctl rollrestart), and waits for
    the verdict.
  - In check mode it makes a dry run, which changes nothing, and fails where the rollout would be
    refused.
author:
  - The supervisor_roll maintainers
options:
  name:
    description: The programs, as supervisorctl names them.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(rolled) replaces their workers.
      - V(drained) takes them out of service, V(ready) puts them back.
    type: str
    choices: [rolled, drained, ready]
    default: rolled
  release:
    description:
      - What is to run, as the setting C(release) tells it of a worker. A program whose workers all
        run it already is not rolled again, so that a play that stopped can be run again.
      - Without it they are always rolled.
    type: str
  drain:
    description: Take the programs out of service around the rollout.
    type: bool
    default: false
  options:
    description:
      - Options of C(rollrestart) by their names without dashes in front, such as C(max-surge).
      - Of a flag the value is V(true).
    type: dict
    default: {}
  supervisorctl:
    description: The command.
    type: path
    default: supervisorctl
  configuration:
    description: The path of supervisord.conf, where supervisorctl does not find it.
    type: path
attributes:
  check_mode:
    description: A dry run.
    support: full
"""

EXAMPLES = r"""
- name: Roll the program to release v2
  supervisor_roll.fleet.roll:
    name: [myapp]
    release: v2

- name: Take it out of service for a migration
  supervisor_roll.fleet.roll:
    name: [myapp]
    state: drained
"""

RETURN = r"""
programs:
  description: How each program ended, such as complete, failed, refused, plan, drained.
  returned: when something was done
  type: dict
reports:
  description: The reports of the rollout, as supervisorctl's --json has them.
  returned: when something was done
  type: list
  elements: dict
"""

import json

from ansible.module_utils.basic import AnsibleModule

KINDS = {"rolled": "rollrestart", "drained": "rolldrain", "ready": "rollready"}


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": [*KINDS], "default": "rolled"},
            "release": {"type": "str"},
            "drain": {"type": "bool", "default": False},
            "options": {"type": "dict", "default": {}},
            "supervisorctl": {"type": "path", "default": "supervisorctl"},
            "configuration": {"type": "path"},
        },
        supports_check_mode=True,
    )
    names, state = module.params["name"], module.params["state"]
    done = done_already(module, names, state)
    if done or (module.check_mode and state != "rolled"):
        module.exit_json(changed=not done)
    status, found, said = run(module, KINDS[state], *arguments(module), *names)
    reports = [one for one in found if one["type"] == "report"]
    # What is drained around a rollout is back in service last of all.
    beside = ("drained", "in-service") if state == "rolled" else ()
    programs = {
        one["program"]: one["kind"]
        for one in reports
        if one["program"] and one["kind"] not in beside
    }
    result = {"programs": programs, "reports": reports}
    if status != 0:
        why = [text for one in reports if (text := reason(one))]
        text = "; ".join(why) or said or f"supervisorctl exited {status}"
        began = any(one["kind"] == "began" for one in reports)
        module.fail_json(msg=text, changed=began, **result)
    module.exit_json(changed=True, **result)


def arguments(module):
    """Return the options of the command."""
    if module.params["state"] != "rolled":
        return []
    given = ["--dry-run"] if module.check_mode else []
    if module.params["drain"] and not module.check_mode:
        given.append("--drain")
    for key, value in module.params["options"].items():
        given += [f"--{key}"] if value is True else [f"--{key}", str(value)]
    return given


def run(module, command, *given):
    """Return the exit status, the objects, and all that was said beside."""
    configuration = module.params["configuration"]
    where = ["-c", configuration] if configuration else []
    line = [module.params["supervisorctl"], *where, command, "--json", *given]
    status, out, err = module.run_command(line)
    found, said = [], [err.strip()]
    for text in out.splitlines():
        try:
            found.append(json.loads(text))
        except ValueError:
            said.append(text.strip())
    return status, found, "\n".join(filter(None, said))


def done_already(module, names, state):
    """Whether nothing is left to do, as far as supervisord knows."""
    release = module.params["release"]
    if state == "rolled" and not release:
        return False
    status, found, said = run(module, "rollstatus", *names)
    shown = [one for one in found if one["type"] == "status"]
    if status != 0 or len(shown) < len(names):
        module.fail_json(msg=said or f"supervisorctl rollstatus exited {status}")
    if state != "rolled":
        return all(bool(one["drained"]) is (state == "drained") for one in shown)
    return all(runs(one, release) for one in shown)


def runs(status, release):
    """Whether all workers of a program are known to run the release, and none is on its way."""
    releases = list(status["releases"].values())
    settled = status["state"] not in ("progressing", "paused") and status["ready"] > 0
    return settled and releases == [release] * status["ready"]


def reason(report):
    """Return why a program was not rolled, drained or put back, if this report says so."""
    facts, kind = report["facts"], report["kind"]
    if kind == "plan":
        parts = (facts.get("memory"), facts.get("processes"), facts.get("preflight"))
        bad = [one["text"] for one in parts if one and not one.get("fits", one.get("ok"))]
        why = "; ".join(filter(None, [facts.get("refused"), *bad]))
    elif kind in ("failed", "aborted", "refused", "undone"):
        why = facts.get("why", "")
    else:
        return ""
    return f"{report['program']}: {kind}: {why}" if why else ""


if __name__ == "__main__":
    main()
