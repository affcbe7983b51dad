"""What a ``task.toml`` says, what is wrong with one, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import TaskFolderError
from pytest_fargate_sandbox.tasks.task_folder import Artifact, HealthCheck
from pytest_fargate_sandbox.tasks.task_places import agents_place
from pytest_fargate_sandbox.tasks.task_reading import read_task

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fargate_sandbox.tasks.task_folder import TaskFolder

WHOLE = """\
schema_version = "1.3"
artifacts = ["/app/out.txt", { source = "/app/logs", exclude = ["*.tmp"], destination = "logs" }]
multi_step_reward_strategy = "final"

[task]
name = "acme/hello"
keywords = ["greeting"]
[[task.authors]]
name = "Ada"

[metadata]
difficulty = "easy"
anything = { goes = 1 }

[agent]
timeout_sec = 120
user = 1000

[verifier]
timeout_sec = 60.5
user = "nobody"
environment_mode = "separate"
env = { KEY = "${KEY:-none}" }
[[verifier.collect]]
command = "pg_dump > /app/dump.sql"

[verifier.environment]
docker_image = "checker:1"

[environment]
docker_image = "python:3.12"
cpus = 2
memory_mb = 4096
storage_mb = 10240
os = "Linux"
workdir = "/app"
network_mode = "no-network"
[environment.healthcheck]
command = "test -f /ready"
retries = 5

[solution.env]
ANSWER = "42"

[[steps]]
name = "first"
min_reward = 0.5
artifacts = ["/app/one"]

