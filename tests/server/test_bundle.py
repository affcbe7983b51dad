"""How the server travels: small, the same each time, and to images that have no Python."""

from __future__ import annotations

import ast
import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import zlib
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig, SshSidecarConfig
from pytest_fargate_sandbox.leaves.errors import RemotePermissionError, TransportError
from pytest_fargate_sandbox.leaves.fargate_rules import TASK_DEFINITION_BYTES
from pytest_fargate_sandbox.leaves.names import RUNTIME_DIR, WORK_DIR
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.sandbox.task.task_definition import registration
from pytest_fargate_sandbox.server import bundle
from pytest_fargate_sandbox.server.bundle import server_command, server_environment, shipped_source
from tests.components import need, program
from tests.exec_server_process import ExecServerProcess, hold_a_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

FOR_OTHERS = 12 * 1024
"""Of the 64 KiB that ECS takes, for who clones a definition of his own: some ten more containers."""


@pytest.mark.parametrize("runtime", ["auto", "image", "sidecar"])
def test_a_task_definition_has_room_for_more(runtime: Literal["auto", "image", "sidecar"]) -> None:
    cfg = EcsFargateConfig(
        cluster="cluster",
        execution_role_arn="arn:aws:iam::123456789012:role/execution",
        ssh_sidecar=SshSidecarConfig(exec_server_port=19542),
        runtime=runtime,
    )
    registered = registration(cfg, image="image:1", region="eu-west-1", base=None)
    assert len(json.dumps(registered).encode()) <= TASK_DEFINITION_BYTES - FOR_OTHERS


def test_it_is_the_same_in_every_process() -> None:
    program = "from pytest_fargate_sandbox.server.bundle import shipped_source; print(shipped_source())"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        seen = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
        assert seen.strip() == shipped_source()


def test_a_server_that_starts_loads_no_openssl() -> None:
    program = "import pytest_fargate_sandbox.server.exec_server, sys; print('_hashlib' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"


def test_garbage_is_collected_once_all_is_loaded() -> None:
    shipped = zlib.decompress(base64.b64decode(shipped_source())).decode()
    altered = shipped.replace("code=main()", "code=gc.isenabled()+40")
    assert altered != shipped
    command = [*server_command("image", source=base64.b64encode(zlib.compress(altered.encode())).decode())]
    assert subprocess.run([*command[0], *command[1]], check=False).returncode == 41


def test_it_is_readable_source_with_its_own_line_numbers() -> None:
    _, *parts = zlib.decompress(base64.b64decode(shipped_source())).decode().split("\0")
    sources = dict(zip(parts[::2], parts[1::2], strict=True))
    directory = Path(bundle.__file__).parent
    for module in bundle.SHIPPED_MODULES:
        shipped = sources[f"pytest_fargate_sandbox.server.{module}"]
        assert _code(shipped) == _code((directory / (module.replace(".", "/") + ".py")).read_text()), module
        assert not re.search('"""| -> ', shipped), f"{module}: what nobody reads there is not shipped"


class _Typeless(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], self.visit(node.value)), node)


def _code(source: str) -> str:
    """All of it but the docstrings and what types alone need, with the line on which each part begins."""
    tree = ast.parse(source)
    tree.body = [
        each for each in tree.body if not (isinstance(each, ast.If) and ast.unparse(each.test) == "TYPE_CHECKING")
    ]
    for node in ast.walk(_Typeless().visit(tree)):
        if "end_lineno" in node._attributes:
            node.end_lineno = node.end_col_offset = None
            node.col_offset = 0
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value = ast.Constant("")
    return ast.dump(tree, include_attributes=True)


def test_every_module_that_a_shipped_one_imports_is_shipped() -> None:
    directory = Path(bundle.__file__).parent
    for module, there in _modules_and_what_is_there():
        for line in (directory / (module.replace(".", "/") + ".py")).read_text().splitlines():
            if line.strip().startswith("from pytest_fargate_sandbox.server."):
                home, _, names = line.strip().partition(".server.")[2].partition(" import ")
                names = names.partition(" as ")[0]
                wanted = {home} if home in there else {f"{home}.{name}" for name in names.split(", ")}
                assert wanted <= there, (module, line)


