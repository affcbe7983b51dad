"""One table of options: where a value comes from, which one wins, and what is wrong with it."""

from __future__ import annotations

import pytest

from pytest_fargate_sandbox.plugin.settings import option_table
from tests.plugin.one_process import run_pytest
from tests.plugin.settings import options_page


@pytest.fixture
def passing(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile("def test_passes(): pass")
    return pytester


def header(pytester: pytest.Pytester, *args: str) -> str:
    result = pytester.runpytest_inprocess(*args)
    return next((line for line in result.outlines if line.startswith("fargate:")), "")


def refusal(pytester: pytest.Pytester, *args: str) -> str:
    result = pytester.runpytest_inprocess(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "INTERNALERROR" not in result.stdout.str()
    return result.stderr.str()


def test_nothing_configured_says_nothing_in_the_header(passing: pytest.Pytester) -> None:
    assert header(passing) == ""


def test_the_header_names_each_value_and_where_it_came_from(
    passing: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARGATE_REGION", "eu-west-1")
    assert header(passing, "--fargate-cluster=bench") == (
        "fargate: cluster=bench (--fargate-cluster), region=eu-west-1 (FARGATE_REGION)"
    )


def test_each_source_beats_the_next(passing: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    passing.makepyprojecttoml(
        """
        [tool.pytest]
        fargate_cluster = "from-ini"
        fargate_prelaunch = 3
        [tool.pytest_fargate_sandbox]
        cluster = "from-pyproject"
        task_definition_family_prefix = "from-pyproject"
        log_group = "from-pyproject"
        [tool.pytest_fargate_sandbox.run]
        prelaunch = 5
        keep = "failed"
        """
    )
    passing.makefile(".json", more='{"cluster": "from-file", "task_definition_family_prefix": "from-file"}')
    assert "cluster=from-ini (fargate_cluster in pyproject.toml)" in header(passing)
    monkeypatch.setenv("FARGATE_CLUSTER", "from-env")
    assert "cluster=from-env (FARGATE_CLUSTER)" in header(passing)
    line = header(passing, "--fargate-cluster=from-flag", "--fargate-config=more.json")
    assert "cluster=from-flag (--fargate-cluster)" in line
    assert "task_definition_family_prefix=from-file (more.json)" in line
    assert "log_group=from-pyproject (pyproject.toml)" in line
    assert "keep=failed (pyproject.toml: run.keep)" in line.replace("(pyproject.toml)", "(pyproject.toml: run.keep)")
    assert "prelaunch=3" in line


@pytest.mark.parametrize("table", ["tool.pytest", "tool.pytest.ini_options"])
@pytest.mark.parametrize("number", ["60", '"60"'])
def test_the_ini_takes_numbers_and_strings(passing: pytest.Pytester, table: str, number: str) -> None:
    ini = f'[{table}]\nfargate_subnets = ["subnet-1", "subnet-2"]\nfargate_ttl = {number}\nfargate_image = 1\n'
    passing.makepyprojecttoml(ini)
    line = header(passing)
    assert "subnets=subnet-1,subnet-2" in line
    assert "ttl=60 (fargate_ttl in pyproject.toml)" in line
    assert "image=1 (fargate_image in pyproject.toml)" in line


@pytest.mark.parametrize(
    ("ini", "told"),
    [
        ('fargate_ttl = "soon"', "fargate_ttl=soon in pyproject.toml: expected a whole number"),
        ("fargate_ttl = 2.5", "fargate_ttl=2.5 in pyproject.toml: expected a whole number"),
        ("fargate_prelaunch = true", "fargate_prelaunch=True in pyproject.toml: expected a whole number"),
        ('fargate_keep = ["failed"]', "fargate_keep=['failed'] in pyproject.toml: expected a single value"),
        ('fargate_cpu = "many"', "cpu='many': expected a whole number (fargate_cpu in pyproject.toml)"),
    ],
)
def test_a_wrong_value_in_the_ini_names_its_option(passing: pytest.Pytester, ini: str, told: str) -> None:
    passing.makepyprojecttoml(f"[tool.pytest]\n{ini}\n")
    assert told in refusal(passing)


def test_what_is_no_choice_is_told_in_the_same_sentence_wherever_it_is_said(
    passing: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = "=alway: expected one of never, failed, always; did you mean 'always'?"
    assert refusal(passing, "--fargate-keep=alway") == f"ERROR: --fargate-keep{expected}\n"
    monkeypatch.setenv("FARGATE_KEEP", "alway")
    assert f"FARGATE_KEEP{expected}" in refusal(passing)


def test_files_have_the_words_of_the_marker_and_other_names_for_them(passing: pytest.Pytester) -> None:
    table = "[tool.pytest_fargate_sandbox]\n"
    passing.makepyprojecttoml(
        table + 'image = "a"\nttl = "60"\nkeep = "failed"\nmode = "agent"\nretries = 3\nenv = {TOKEN = "secret"}\n'
    )
    ours = header(passing)
    passing.makepyprojecttoml(
        table + 'image_template = "a"\nmax_task_lifetime_sec = 60\nkeep = "failed"\nextra_env = {TOKEN = "secret"}\n'
        'run = {sidecar_mode = "agent", infra_retries = 3}\n'
    )
    theirs = header(passing)
    words = ["image=a", "ttl=60", "keep=failed", "mode=agent", "retries=3", "env=TOKEN"]
    assert [word for word in words if f" {word} (pyproject.toml" not in ours] == []
    assert [word for word in words if f" {word} (pyproject.toml" not in theirs] == []
    assert "(pyproject.toml: max_task_lifetime_sec)" in theirs


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('[tool.pytest-fargate-sandbox]\ncluster = "x"', "nobody reads [tool.pytest-fargate-sandbox]: our table is"),
        ('[tool.fargate_sandbox]\ncluster = "x"', "nobody reads [tool.fargate_sandbox]: our table is"),
        ("[tool.pytest_fargate_sandbox]\nttl = 'soon'", "ttl='soon': expected a whole number (pyproject.toml)"),
        ("[tool.pytest_fargate_sandbox]\nimge = 'x'", "unknown key 'imge'; did you mean 'image'?"),
        ("[tool.pytest_fargate_sandbox]\nttl = 1\nmax_task_lifetime_sec = 2", "ttl is said twice"),
    ],
)
def test_what_is_wrong_in_the_table_is_told_by_its_word(passing: pytest.Pytester, written: str, told: str) -> None:
    passing.makepyprojecttoml(written)
    assert told in refusal(passing)


def test_lists_on_the_command_line_are_separated_by_commas(passing: pytest.Pytester) -> None:
    assert "subnets=a,b (--fargate-subnets)" in header(passing, "--fargate-subnets=a,b", "--fargate-cluster=c")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--fargate-keep=sometimes", "never"),
        ("--fargate-ttl=-1", "--fargate-ttl=-1: expected 1 or more"),
        ("--fargate-max-tasks=0", "--fargate-max-tasks=0: expected 1 or more"),
        ("--fargate-task-max-files=1000001", "--fargate-task-max-files=1000001: expected 1000000 or less"),
        ("--fargate-prelaunch=many", "--fargate-prelaunch=many: expected a whole number"),
        ("--fargate-memory=5", "memory 5 is not a Fargate size"),
        ("--fargate-config=nowhere.toml", "nowhere.toml: cannot be read"),
        ("--fargate-config=test_it.py", "expected a file that ends in .json, .toml"),
    ],
)
def test_a_wrong_value_is_told_before_the_first_test(pytester: pytest.Pytester, argument: str, words: str) -> None:
    pytester.makepyfile(test_it="def test_passes(): pass")
    assert words in refusal(pytester, argument)


def test_a_wrong_value_in_the_environment_is_told_with_the_nearest_one(
    passing: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARGATE_KEEP", "fail")
    assert "FARGATE_KEEP=fail: expected one of never, failed, always; did you mean 'failed'?" in refusal(passing)


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("broken.json", '{"cluster": "c",\n "region" "r"}', "line 2, column 11"),
        ("broken.toml", 'cluster = "c"\nregion "r"\n', "line 2, column 8"),
        ("broken.toml", f"ttl = {'9' * 5000}\n", "4300 digits"),
        ("broken.yaml", "cluster: a\nregion: [b\n", "line 3, column 1"),
        ("broken.yaml", "cluster: a\x07\n", "position 10"),
        ("broken.yaml", "cluster: 2024-13-45\n", "month must be in 1..12"),
    ],
)
def test_a_file_that_does_not_parse_is_told_by_line_and_column(
    passing: pytest.Pytester, name: str, text: str, where: str
) -> None:
    (passing.path / name).write_text(text)
    assert f"{name}: does not parse" in (told := refusal(passing, f"--fargate-config={name}"))
    assert where in told