[[steps]]
name = "second"
min_reward = { reward = 1.0 }
[steps.verifier]
environment_mode = "separate"
"""


def _read(tmp_path: Path, text: str, name: str = "task.toml") -> TaskFolder:
    (tmp_path / name).write_text(text)
    return read_task(tmp_path / name)


def test_all_that_it_may_say_is_read(tmp_path: Path) -> None:
    folder = _read(tmp_path, WHOLE)
    config = folder.config
    assert folder.warnings == folder.obstacles == ()
    assert folder.name == "acme/hello"
    assert config.artifacts == [
        Artifact("/app/out.txt"),
        Artifact("/app/logs", destination="logs", exclude=["*.tmp"]),
    ]
    assert (config.agent.timeout_sec, config.agent.user, config.verifier.user) == (120.0, 1000, "nobody")
    assert config.verifier.environment is not None
    assert config.verifier.environment.docker_image == "checker:1"
    assert config.verifier.collect[0].command == "pg_dump > /app/dump.sql"
    assert config.environment.os == "linux"
    assert config.environment.network_mode == "no-network"
    assert config.environment.healthcheck == HealthCheck("test -f /ready", retries=5)
    assert config.solution.env == {"ANSWER": "42"}
    assert [step.name for step in config.steps] == ["first", "second"]
    assert [step.min_reward for step in config.steps] == [0.5, {"reward": 1.0}]


def test_an_empty_one_is_a_task_with_defaults_named_after_its_folder(tmp_path: Path) -> None:
    folder = _read(tmp_path, "")
    assert folder.name == tmp_path.name
    assert (folder.agent_sec(None), folder.verifier_sec(None)) == (3600.0, 600.0)
    assert folder.config.environment.network_mode is None


def test_a_step_has_its_own_times_where_it_says_them_and_else_those_of_the_task(tmp_path: Path) -> None:
    steps = '[[steps]]\nname = "a"\n[steps.verifier]\ntimeout_sec = 600\n[[steps]]\nname = "b"\n'
    folder = _read(tmp_path, f"[agent]\ntimeout_sec = 7\n[verifier]\ntimeout_sec = 60\n{steps}")
    assert [(folder.agent_sec(step), folder.verifier_sec(step)) for step in folder.config.parts] == [(7, 600), (7, 60)]


def test_what_an_older_schema_called_otherwise_is_understood(tmp_path: Path) -> None:
    folder = _read(
        tmp_path, 'version = "1.0"\n[environment]\nmemory = "2G"\nstorage = "512M"\nallow_internet = false\n'
    )
    surroundings = folder.config.environment
    assert (surroundings.memory_mb, surroundings.storage_mb, surroundings.network_mode) == (2048, 512, "no-network")
    assert (folder.warnings, folder.notes) == ((), ("environment.allow_internet is network_mode now",))


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        ("[agent]\ntimeout_sec = = 3\n", "2:15", "does not parse: Invalid value"),
        ('[agent\ntimeout_sec = 3"\n', "1:7", "does not parse: Expected ']' at the end of a table declaration"),
        ('[agent]\ntimeout_sec = "60"\n', "2:1", "agent.timeout_sec is '60': expected a number"),
        ("[agent]\ntimeout_sec = nan\n", "2:1", "agent.timeout_sec is nan: expected a finite number"),
        ("agent = 3\n", "1:1", "agent is 3: expected a table"),
        ("[environment]\ncpus = true\n", "2:1", "environment.cpus is True: expected a number"),
        ("[environment]\nmemory_mb = 2.5\n", "2:1", "environment.memory_mb is 2.5: expected a whole number"),
        ("[environment]\ncpus = 0\n", "2:1", "environment.cpus is 0.0: expected more than 0"),
        ('[environment]\nmemory = "two"\n', "2:1", "environment.memory is 'two': expected a size like '2G' or '512M'"),
        (
            '[environment]\nmemory = "2G"\nmemory_mb = 1\n',
            "2:1",
            "environment.memory is '2G': expected the same as memory_mb, which is 1",
        ),
        (
            '[environment]\nnetwork_mode = "publik"\n',
            "2:1",
            "network_mode is 'publik': expected 'public' or 'no-network'",
        ),
        ('[environment]\nworkdir = "app"\n', "2:1", "environment.workdir is 'app': expected an absolute path"),
        ("[environment.env]\nA = 1\n", "2:1", "environment.env.A is 1: expected a string"),
        ("[verifier]\ntimeout_sec = 0\n", "2:1", "verifier.timeout_sec is 0.0: expected more than 0"),
        ("[agent]\ntimeout_sec = -1\n", "2:1", "agent.timeout_sec is -1.0: expected 0 or more"),
        (
            "[environment.healthcheck]\ncommand = 'true'\ninterval_sec = -5\n",
            "3:1",
            "environment.healthcheck.interval_sec is -5.0: expected 0 or more",
        ),
        (f"[environment]\nmemory = '{'9' * 400}G'\n", "2:1", "expected a size like '2G' or '512M'"),
        (
            '[verifier]\nenvironment_mode = "shared"\n[verifier.environment]\n',
            "1:1",
            "verifier.environment_mode is 'shared', and there is a verifier.environment",
        ),
        ('schema_version = "2.0"\n', "1:1", "schema_version is '2.0': expected 1.x: this release reads up to 1.4"),
        ('schema_version = "new"\n', "1:1", "expected a version like '1.4'"),
        ("[[steps]]\nmin_reward = 1\n", "1:1", "steps[0] has no 'name'"),
        ('[[steps]]\nname = "a"\n[[steps]]\nname = "A"\n', "4:1", "two steps are called 'A'"),
        ('[[steps]]\nname = "../a"\n', "2:1", "expected the name of a directory under steps/"),
        ('artifacts = ["/app/../etc"]\n', "1:1", "artifacts[0].source is '/app/../etc': expected a path without .."),
    ],
)
def test_a_mistake_is_told_with_its_line_and_column(tmp_path: Path, text: str, place: str, sentence: str) -> None:
    with pytest.raises(TaskFolderError) as met:
        _read(tmp_path, text)
    assert str(met.value).startswith(f"{tmp_path / 'task.toml'}:{place}: ")
    assert sentence in str(met.value)
    assert f"{met.value.line}:{met.value.column}" == place


def test_a_key_that_nobody_knows_is_a_warning_with_the_nearest(tmp_path: Path) -> None:
    folder = _read(tmp_path, "[agent]\ntimeout_secs = 3\n[environment.healthcheck]\ncommand = 'true'\nretry = 1\n")
    here = tmp_path / "task.toml"
    assert folder.warnings == (
        f"{here}:2:1: nobody reads 'agent.timeout_secs'; did you mean 'timeout_sec'?",
        f"{here}:5:1: nobody reads 'environment.healthcheck.retry'; did you mean 'retries'?",
    )
    assert folder.config.agent.timeout_sec is None


def test_a_newer_minor_version_is_a_warning(tmp_path: Path) -> None:
    assert _read(tmp_path, 'schema_version = "1.9"\n').warnings == (
        "schema_version 1.9 is newer than all that is known here: 1.4",
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[environment]\ngpus = 1\n", "it takes 1 GPUs, and Fargate has none"),
        ('[environment]\nos = "windows"\n', "it takes Windows, and Fargate's tasks are Linux here"),
        ("[verifier.environment]\ngpus = 2\n", "it takes 2 GPUs, and Fargate has none"),
        ('[environment.tpu]\ntype = "v4"\n', "it takes a TPU, and Fargate has none"),
        ('[[environment.mcp_servers]]\nname = "a"\n', "it has MCP servers, which nobody starts here"),
        ('[agent]\nnetwork_mode = "allowlist"\n', "network_mode = 'allowlist' cannot be enforced yet"),
        (
            'artifacts = [{ source = "/x", service = "db" }]\n',
            "it has artifacts of other services than main: db",
        ),
    ],
)
def test_what_cannot_be_had_is_an_obstacle_and_no_mistake(tmp_path: Path, text: str, sentence: str) -> None:
    assert _read(tmp_path, text).obstacles == (sentence,)


def test_a_compose_file_with_one_service_is_a_container_and_with_two_an_obstacle(tmp_path: Path) -> None:
    (tmp_path / "environment").mkdir()
    compose = tmp_path / "environment/docker-compose.yaml"
    compose.write_text("services:\n  main:\n    build: .\n")
    assert _read(tmp_path, "").obstacles == ()
    compose.write_text("services:\n  main:\n    build: .\n  db:\n    image: postgres\n")
    assert _read(tmp_path, "").obstacles == ("docker-compose.yaml has 2 services (db, main), and a task has one here",)
    compose.rename(compose.with_suffix(".yml"))  # a file of the task's, which its Dockerfile copies
    assert _read(tmp_path, "").obstacles == ()


def test_the_older_format_is_read_in_the_same_words(tmp_path: Path) -> None:
    folder = _read(
        tmp_path,
        "instruction: |-\n  Say hello.\ndifficulty: easy\nmax_agent_timeout_sec: 90\nmax_test_timeout_sec: 30\n",
        "task.yaml",
    )
    assert (folder.instruction, folder.name) == ("Say hello.", tmp_path.name)
    assert (folder.config.agent.timeout_sec, folder.config.verifier.timeout_sec) == (90.0, 30.0)
    assert folder.obstacles == ()


def test_what_is_told_to_people_may_be_in_whichever_words_and_what_is_null_is_not_said(tmp_path: Path) -> None:
    said = "instruction: x\ndifficulty: 4\nestimated_duration_sec:\ntags: a\nmax_test_timeout_sec: ~\n"
    folder = _read(tmp_path, said, "task.yaml")
    assert (folder.warnings, folder.config.verifier.timeout_sec) == ((), 60.0)


COMPOSE = """
services:
  client:
    build: {context: ./client, dockerfile: Dockerfile}
    image: ${T_BENCH_TASK_DOCKER_CLIENT_IMAGE_NAME}
    command: [sh, -c, sleep infinity]
    working_dir: /srv
    environment: ["TEST_DIR=${T_BENCH_TEST_DIR}", LANG=C.UTF-8, HOST_SAYS, A=b=c]
    volumes:
    - ${T_BENCH_TASK_LOGS_PATH}:${T_BENCH_CONTAINER_LOGS_PATH}
    - ./tests:/app/tests:ro
    - {type: tmpfs, target: /scratch}
    shm_size: 2gb
