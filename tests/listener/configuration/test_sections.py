"""The listener reads supervisord's files as supervisord does, and checks only what it needs."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervisor.options import EventListenerPoolConfig, ServerOptions, make_namespec

from supervisor_roll.listener.configuration.sections import BadConfiguration, credentials, read
from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.settings import Amount, Health, Settings

EXAMPLE = Path(__file__).parents[3] / "conf.d" / "gunicorn-example.conf"
PROGRAM = "[supervisord]\n[program:myapp]\ncommand=/bin/cat\n"


@pytest.fixture
def main(tmp_path: Path) -> Path:
    return tmp_path / "supervisord.conf"


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def bad(path: str, name: str = "myapp") -> str:
    configuration = read(path)
    assert name not in configuration.settings
    return str(configuration.bad[name])


def namespecs_of_supervisor(path: str) -> set[str]:
    options = ServerOptions()
    options.configfile = path
    options.process_config(do_usage=False)
    return {
        make_namespec(group.name, process.name)
        for group in options.process_group_configs
        if not isinstance(group, EventListenerPoolConfig)
        for process in group.process_configs
    }


# Which process comes from which section

ONE_OF_EACH = """
[supervisord]
environment=SITE="north"
[program:plain]
command=/bin/cat
[program: spaced ]
command=/bin/cat
[program:many]
command=/bin/cat
numprocs=3
numprocs_start=8
process_name=%(program_name)s_%(process_num)02d
[program:named]
command=/bin/cat
environment=COLOUR="red"
process_name=%(group_name)s-%(ENV_SITE)s-%(ENV_COLOUR)s
[program:first]
command=/bin/cat
[program:second]
command=/bin/cat
numprocs=2
process_name=%(host_node_name)s_%(process_num)d
[fcgi-program:pooled]
command=/bin/cat
socket=tcp://localhost:9000
numprocs=2
process_name=%(process_num)s
[fcgi-program:alone]
command=/bin/cat
socket=unix:///tmp/%(program_name)s.sock
[group:site]
programs=first, second,pooled
[group:again]
programs=first
[eventlistener:listening]
command=/bin/cat
events=TICK_5
"""


def test_names_processes_as_supervisor_does(main: Path) -> None:
    path = write(main, ONE_OF_EACH)
    assert set(read(path).programs) == namespecs_of_supervisor(path)


def test_knows_the_section_of_every_process(main: Path) -> None:
    node = platform.node()
    assert read(write(main, ONE_OF_EACH)).programs == {
        "plain": "plain",
        "spaced": "spaced",
        "many:many_08": "many",
        "many:many_09": "many",
        "many:many_10": "many",
        "named:named-north-red": "named",
        "site:first": "first",
        "again:first": "first",
        f"site:{node}_0": "second",
        f"site:{node}_1": "second",
        "site:0": "pooled",
        "site:1": "pooled",
        "alone": "alone",
    }


def test_settings_are_found_by_namespec_and_default_without_a_section(main: Path) -> None:
    configuration = read(write(main, ONE_OF_EACH + "[roll:second]\nmin_ready_secs=7\n"))
    node = platform.node()
    assert configuration.settings_for(f"site:{node}_1") == Settings(min_ready_secs=7)
    assert configuration.settings_for("site:first") == Settings()
    assert configuration.bad == {}


def test_a_process_that_the_file_does_not_name_goes_by_its_own_name(main: Path) -> None:
    configuration = read(write(main, PROGRAM + "[roll:gone]\nmax_surge=2\n"))
    assert configuration.settings_for("added:later") == Settings()
    with pytest.raises(BadSetting, match="no \\[program:gone\\]"):
        configuration.settings_for("added:gone")


# The [roll:NAME] section


def test_every_key_is_read(main: Path) -> None:
    path = write(
        main,
        PROGRAM
        + """
