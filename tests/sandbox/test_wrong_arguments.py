"""What somebody gives to a sandbox's calls that is wrong: told by the word that he used, before anything is done."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import (
    EcsFargateConfig,
    EcsFargateSandbox,
    ExecClient,
    ImageBuilder,
    OutsideEndpoint,
    Snapshot,
    SshSidecarConfig,
    SshTunnel,
)
from pytest_fargate_sandbox.leaves.errors import ConfigError, RemoteFileNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.engine_of_tests import EngineOfTests

ENDLESS = 10**400
PATH = "a path in the sandbox"
WRONG: list[tuple[Callable[[Any], object], str]] = [
    (lambda mine: mine.exec("true", -1), "timeout_sec=-1: expected a number of seconds, 0 or more"),
    (lambda mine: mine.exec("true", "5"), "timeout_sec='5': expected a number of seconds, 0 or more"),
    (lambda mine: mine.exec("true", ENDLESS), "timeout_sec=10{299}: expected a number of seconds"),
    (lambda mine: mine.exec("true", 10**5000), "timeout_sec=a value of type int: expected a number of seconds"),
    (lambda mine: mine.exec("true", cancel=5), "cancel=5: expected a threading.Event"),
    (lambda mine: mine.exec("true", stdin="\ud800"), "stdin has half a character in it"),
    (
        lambda mine: mine.exec("cat", stdin=io.StringIO("x")),
        "stdin=.* gives text: expected a file that is open for",
    ),
    (
        lambda mine: mine.exec("true", on_output=lambda: 1),
        "on_output=<function .*: expected a function that takes each",
    ),
    (lambda mine: mine.batch(5), "requests=5: expected a list"),
    (lambda mine: mine.serve(port=-1), "port=-1: expected a port, 0 to 65535"),
    (lambda mine: mine.spawn("true", timeout_sec=-1), "timeout_sec=-1: expected a number of seconds, 0 or more"),
    (lambda mine: mine.spawn("sleep 9").wait("x"), "timeout='x': expected a number of seconds"),
    (lambda mine: mine.spawn("sleep 9").wait(float("nan")), "timeout=nan: expected a number of seconds"),
    (lambda mine: mine.spawn("sleep 9").read(timeout=None), "timeout=None: expected a number of seconds"),
    (lambda mine: mine.spawn("cat").write(5), "data is of type int: expected bytes or a string"),
    (lambda mine: mine.spawn("cat").signal("TERM"), "number='TERM': expected the number of a signal"),
    (lambda mine: mine.spawn("cat").signal(999), "number=999: expected the number of a signal"),
    (lambda mine: mine.write_file(5, "x"), f"remote_path=5: expected {PATH}"),
    (lambda mine: mine.write_file("/a\0", "x"), rf"remote_path='/a\\x00': expected {PATH}, without NUL"),
    (lambda mine: mine.write_file("/a", "\ud800"), "data has half a character in it: give bytes"),
    (lambda mine: mine.write_file("/a", "x", mode="x"), "mode='x': expected permissions, such as 0o755"),
    (lambda mine: mine.write_file("/a", "x", user=5), "user=5: expected a user's name or number"),
    (lambda mine: mine.read_file("/etc/passwd", max_bytes=-1), "max_bytes=-1: expected a whole number above 0"),
    (lambda mine: mine.list_files(None), f"remote_path=None: expected {PATH}"),
    (lambda mine: mine.glob(5), f"pattern=5: expected {PATH}"),
    (lambda mine: mine.mkdir("/a", mode=-1), "mode=-1: expected permissions"),
    (lambda mine: mine.upload(5, "/a"), "local_path=5: expected a path on this side"),
    (lambda mine: mine.upload("", "/a"), "local_path='': expected a path on this side"),
    (lambda mine: mine.upload(__file__, None), f"remote_path=None: expected {PATH}"),
    (lambda mine: mine.upload(__file__, "/a", timeout_sec=-1), "timeout_sec=-1: expected a number of seconds"),
    (lambda mine: mine.download("/etc/passwd", ""), "local_path='': expected a path on this side"),
    (lambda mine: mine.upload("/dev/zero", "/a"), "local_path='/dev/zero': expected a file or a directory"),
    (lambda mine: mine.glob("../x"), r"pattern='\.\./x': expected a glob of paths below a directory, without"),
    (lambda mine: mine.artifacts.list(5), f"path=5: expected {PATH}"),
    (lambda mine: mine.artifacts.archive("x", 5), "dest=5: expected a path on this side"),
    (lambda mine: mine.artifacts.collect("*.txt", None), r"globs='\*.txt': expected a list of globs"),
    (lambda mine: mine.artifacts.collect(["*"], 5), "sink=5: expected what files go to"),
    (lambda mine: mine.resolve_outside_endpoint(5), "url=5: expected the URL of an outside endpoint"),
    (lambda mine: mine.expose("80"), r"expose\('80'\): expected a port, 1 to 65535"),
    (lambda mine: mine.open_terminal(5), "name=5: expected a terminal's name, as a string"),
    (lambda mine: mine.open_terminal("mine", env="A=1"), "env is of type str: expected a mapping"),
    (lambda mine: mine.create_session(5), "session_name=5: expected a terminal's name, as a string"),
    (lambda mine: mine.spawn_on_terminal("true", 5), "size=5: expected columns and rows"),
    (lambda mine: mine.pty_start("true", yield_time_s="x"), "yield_time_s='x': expected a number of seconds"),
    (lambda mine: mine.save(5), f"path=5: expected {PATH}"),
    (lambda mine: mine.save("/tmp", exclude="*.pyc"), r"exclude='\*.pyc': expected a list of globs"),
    (lambda mine: mine.load(5), "snapshot=5: expected a path on this side"),
    (lambda mine: mine.changes(5), "since=5: expected a path on this side"),
]


@pytest.fixture(scope="module")
def shared(_engine_of_tests: EngineOfTests) -> Iterator[EcsFargateSandbox]:
    sidecar = SshSidecarConfig(exec_server_port=19542)
    cfg = EcsFargateConfig(cluster="local", cpu="256", memory="512", ssh_sidecar=sidecar)
    with EcsFargateSandbox(cfg, task_id="wrong", run_id="shared") as sandbox:
        sandbox.start()
        yield sandbox


def test_a_wrong_argument_is_told_by_the_word_of_whoever_gave_it(shared: EcsFargateSandbox) -> None:
    for call, told in WRONG:
        with pytest.raises(ValueError, match=f"^{told}"):
            call(shared)


@pytest.mark.parametrize(
    "given", [5, "http://127.0.0.1:80", ["http://127.0.0.1:80"], [None], [OutsideEndpoint("a", 5)]]
)  # type: ignore[arg-type]
def test_what_is_no_list_of_endpoints_launches_nothing(shared: EcsFargateSandbox, given: Any) -> None:
    mine = EcsFargateSandbox(shared.cfg, task_id="never", run_id="shared")
    with pytest.raises(ConfigError, match=r"^outside_endpoints=.*: expected a list of OutsideEndpoint\(url, env_var\)"):
        mine.start(outside_endpoints=given)
    assert mine.task_arn is None


def test_so_is_one_of_what_is_made_without_a_launch(tmp_path: Path) -> None:
    cfg: Any = EcsFargateConfig(cluster="local", environment_dir=str(tmp_path))
    make: Any = EcsFargateSandbox
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: make({"cluster": "local"}, task_id="a", run_id="b"), "cfg={.*: expected an EcsFargateConfig"),
        (lambda: make(cfg, task_id=5, run_id="b"), "task_id=5: expected a string"),
        (lambda: make(cfg, task_id="\ud800", run_id="b"), r"task_id='\\ud800': expected a string"),
        (lambda: make(cfg, task_id="a", run_id=None), "run_id=None: expected a string"),
        (lambda: make(cfg, task_id="a", run_id="b", exec_timeout_sec=-1), "exec_timeout_sec=-1: expected a number"),
        (lambda: ExecClient(port="x"), "port='x': expected a port, 1 to 65535"),  # type: ignore[arg-type]
        (lambda: ExecClient(port=1, connect_timeout=-1), "connect_timeout=-1: expected a number of seconds"),
        (lambda: SshTunnel(host=5, key_file="k"), "host=5: expected a string"),  # type: ignore[arg-type]
        (lambda: SshTunnel(host="h", port=-1, key_file="k"), "port=-1: expected a port, 1 to 65535"),
        (lambda: SshTunnel(host="h", key_file="k", forwards="1:h:2"), "forwards='1:h:2': expected a list"),
        (lambda: SshTunnel(host="h", key_file="k", forward_port=0), "forward_port=0: expected a port, 1 to 65535"),
        (lambda: SshTunnel(host="h", key_file=5), "key_file=5: expected a path on this side"),  # type: ignore[arg-type]
        (lambda: ImageBuilder.get_ecr_image_tag(5, "n"), "environment_dir=5: expected a path"),  # type: ignore[arg-type]
        (lambda: ImageBuilder.get_ecr_image_tag(tmp_path, ""), "environment_name='': expected a string, and not"),
        (lambda: ImageBuilder.ensure_image_built(cfg=None, environment_name="n"), "cfg=None: expected"),  # type: ignore[arg-type]
        (lambda: ImageBuilder.image_exists_in_ecr(5, "t"), "ecr_repository=5: expected a string"),  # type: ignore[arg-type]
        (lambda: Snapshot.open(5), "path=5: expected a path on this side"),  # type: ignore[arg-type]
    ]
    for call, told in wrong:
        with pytest.raises(ValueError, match=f"^{told}"):
            call()


def test_a_path_may_be_a_path_object_and_an_empty_one_is_not_there(shared: EcsFargateSandbox, tmp_path: Path) -> None:
    shared.write_file(Path("/tmp/of-a-path"), "content")  # type: ignore[arg-type]
    shared.download(Path("/tmp/of-a-path"), tmp_path / "here")  # type: ignore[arg-type]
    assert (tmp_path / "here").read_text() == "content"
    with pytest.raises(RemoteFileNotFound, match="No such file or directory: ''"):
        shared.read_file("")
    assert not shared.exists("")