"""


def test_the_one_container_of_the_older_format_is_as_its_compose_file_says(tmp_path: Path) -> None:
    compose = tmp_path / "docker-compose.yaml"
    compose.write_text(COMPOSE)
    (tmp_path / "client").mkdir()
    (tmp_path / "client/Dockerfile").write_text("FROM debian:13\n")
    folder = _read(tmp_path, "instruction: x\n", "task.yaml")
    said = folder.config.environment
    assert (said.docker_image, said.workdir, folder.is_terminal_bench) == (None, "/srv", True)
    assert said.env == {"TEST_DIR": "/tests", "LANG": "C.UTF-8", "HOST_SAYS": "${HOST_SAYS:-}", "A": "b=c"}
    assert agents_place(folder).context == tmp_path / "client"
    assert folder.warnings == (
        f"{compose}: its volume ./tests:/app/tests:ro is mounted nowhere here: what it holds has to be in the image",
        f"{compose}: its volume /scratch is mounted nowhere here: what it holds has to be in the image",
        f"{compose}: nobody reads 'shm_size' of its service here",
    )


def test_an_image_of_a_compose_file_is_had_as_it_is_and_nothing_of_the_folder_goes_into_it(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yaml").write_text("services: {client: {image: 'debian:13', environment: {A: 1}}}\n")
    place = agents_place(_read(tmp_path, "instruction: x\n", "task.yaml"))
    assert (place.image, place.context, place.files, place.said.env) == ("debian:13", None, None, {"A": "1"})


def test_a_dockerfile_of_another_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yaml").write_text("services: {client: {build: {dockerfile: other}}}\n")
    with pytest.raises(TaskFolderError, match=r"build\.dockerfile is 'other', and only a Dockerfile in the directory"):
        _read(tmp_path, "instruction: x\n", "task.yaml")


@pytest.mark.parametrize(
    ("text", "obstacle"),
    [
        ("parser_name: swebench\n", "its parser_name is 'swebench', and only pytest's output is understood here"),
        ("run_tests_in_same_shell: true\n", "it has its tests run in the agent's own shell"),
    ],
)
def test_what_the_older_format_asks_for_and_cannot_have(tmp_path: Path, text: str, obstacle: str) -> None:
    [told] = _read(tmp_path, f"instruction: x\n{text}", "task.yaml").obstacles
    assert told.startswith(obstacle)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("instruction: [\n", ":2:1: does not parse: "),
        ("difficulty: easy\n", ": it has no 'instruction'"),
        ("- a\n", ": it is ['a']: expected a table"),
        ("# nothing\n", "task.yaml: there is nothing in it"),
        ("instruction: x\nmax_agent_timeout_sec: long\n", ":2:1: max_agent_timeout_sec is 'long': expected a number"),
        ("instruction: x\nmax_test_timeout_sec: 0\n", ":2:1: max_test_timeout_sec is 0.0: expected more than 0"),
        (f"instruction: x\ntags: {'[' * 3000}{']' * 3000}\n", "does not parse: "),
        (
            "a0: &a0 [a]\n"
            + "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]\n" for n in range(1, 11))
            + "instruction: *a10\n",
            ": its aliases (*) make more than 16777216 characters of it",
        ),
        ("a: &a {instruction: *a}\n", ": its aliases"),
    ],
)
def test_a_mistake_in_the_older_format_is_told_too(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(TaskFolderError) as met:
        _read(tmp_path, text, "task.yaml")
    assert sentence in str(met.value)


def test_what_is_no_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(TaskFolderError, match="is not UTF-8"):
        read_task(tmp_path / "task.toml")
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment/docker-compose.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(TaskFolderError, match=r"docker-compose.yaml: cannot be read: 'utf-8' codec"):
        _read(tmp_path, "")


@pytest.mark.parametrize("text", [f"a = {'[' * 3000}{']' * 3000}\n", f"a = {'9' * 5000}\n"])
def test_what_is_beyond_all_bounds_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(TaskFolderError, match=r"task.toml: does not parse: "):
        _read(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("task.toml", ".".join("a" * 500_000) + " = 1\n", "has more than 131072 characters"),
        ("task.yaml", "a: " + "1:" * 500_000 + "1\n", "does not parse: a number of 1000001 characters"),
        ("task.yaml", "a: 1." + "1" * 500_000 + "\n", "does not parse: a number of 500002 characters"),
    ],
    ids=["keys", "minutes and seconds", "digits"],
)
def test_what_would_be_parsed_for_ever_is_told(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    with pytest.raises(TaskFolderError, match=f"{name}: {sentence}"):
        _read(tmp_path, text, name)


def test_of_keys_that_nobody_knows_a_hundred_are_told(tmp_path: Path) -> None:
    folder = _read(tmp_path, "".join(f"k{number} = 1\n" for number in range(12_000)))
    assert len(folder.warnings) == 100


def test_an_instruction_comes_without_its_canary(tmp_path: Path) -> None:
    (tmp_path / "instruction.md").write_text("<!-- BENCHMARK canary GUID 1 -->\n# canary\n\nDo it.\n# canary stays\n")
    assert _read(tmp_path, "").instruction == "Do it.\n# canary stays\n"
    (tmp_path / "instruction.md").write_text("\n# Title\nDo it.\n")
    assert _read(tmp_path, "").instruction == "\n# Title\nDo it.\n"