[roll:myapp]
Max_Surge = 25%
max_unavailable = 50%%   ; supervisor's way to write it
ready_timeout_secs=90
min_ready_secs=1.5
drain_timeout_secs=120
health=/_status?full=1;now#here   # a comment needs a blank before it
health_host=www.example.org
health_timeout_secs=2
health_headers=
    X-Forwarded-Proto: https
    ; a comment on a line of its own
    Cookie: a=b; c=d   ; a comment
    X-Cut: before ; after
""",
    )
    assert read(path).settings == {
        "myapp": Settings(
            max_surge=Amount(25, percent=True),
            max_unavailable=Amount(50, percent=True),
            ready_timeout_secs=90,
            min_ready_secs=1.5,
            drain_timeout_secs=120,
            health=Health(
                "/_status?full=1;now#here",
                "www.example.org",
                (("X-Forwarded-Proto", "https"), ("Cookie", "a=b; c=d"), ("X-Cut", "before")),
                2,
            ),
        )
    }


def test_expansions_apply_to_values(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLL_TOKEN", "s3cret")
    path = write(
        main,
        """
[supervisord]
environment=SURGE="3"
[program:myapp]
command=/bin/cat
[group:site]
programs=myapp
[roll:myapp]
max_surge=%(ENV_SURGE)s
health=%(here)s/%(program_name)s/a%20b%%(here)s
health_host=%(group_name)s.example.org
health_headers=X-Token: %(ENV_ROLL_TOKEN)s
    X-Node: %(host_node_name)s
""",
    )
    assert read(path).settings_for("site:myapp") == Settings(
        max_surge=Amount(3),
        health=Health(
            f"{main.parent}/myapp/a%20b%(here)s",
            "site.example.org",
            (("X-Token", "s3cret"), ("X-Node", platform.node())),
        ),
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "max_serge=1",
            "max_serge=1: unknown key; known are agent_listen, auto, canary, drain_timeout_secs, ",
        ),
        (
            "max_surge=lots",
            "max_surge=lots: must be a count such as 1, or a percentage such as 25%",
        ),
        ("ready_timeout_secs=0", "ready_timeout_secs=0: must be more than 0 seconds"),
        ("max_surge=0", "max_unavailable=0: max_surge and max_unavailable must not both be 0"),
        ("health=_status", "health=_status: must be a path such as /_status"),
        (
            "health=/%(nope)s/%(neither)s",
            "health=/%(nope)s/%(neither)s: cannot expand %(nope)s, "
            "%(neither)s; known are group_name, here, host_node_name, program_name and ENV_X",
        ),
        (
            "health=/%(ENV_ROLL_UNSET)s",
            "health=/%(ENV_ROLL_UNSET)s: cannot expand %(ENV_ROLL_UNSET)s",
        ),
        ("health=/%%(a)s/%(b)s", "health=/%%(a)s/%(b)s: cannot expand %(b)s; known are "),
        ("health=/%(here)", "health=/%(here): must have its expansions in the form %(here)s"),
        ("health=/%(here", "health=/%(here: must have its expansions in the form %(here)s"),
        ("health=/%(here)d", "health=/%(here)d: must have its expansions in the form %(here)s"),
    ],
)
def test_an_error_names_file_section_key_value_and_rule(main: Path, line: str, said: str) -> None:
    path = write(main, PROGRAM + f"[roll:myapp]\n{line}\n")
    assert bad(path).startswith(f"{path} [roll:myapp]: {said}")
    with pytest.raises(BadSetting, match=r"supervisord.conf \[roll:myapp\]: "):
        read(path).settings_for("myapp")


def test_one_bad_section_leaves_the_others_good(main: Path) -> None:
    path = write(
        main,
        PROGRAM + "[roll:myapp]\nnope=1\n[program:other]\ncommand=/bin/cat\n"
        "[roll:other]\nmax_surge=2\n",
    )
    assert read(path).settings == {"other": Settings(max_surge=Amount(2))}
    assert set(read(path).bad) == {"myapp"}


def test_an_error_shows_no_secret_of_the_environment(
    main: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLL_TOKEN", "s3cret")
    path = write(main, PROGRAM + "[roll:myapp]\nhealth=/\nhealth_headers=%(ENV_ROLL_TOKEN)s\n")
    assert bad(path).endswith(
        "health_headers=%(ENV_ROLL_TOKEN)s: must be lines such as X-Forwarded-Proto: https"
    )


def test_the_group_is_no_expansion_for_a_program_in_several(main: Path) -> None:
    path = write(
        main,
        PROGRAM + "[group:a]\nprograms=myapp\n[group:b]\nprograms=myapp\n"
        "[roll:myapp]\nhealth_host=%(group_name)s\n",
    )
    assert bad(path).endswith("; the program is in several groups")


@pytest.mark.parametrize("name", ["nope", "listening", ""])
def test_a_section_for_no_program_is_an_error(main: Path, name: str) -> None:
    path = write(
        main,
        PROGRAM + "[program:b]\ncommand=/bin/cat\n[eventlistener:listening]\n"
        f"command=/bin/cat\nevents=TICK_5\n[roll:{name}]\nmax_surge=2\n",
    )
    assert bad(path, name) == (
        f"{path} [roll:{name}]: section=roll:{name}: no [program:{name}] or "
        f"[fcgi-program:{name}] is configured; known are b, myapp"
    )


def test_a_section_written_twice_is_an_error(main: Path) -> None:
    """supervisor's parser would silently put the two together."""
    included = main.with_name("more.conf")
    path = write(main, PROGRAM + "[include]\nfiles=more.conf\n[roll:myapp]\nmax_surge=2\n")
    write(included, "[roll: myapp]\nmin_ready_secs=1\n")
    assert bad(path).endswith(f"must be written once; it is in {path} and in {included}")
    write(included, "")
    assert read(path).settings_for("myapp") == Settings(max_surge=Amount(2))
    write(main, PROGRAM + "[roll:myapp]\nmax_surge=2\n[roll:myapp]\nmin_ready_secs=1\n")
    assert bad(path).endswith(f"must be written once; it is in {path} and in {path}")