def test_a_typo_in_a_file_is_told_with_the_nearest_key(passing: pytest.Pytester) -> None:
    (passing.path / "c.toml").write_text('cluser = "c"')
    assert "unknown key 'cluser'; did you mean 'cluster'?" in refusal(passing, "--fargate-config=c.toml")
    (passing.path / "c.yaml").write_text("80: http")
    assert "unknown key '80'" in refusal(passing, "--fargate-config=c.yaml")
    (passing.path / "c.toml").write_text("run.prelanch = 3")
    assert "unknown run option 'prelanch'; did you mean 'prelaunch'?" in refusal(passing, "--fargate-config=c.toml")
    (passing.path / "c.toml").write_text("run.zzz = 3")
    assert "unknown run option 'zzz' (allowed: mode, keep, reuse, " in refusal(passing, "--fargate-config=c.toml")


def test_options_that_exclude_each_other_are_refused(passing: pytest.Pytester) -> None:
    told = refusal(passing, "--fargate-runner=podman", "--fargate-cluster=bench")
    assert "--fargate-runner and --fargate-cluster exclude each other" in told
    (passing.path / "c.toml").write_text('environment_dir = "env"')
    told = refusal(passing, "--fargate-config=c.toml", "--fargate-image=python")
    assert "image (--fargate-image) and environment (c.toml: environment_dir) exclude each other" in told