def _modules_and_what_is_there() -> Iterator[tuple[str, set[str]]]:
    for module in bundle.SHIPPED_MODULES:
        yield module, {*bundle.SHIPPED_MODULES}
    for lesson in bundle.LESSONS.values():
        earlier = [bundle.LESSONS[each].modules for each in lesson.after]
        for module in lesson.modules:
            yield module, {*bundle.SHIPPED_MODULES, *lesson.modules, *chain(*earlier)}


UNFIT_PYTHONS = {
    "broken": "exit 1",
    "old": "echo Python 3.5.2",
    "older": "echo Python 2.7.18 >&2",
    "stripped": f"""[ "$1" != -V ] || exec echo Python 3.9.2
exec {sys.executable} -I -S -B -c "import sys; sys.modules['zlib'] = None; exec(sys.argv[1])" "$5" """,
}


@pytest.mark.parametrize("unfit", UNFIT_PYTHONS)
def test_a_python_of_no_use_is_passed_over(unfit: str, tmp_path: Path) -> None:
    for name in ("python3", "python"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{UNFIT_PYTHONS[unfit]}\n")
        (tmp_path / name).chmod(0o755)
    entry_point, command = server_command("image")
    script = entry_point[2].replace("/usr/local/bin/python3 /usr/bin/python3", "")
    result = subprocess.run(
        ["/bin/sh", "-c", script, *entry_point[3:], *command],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode == 127, result.stderr
    assert "no python3 of at least 3.6" in result.stderr


# --- a root file system that holds nothing but busybox --------------------------------------------------------------
APPLETS = [
    "sh",
    "cat",
    "dd",
    "echo",
    "env",
    "grep",
    "ls",
    "mkdir",
    "mktemp",
    "rm",
    "seq",
    "sleep",
    "tr",
    "true",
    "wc",
    "id",
]

ENTER = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec /usr/sbin/chroot "$0" "$@"'
"""With namespaces of its own for mounts and processes: the server is PID 1, as in a container."""


@pytest.fixture
def bare_root(tmp_path: Path) -> Path:
    """Nothing but busybox, and the volume that both containers mount."""
    need("namespaces")
    busybox = program("busybox")
    root = tmp_path / "root"
    for directory in ("bin", "proc", "dev", "tmp", WORK_DIR.lstrip("/")):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / WORK_DIR.lstrip("/")).chmod(0o1777)
    shutil.copy(busybox, root / "bin/busybox")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    return root


def sidecar(root: Path, seconds: float = 30) -> None:
    """What the sidecar does: wait until it is asked, then bring a Python."""
    wanted = root / WORK_DIR.lstrip("/") / "want-runtime"
    wait_until(lambda: wanted.exists() or None, deadline=seconds, what="a wish for a Python")
    bring_python(root)


def bring_python(root: Path) -> None:
    relocatable = Path(bundle.__file__).parent / "relocatable.py"
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    target = root / RUNTIME_DIR.lstrip("/")
    subprocess.run([python, "-I", "-S", "-B", relocatable, target], check=True, timeout=60)


PRELOADED = "/lib/preloaded.so"


def deadly_library(root: Path) -> dict[str, str]:
    """As of an image with a libc of its own: no Python that comes with another starts while it is preloaded."""
    maps = Path("/proc/self/maps").read_text()
    real = next(
        path for path in re.findall(r" (/.*\.so\S*)$", maps, re.MULTILINE) if b"libc.so.6" in Path(path).read_bytes()
    )
    (root / "lib").mkdir()
    (root / PRELOADED.lstrip("/")).write_bytes(Path(real).read_bytes().replace(b"libc.so.6", b"libX.so.6"))
    return {"LD_PRELOAD": PRELOADED}


@pytest.mark.parametrize("runtime", ["auto", "sidecar"])
def test_it_runs_in_a_root_with_nothing_but_busybox(bare_root: Path, runtime: str) -> None:
    environment = deadly_library(bare_root)
    environment.update(server_environment(runtime, environment))
    bringer = threading.Thread(target=bring_python if runtime == "sidecar" else sidecar, args=(bare_root,))
    bringer.start()
    if runtime == "sidecar":
        bringer.join()
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    unshare = ["unshare", *as_root, "--mount", "--pid", "--fork", "--kill-child"]
    inside = [*unshare, "sh", "-c", ENTER, str(bare_root)]
    server = ExecServerProcess(bare_root, environment=environment, runtime=runtime, inside=inside)
    try:
        client = server.client
        assert client.exec("ls /").stdout == "bin\ndev\nlib\nproc\nrun\ntmp\n"
        assert client.exec("echo $LD_PRELOAD; env | grep -c FARGATE_SANDBOX_PRELOAD").stdout == f"{PRELOADED}\n0\n"
        assert client.exec("(sleep 0.01 &); sleep 300", timeout=0.3).timed_out
        content = os.urandom(300_000)
        client.write_file("/tmp/sub/file", content)
        assert client.exec("cat /tmp/sub/file").stdout_bytes == content
        client.upload_tree(Path(bundle.__file__).parent, "/tmp/tree")
        assert "bundle.py" in client.list_files("/tmp/tree")
        assert as_root or client.exec("id", user="12345").stdout.startswith("uid=12345")
        spool = client.exec("seq 1 100000", max_output_bytes=10).stdout_spool
        assert spool is not None
        assert spool.startswith(WORK_DIR)
        hold_a_terminal(client)
    finally:
        bringer.join()
        with contextlib.suppress(TransportError):  # unshare passes no SIGTERM on.
            server.client.exec("kill -TERM 1")
        assert server.close() == 128 + signal.SIGTERM


def test_a_read_only_root_with_one_writable_directory_is_enough(bare_root: Path) -> None:
    bring_python(bare_root)
    work_dir = f"$0{WORK_DIR}"
    freeze = f'mount --bind "$0" "$0" && mount -t tmpfs none "{work_dir}" && mount -o remount,bind,ro "$0" && '
    nowhere_else = 'mount -t tmpfs none "$0/dev/shm" && mount -o remount,bind,ro "$0/dev/shm" && '
    enter = freeze + ENTER.replace("exec", nowhere_else + "exec")
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    unshare = ["unshare", *as_root, "--mount", "--pid", "--fork", "--kill-child"]
    server = ExecServerProcess(bare_root, runtime="sidecar", inside=[*unshare, "sh", "-c", enter, str(bare_root)])
    try:
        client = server.client
        assert not client.exec("echo x > /tmp/file").ok
        with pytest.raises(RemotePermissionError):
            client.write_file("/tmp/file", b"x")
        result = client.exec("seq 1 300000", max_output_bytes=1000)
        assert client.exec(f"wc -l < {result.stdout_spool}").stdout.strip() == "300000"
        assert client.exec(f"x={'y' * 300_000}; echo ${{#x}}").stdout == "300000\n"
        client.write_file(f"{WORK_DIR}/mine", b"x")
        assert client.read_file(f"{WORK_DIR}/mine") == b"x"
    finally:
        with contextlib.suppress(TransportError):
            server.client.exec("kill -TERM 1")
        server.close()


def test_without_python_and_without_a_sidecar_it_says_so(bare_root: Path) -> None:
    shutil.rmtree(bare_root / "run")
    entry_point, command = server_command("auto")
    result = subprocess.run(
        ["unshare", "--map-root-user", "/usr/sbin/chroot", str(bare_root), *entry_point, *command],
        env={"PATH": "/usr/sbin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode == 127
    assert "no volume" in result.stderr