def test_the_default_section_is_not_taken(main: Path) -> None:
    path = write(
        main,
        "[DEFAULT]\nmax_surge=4\nnope=1\nmin_ready_secs=1\n"
        + PROGRAM
        + "[roll:myapp]\nmin_ready_secs=2\n",
    )
    assert read(path).settings_for("myapp") == Settings(min_ready_secs=2)


def test_sections_are_those_that_are_written_good_or_bad(main: Path) -> None:
    configuration = read(write(main, ONE_OF_EACH + "[roll:plain]\n[roll:many]\nnope=1\n"))
    assert configuration.sections == {"plain", "many"}
    assert configuration.namespecs("many") == ["many:many_08", "many:many_09", "many:many_10"]
    assert configuration.namespecs("first") == ["site:first", "again:first"]
    assert configuration.namespecs("nope") == []


def test_a_watched_path_may_be_beside_the_file(main: Path) -> None:
    path = write(main, PROGRAM + "[roll:myapp]\nauto=true\nwatch=%(here)s/current /etc/x\n")
    assert read(path).settings_for("myapp").watch == (f"{main.parent}/current", "/etc/x")


# Included files


def test_sections_are_read_from_included_files(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLL_FOLDER", "conf.d")
    path = write(
        main,
        "[supervisord]\n[include]\nfiles=%(ENV_ROLL_FOLDER)s/*.conf\n"
        "  nothing/*.conf %(here)s/alone.conf conf.d/a.conf\n",
    )
    folder = main.parent / "conf.d"
    b = write(folder / "b.conf", "[program:b]\ncommand=/bin/cat\n[roll:b]\nhealth=%(here)s/b\n")
    a = write(folder / "a.conf", "[program:a]\ncommand=/bin/cat\n[roll:a]\nnope=1\n")
    alone = write(
        main.with_name("alone.conf"),
        "[group:g]\nprograms=a\n[roll:c]\n[include]\nfiles=never.conf\n",
    )
    write(main.with_name("never.conf"), "[program:never]\ncommand=/bin/cat\n")
    (folder / "folder.conf").mkdir()
    (folder / "dangling.conf").symlink_to("nowhere")

    configuration = read(path)
    assert configuration.files == (path, a, b, alone)
    here = str(main.parent)
    assert configuration.patterns == (f"{here}/conf.d/*.conf", f"{here}/nothing/*.conf", alone, a)
    assert configuration.programs == {"g:a": "a", "b": "b"}
    assert set(configuration.programs) == namespecs_of_supervisor(path)
    assert configuration.settings == {"b": Settings(health=Health(f"{folder}/b"))}
    assert configuration.bad["a"].place == f"{a} [roll:a]"
    assert configuration.bad["c"].place == f"{alone} [roll:c]"


def test_here_is_the_folder_of_the_file_that_says_so(main: Path) -> None:
    path = write(main, PROGRAM + "[include]\nfiles=conf.d/*\n[roll:myapp]\nhealth=%(here)s\n")
    write(main.parent / "conf.d" / "a", "[program:a]\ncommand=true\n[roll:a]\nhealth=%(here)s\n")
    assert read(path).settings == {
        "myapp": Settings(health=Health(str(main.parent))),
        "a": Settings(health=Health(str(main.parent / "conf.d"))),
    }


def test_a_file_that_includes_itself_is_read_as_one(main: Path) -> None:
    path = write(main, PROGRAM + "[roll:myapp]\nmax_surge=2\n[include]\nfiles=*.conf\n")
    assert read(path).files == (path,)
    assert read(path).settings_for("myapp") == Settings(max_surge=Amount(2))


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """A file that this process may not read, in a folder that it may."""
    # Not below TMPDIR, which the tests' own script makes for its user alone.
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name) / "forbidden.conf"
        path.write_text("[roll:myapp]\nmax_surge=2\n")
        path.parent.chmod(0o755)
        path.chmod(0)
        before = os.geteuid()
        if before == 0:
            os.seteuid(65534)
        try:
            yield path
        finally:
            os.seteuid(before)