@pytest.mark.parametrize(
    "said",
    [
        *("--fargate-submissions=.", "--fargate-resume=r.jsonl", "--fargate-store=.", "--fargate-regrade=r.jsonl"),
        *("--fargate-repeat=2", "--fargate-adversaries=none", "--fargate-task-slots"),
    ],
)
def test_an_option_that_says_nothing_without_task_folders_is_told(passing: pytest.Pytester, said: str) -> None:
    option, _, value = said.partition("=")
    told = refusal(passing, said)
    assert f"{option} takes --fargate-tasks: it is about task folders, and none are collected" in told
    name = option.removeprefix("--").replace("-", "_")
    passing.makeini(f"[pytest]\n{name} = {value or True}")  # for the runs that have tasks
    (passing.path / "r.jsonl").touch()
    assert run_pytest(passing, "-p", "no:xdist").ret == pytest.ExitCode.OK


def test_the_cluster_may_stand_in_the_parameter_that_all_share(passing: pytest.Pytester) -> None:
    passing.makepyprojecttoml('tool.pytest_fargate_sandbox.ssm_config = "/shared"')
    assert header(passing) == "fargate: ssm_config=/shared (pyproject.toml)"
    assert header(passing, "--fargate-cluster=bench").startswith(
        "fargate: cluster=bench (--fargate-cluster), ssm_config"
    )
    assert "--fargate-runner and ssm_config (pyproject.toml) exclude each other" in refusal(
        passing, "--fargate-runner=podman"
    )


