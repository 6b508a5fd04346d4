"""What `help COMMAND` prints. The first line is what a wrong usage shows."""

from __future__ import annotations

ROLLRESTART = """\
rollrestart [options] <name> [<name> ...]

Replaces a Gunicorn program's workers, one by one, without failing a request.
Starts each program's workers anew while the program goes on serving: a fresh worker
must say that it is ready before an old one is asked to go. If a fresh worker fails,
the rollout stops what it started, and what was serving keeps serving. The command
waits until the rollout has ended, and shows its progress.

Where new workers of the old arbiter would not do, because the program's configuration
has changed for one, the arbiter is replaced as well: a successor starts beside it with
workers of its own, on the same sockets, and takes over once all of them are ready.

Names:
  <name>            a program, such as myapp
  <group>:<name>    a process of a group
  <group>:*         all processes of a group
  all               all programs
With <group>:* and all, what does not run or is no Gunicorn program is skipped. Several
programs are rolled one after the other; after one has failed the others are not begun.

Options (the defaults stand in [roll:<name>] of supervisord's configuration):
  --strategy WHAT         what is replaced: workers; arbiter (with its workers); or auto,
                          which is arbiter where that is needed and else workers (auto)
  --max-surge N|N%        how many more workers than usual may run meanwhile (1)
  --max-unavailable N|N%  how many fewer than usual may be ready meanwhile (0)
  --ready-timeout SECS    how long a fresh worker may take to be ready (60)
  --min-ready SECS        how long it must stay ready before it counts (0)
  --canary N|N%           hold only the first N for --min-ready, then go on without
  --preflight             load the application once in a throw-away process first, and
                          retire no worker before that has gone well (--no-preflight: do not)
  --dry-run               replace nothing: load the application once in a throw-away process
                          (which runs the program's command; --no-preflight: do not), and
                          say what would be done and what it would cost
  --no-wait               return as soon as the rollout is requested
N% is a share of the program's workers.

Ctrl-C detaches: the rollout goes on without the command. `rollstatus --follow <name>`
follows it again, `rollabort <name>` ends it.

Exit status:
  0    every program that was not skipped is complete, and at least one is
       (with --no-wait: the rollout was requested)
  1    a rollout failed, was aborted or refused; no such program; or no listener
  2    wrong usage
  3    supervisord has no [rpcinterface:roll]
  4    supervisord refuses the connection
  7    the program, or supervisord, is not running
  130  Ctrl-C: detached
  141  nobody reads the output any more (as of `| head`): detached"""

ROLLUPDATE = """\
rollupdate [--no-wait] [<name> ...]

Does without downtime what `update` does with it: has supervisord read its configuration
again, and rolls the programs whose sections have changed, with their arbiters where that
is needed. Changes that take no new process come into force at once. Only programs with a
[roll:<name>] section are rolled; of the others it says what is left to `supervisorctl
update`. Without a name, all programs; names are as for rollrestart.

Option:
  --no-wait  return as soon as the update is requested

Ctrl-C detaches: the update goes on without the command, see `rollstatus --follow`.

Exit status:
  0    every program that was rolled is complete, or nothing had to be done
       (with --no-wait: the update was requested)
  1    a rollout failed, was aborted or refused; the configuration is invalid; no such
       program; or no listener
  2    wrong usage
  3    supervisord has no [rpcinterface:roll]
  4    supervisord refuses the connection
  7    supervisord is not running
  130  Ctrl-C: detached"""

ROLLSTATUS = """\
rollstatus [--follow] [<name> ...]

Shows the rollouts under way, and each program's last one.

rollstatus                  A table of all programs ever rolled since supervisord's start;
                            where two arbiters of a program run, it says which is which
rollstatus <name> ...       In detail; names are as for `status`
rollstatus --follow [...]   Follow what is under way until it has ended, as rollrestart does

Exit status:
  0    shown (with --follow: all complete)
  1    with --follow: a rollout failed, was aborted or refused
  2    wrong usage
  3    supervisord has no [rpcinterface:roll]
  4    no such program, or supervisord cannot be reached
  130  Ctrl-C; the rollout goes on"""

ROLLPAUSE = """\
rollpause <name> [<name> ...]

Holds a program's rollout where it is: workers that boot go on booting and are watched, but
none is added or retired until `rollresume`. Names are as for rollrestart.

Exit status: as for rollabort."""

ROLLRESUME = """\
rollresume <name> [<name> ...]

Lets a paused rollout go on. Names are as for rollrestart.

Exit status: as for rollabort."""

ROLLABORT = """\
rollabort <name> [<name> ...]

Ends a program's rollout: asks that it stop what it started, and does not wait for that.
Workers that were already replaced stay; what serves keeps serving. Names are as for
rollrestart.

Exit status:
  0    the request was taken
  1    a program that was named is not being rolled, or of a group or all none is; no such
       program; or no listener
  2    wrong usage
  3    supervisord has no [rpcinterface:roll]
  4    supervisord refuses the connection
  7    supervisord is not running"""