def test_an_included_file_that_only_supervisord_may_read_is_not_passed_over(
    forbidden: Path,
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = write(Path(name) / "supervisord.conf", f"{PROGRAM}[include]\nfiles={forbidden}\n")
        with pytest.raises(BadConfiguration) as caught:
            read(path)
    assert str(caught.value) == f"{forbidden}: cannot read it: Permission denied"


# What supervisor would refuse, and what does not concern us

UNCHECKED = """
[supervisord]
logfile=logs/supervisord.log
pidfile=run/supervisord.pid
childlogdir=logs/children
directory=srv
user=nobody-by-that-name
[unix_http_server]
file=run/supervisor.sock
[rpcinterface:other]
supervisor.rpcinterface_factory=not_importable_here:make
[eventlistener:other]
command=/bin/cat
events=AN_EVENT_OF_A_PLUGIN
result_handler=not_importable_here:handle
[program:myapp]
command=%(ENV_ROLL_UNSET)s
directory=relative
stdout_logfile=logs/myapp.log
user=nobody-by-that-name
[fcgi-program:pooled]
command=/bin/cat
socket=unix:///%(ENV_ROLL_UNSET)s
socket_owner=nobody-by-that-name
[roll:myapp]
max_surge=2
"""


def test_nothing_but_names_is_checked(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener's folder, user and Python path may differ from supervisord's."""
    path = write(main, UNCHECKED + "[include]\nfiles=conf.d/*.conf\n")
    write(main.parent / "conf.d" / "a.conf", "[program:a]\ncommand=/bin/cat\n")
    monkeypatch.chdir("/")
    configuration = read(path)
    assert set(configuration.programs) == {"myapp", "pooled", "a"}
    assert configuration.settings_for("myapp") == Settings(max_surge=Amount(2))


def test_a_relative_path_is_made_absolute(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(main, PROGRAM + "[roll:myapp]\nhealth=%(here)s\n")
    monkeypatch.chdir(main.parent)
    assert read("supervisord.conf") == read(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ": No section: 'supervisord'"),
        ("nonsense\n", ": File contains no section headers. file: '{path}', line: 1 'nonsense\\n'"),
        (
            "[supervisord]\nnonsense\n",
            ": Source contains parsing errors: '{path}' [line 2]: 'nonsense\\n'",
        ),
        ("[supervisord]\n[include]\n", ": No option 'files' in section: 'include'"),
        (
            "[supervisord]\n[include]\nfiles=%(nope)s\n",
            ": Format string '%(nope)s' for 'include.files' contains names ('nope') which cannot "
            "be "
            "expanded.",
        ),
        ("[supervisord]\nenvironment=A\n", ": Unexpected end of key/value pairs in value 'A'"),
        (
            PROGRAM + "numprocs=2\n",
            " [program:myapp]: %(process_num) must be present within "
            "process_name when numprocs > 1",
        ),
        (
            PROGRAM + "numprocs=two\n",
            " [program:myapp]: invalid literal for int() with base 10: 'two'",
        ),
        (
            PROGRAM + "process_name=%(nope)s\n",
            " [program:myapp]: Format string '%(nope)s' for "
            "'process_name' contains names ('nope') which cannot be expanded.",
        ),
        (
            PROGRAM + "[program:a:b]\ncommand=/bin/cat\n",
            ": Invalid name: 'a:b' because of character: ':'",
        ),
        (
            PROGRAM + "[group:g]\nprograms=nope\n",
            ": [group:g] names unknown program or fcgi-program nope",
        ),
    ],
)
def test_what_cannot_be_read_is_named(
    main: Path, text: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(main, text)
    with pytest.raises(BadConfiguration) as caught:
        read(path)
    assert str(caught.value) == path + said.replace("{path}", path)
    assert capfd.readouterr() == ("", "")


def test_an_error_in_an_included_file_names_that_file(main: Path) -> None:
    path = write(main, PROGRAM + "[include]\nfiles=more.conf\n")
    more = main.with_name("more.conf")
    write(more, "[program:other]\ncommand=/bin/cat\nnumprocs=none\n")
    with pytest.raises(BadConfiguration, match=f"^{re.escape(str(more))} \\[program:other\\]: "):
        read(path)
    more.write_bytes(b"[program:other]\ncommand=\xff\xfe\n")
    with pytest.raises(BadConfiguration, match=f"^{re.escape(str(more))}: cannot read it: "):
        read(path)


def test_a_missing_file_is_named(main: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"supervisord\.conf: cannot read it: No such file"):
        read(str(main))


def test_nothing_is_written_to_standard_output(
    main: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It carries the event protocol."""
    path = write(main, ONE_OF_EACH + "[include]\nfiles=nothing/*.conf\n[roll:nope]\n")
    read(path)
    credentials(path, "unix:///tmp/supervisor.sock")
    assert capfd.readouterr() == ("", "")


# The HTTP server's password

SERVERS = """
[supervisord]
environment=PASSWORD="fr%%%%om env"
[unix_http_server]
file=%(here)s/run/supervisor.sock   ; a comment
username=unix
password=%(ENV_PASSWORD)s
[unix_http_server:digest]
file=/srv/elsewhere/second.sock
username=second
password={SHA}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d
[unix_http_server:open]
file=/run/open.sock
[inet_http_server]
port=9001
username=any
password=1
[inet_http_server:local]
port=127.0.0.1:9002
username=local
password=2
"""


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("unix://{here}/run/supervisor.sock", ("unix", "fr%om env")),
        ("unix:///srv/elsewhere/second.sock", ("second", None)),
        ("unix:///run/open.sock", (None, None)),
        ("unix:///run/other.sock", (None, None)),
        ("http://localhost:9001", ("any", "1")),
        ("http://127.0.0.1:9002", ("local", "2")),
        ("http://localhost:9002", (None, None)),
        ("", (None, None)),
    ],
)
def test_the_password_is_that_of_the_server(
    main: Path, url: str, found: tuple[str | None, str | None]
) -> None:
    path = write(main, SERVERS)
    assert credentials(path, url.replace("{here}", str(main.parent))) == found