def test_what_is_said_and_empty_is_refused_and_in_the_environment_says_nothing(
    passing: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--fargate-cluster=: expected a value (NAME)" in refusal(passing, "--fargate-cluster=")
    assert "fargate_image=: expected a value (REFERENCE)" in refusal(passing, "-o", "fargate_image=")
    monkeypatch.setenv("FARGATE_CLUSTER", "")
    assert header(passing) == ""
    passing.makepyprojecttoml('tool.pytest_fargate_sandbox.cluster = ""')
    assert "cluster (pyproject.toml) is empty: name an ECS cluster" in refusal(passing)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--fargate-results=test_it.py/r.jsonl", "--fargate-results: *test_it.py/r.jsonl: Not a directory"),
        ("--fargate-quarantine=.", "--fargate-quarantine: *: Is a directory"),
        ("--fargate-artifacts=" + "a" * 300, "--fargate-artifacts: *: File name too long"),
        ("--fargate-store=/dev/null --fargate-tasks", "--fargate-store: /dev/null: Not a directory"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_first_test(
    pytester: pytest.Pytester, option: str, told: str
) -> None:
    pytester.makepyfile(test_it="def test_it(fargate_sandbox): pass")
    result = run_pytest(pytester, "-p", "no:xdist", *option.split())
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {told}"])


def test_an_engine_that_is_not_there_is_told_with_how_to_start_it(passing: pytest.Pytester) -> None:
    told = refusal(passing, "--fargate-engine=mine")
    assert f"no engine serves in {passing.path}/mine: start one with `fargate-sandbox engine --state" in told
    assert "what serves in /dev/null cannot be read: [Errno 20]" in refusal(passing, "--fargate-engine=/dev/null")
    assert "exclude each other" in refusal(passing, "--fargate-engine=mine", "--fargate-cluster=bench")


def test_a_wrong_option_is_told_once_under_xdist(passing: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARGATE_TTL", "-5")
    result = run_pytest(passing, "-n2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.str().count("FARGATE_TTL=-5") == 1


def test_the_docs_have_the_table_of_this_code() -> None:
    """``python -m tests.plugin.settings.options_page`` writes it."""
    assert options_page.PAGE.read_text() == options_page.text()


def test_help_markers_and_fixtures_read_well(passing: pytest.Pytester) -> None:
    shown = passing.runpytest_inprocess("--help").stdout.str()
    for option in option_table.TABLE:
        assert option.flag in shown
    assert "@pytest.mark.fargate(image=, environment=" in passing.runpytest_inprocess("--markers").stdout.str()
    fixtures = passing.runpytest_inprocess("--fixtures").stdout.str()
    for name in (
        "fargate_sandbox",
        "fargate_sandbox_factory",
        "fargate_session_sandbox [session scope]",
        "fargate_agent",
    ):
        assert f"{name} -- " in fixtures.replace("\n    ", " -- ") or name in fixtures
    assert "no docstring available" not in "\n".join(
        line
        for line, above in zip(fixtures.splitlines()[1:], fixtures.splitlines(), strict=False)
        if "fargate" in above
    )


def test_a_task_is_small_unless_somebody_says_more_and_half_a_size_is_made_whole(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        def pytest_fargate_modify_task(item, task):
            raise ValueError(f"{item.name}: {task['cpu']} {task['memory']}")
        """
    )
    pytester.makepyfile(
        """
        import pytest

        def test_default(fargate_sandbox): pass

        @pytest.mark.fargate(cpu=4096)
        def test_cpu(fargate_sandbox): pass

        @pytest.mark.fargate(memory=512)
        def test_memory(fargate_sandbox): pass
        """
    )
    result = pytester.runpytest_inprocess("--fargate-prelaunch=0")
    result.stdout.fnmatch_lines_random(["*test_default: 1024 2048", "*test_cpu: 4096 8192", "*test_memory: 256 512"])
    result = pytester.runpytest_inprocess("--fargate-prelaunch=0", "--fargate-memory=4096")
    result.stdout.fnmatch_lines_random(["*test_default: 1024 4096", "*test_cpu: 4096 4096", "*test_memory: 256 512"])


def test_a_variable_that_is_nearly_one_of_ours_is_told_and_what_is_others_is_not(
    passing: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FARGATE_IMGE", "FARGATE_engine_dir", "FARGATE_PROFILE", "FARGATE_SERVICE_NAME"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("FARGATE_CLUSTR", "")  # says nothing, whatever it is called
    told = [
        "nobody reads FARGATE_IMGE; did you mean FARGATE_IMAGE?",
        "nobody reads FARGATE_engine_dir; did you mean FARGATE_ENGINE_DIR?",
    ]
    result = passing.runpytest_inprocess("-Wdefault")
    result.assert_outcomes(passed=1, warnings=2)
    result.stdout.fnmatch_lines([f"*UnreadVariableWarning: {each}" for each in told])
    assert refusal(passing, "-Werror").strip() == f"ERROR: {told[0]}"


def test_a_key_that_a_hook_makes_up_is_told_with_the_nearest_word_and_the_hook(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_fargate_modify_task(item, task): task['imge'] = 'debian'")
    pytester.makepyfile("def test_x(fargate_sandbox): pass")
    result = pytester.runpytest_inprocess("--fargate-prelaunch=0")
    result.stdout.fnmatch_lines(["pytest_fargate_modify_task: unknown key imge='debian'; did you mean 'image'?"])