def test_the_password_may_stand_in_an_included_file(main: Path) -> None:
    path = write(main, "[supervisord]\n[include]\nfiles=more.conf\n")
    more = write(
        main.with_name("more.conf"),
        "[unix_http_server]\nfile=%(here)s/s.sock\nusername=me\npassword=%(nope)s\n",
    )
    with pytest.raises(BadConfiguration, match=re.escape(f"{path}: Format")):
        credentials(path, f"unix://{main.parent}/s.sock")
    write(Path(more), "[unix_http_server]\nfile=%(here)s/s.sock\nusername=me\npassword=mine\n")
    assert credentials(path, f"unix://{main.parent}/s.sock") == ("me", "mine")
    # Its path may be relative to the folder that supervisord started in.
    assert credentials(path, "unix:///run/other.sock") == ("me", "mine")


def test_a_broken_program_does_not_hide_the_password(main: Path) -> None:
    path = write(main, SERVERS + "[program:myapp]\nnumprocs=none\n")
    assert credentials(path, "http://localhost:9001") == ("any", "1")


# What holds for all programs


@pytest.mark.parametrize(("text", "parallel"), [("", 1), ("parallel=8", 8), ("parallel = 64", 64)])
def test_how_many_programs_are_rolled_at_once(main: Path, text: str, parallel: int) -> None:
    assert read(write(main, f"{PROGRAM}[roll]\n{text}\n")).parallel == parallel
    assert read(write(main, PROGRAM)).parallel == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("parallel=0", "parallel=0: must be a whole number from 1 to 64"),
        ("parallel=65", "parallel=65: must be a whole number"),
        ("parallel=-1", "parallel=-1: must be a whole number"),
        ("parallel=2.5", "parallel=2.5: must be a whole number"),
        ("parallel=%(here)s", "parallel=%(here)s: must be a whole number"),
        ("max_surge=2", "max_surge=2: unknown key; known is parallel"),
    ],
)
def test_an_error_in_it_names_the_file_and_costs_no_program_its_settings(
    main: Path, text: str, why: str
) -> None:
    found = read(write(main, f"{PROGRAM}[roll]\n{text}\n[roll:myapp]\nmax_surge=2\n"))
    with pytest.raises(BadSetting, match=re.escape(f"{main} [roll]: {why}")):
        _ = found.parallel
    assert found.settings_for("myapp").max_surge == Amount(2)


# The example


def test_the_example_is_accepted_by_supervisor(main: Path) -> None:
    path = write(main, f"[supervisord]\n[include]\nfiles={EXAMPLE}\n")
    assert namespecs_of_supervisor(path) == {"myapp"} == set(read(path).programs)
    assert read(path).settings == {"myapp": Settings()}


def test_the_example_shows_every_setting_with_its_default(main: Path) -> None:
    text = EXAMPLE.read_text()
    shown = re.findall(r"^;([a-z_]+=.*)$", text.partition("[roll:myapp]")[2], re.MULTILINE)
    path = write(main, PROGRAM + "[roll:myapp]\n" + "\n".join(shown))
    assert read(path).settings_for("myapp") == Settings()
    with pytest.raises(BadSetting) as caught:
        Settings.parsed({"nope": ""})
    known = caught.value.rule.removeprefix("unknown key; known are ").split(", ")
    assert sorted(line.partition("=")[0] for line in shown) == known
    health = "\n".join(shown).replace("health=", "health=/")
    write(main, PROGRAM + "[roll:myapp]\n" + health)
    assert read(path).settings_for("myapp") == Settings(health=Health("/"))
