"""The life of a task, seen by plain boto3."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.local.engine_process import ROLE, container, container_states

if TYPE_CHECKING:
    from tests.local.engine_process import EngineProcess


def test_a_task_goes_through_all_its_states_with_real_times(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(container()), startedBy="me", tags=[{"key": "a", "value": "b"}])
    task = engine.wait(arn, "RUNNING")
    assert task["desiredStatus"] == "RUNNING"
    assert task["startedBy"] == "me"
    assert task["tags"] == [{"key": "a", "value": "b"}]
    assert (task["cpu"], task["memory"], task["launchType"]) == ("256", "512", "FARGATE")
    assert container_states(task) == {"main": ("RUNNING", None, None)}

    task = engine.stop(arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "Task stopped by user")
    assert container_states(task)["main"][1] in (137, 143)
    times = [task[key] for key in ("createdAt", "pullStartedAt", "startedAt", "stoppingAt", "stoppedAt")]
    assert times == sorted(times)
    statuses = [line["status"] for line in engine.log_lines("task") if line["task"] == arn]
    assert statuses == ["PROVISIONING", "PENDING", "RUNNING", "DEPROVISIONING", "STOPPED"]


def test_run_task_answers_before_anything_runs(engine: EngineProcess) -> None:
    task = engine.run_task(engine.register(container()))["tasks"][0]
    assert task["lastStatus"] == "PROVISIONING"
    assert task["attachments"][0]["status"] == "PRECREATED"
    engine.wait(task["taskArn"], "RUNNING")
    engine.stop(task["taskArn"])


def test_ec2_tells_the_address_of_the_task_while_it_lives(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(container()))
    engine.wait(arn, "RUNNING")
    assert engine.address(arn).startswith("127.")
    engine.stop(arn)
    with pytest.raises(ClientError, match=r"InvalidNetworkInterfaceID\.NotFound"):
        engine.address(arn)


def test_the_end_of_an_essential_container_ends_the_task(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(container(script="exit 7"), container("other")))
    task = engine.wait(arn, "STOPPED")
    assert (task["stopCode"], task["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert container_states(task)["main"][1] == 7


def test_the_end_of_a_container_that_is_not_essential_ends_nothing(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(container(), container("helper", "exit 3", essential=False)))
    engine.wait(arn, "RUNNING")
    while container_states(task := engine.describe(arn))["helper"][0] != "STOPPED":
        assert task["lastStatus"] == "RUNNING"
    assert container_states(engine.describe(arn))["helper"][1] == 3
    assert engine.describe(arn)["lastStatus"] == "RUNNING"
    engine.stop(arn)


def test_overrides_replace_the_command_and_merge_the_environment(engine: EngineProcess) -> None:
    definition = engine.register(
        container(script="true", environment=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
    )
    override = {
        "name": "main",
        "command": ["test $A$B$C = 193 && exit 42"],
        "environment": [{"name": "B", "value": "9"}, {"name": "C", "value": "3"}],
    }
    arn = engine.launch(definition, overrides={"containerOverrides": [override]})
    task = engine.wait(arn, "STOPPED")
    assert container_states(task)["main"][1] == 42
    assert task["overrides"]["containerOverrides"] == [override]


def test_a_working_directory_is_honoured(engine: EngineProcess) -> None:
    definition = engine.register(container(script='test "$(pwd)" = /usr && exit 5', workingDirectory="/usr"))
    assert container_states(engine.wait(engine.launch(definition), "STOPPED"))["main"][1] == 5


def test_volumes_are_shared_by_the_containers_of_one_task_only(engine: EngineProcess) -> None:
    mount = [{"sourceVolume": "shared", "containerPath": "/mnt/shared"}]
    definition = engine.register(
        container("writer", "echo hello > /mnt/shared/word", essential=False, mountPoints=mount),
        container(
            script="test $(cat /mnt/shared/word) = hello && ls /mnt/shared | wc -l | grep -qx 1 && exit 6",
            mountPoints=mount,
            dependsOn=[{"containerName": "writer", "condition": "SUCCESS"}],
        ),
        volumes=[{"name": "shared"}],
    )
    for _ in range(2):
        assert container_states(engine.wait(engine.launch(definition), "STOPPED"))["main"][1] == 6


def test_count_starts_that_many(engine: EngineProcess) -> None:
    tasks = engine.run_task(engine.register(container()), count=3)["tasks"]
    arns = [task["taskArn"] for task in tasks]
    assert len(set(arns)) == 3
    addresses = set()
    for arn in arns:
        engine.wait(arn, "RUNNING")
        addresses.add(engine.address(arn))
    assert len(addresses) == 3
    for arn in arns:
        engine.stop(arn)


def test_stop_sends_term_and_kills_after_the_grace(engine: EngineProcess) -> None:
    stubborn = container(script="trap '' TERM; while :; do sleep 0.1; done", stopTimeout=2)
    # A first process that has not set its trap yet never hears of the signal (pid_namespaces(7)).
    polite = container(
        "polite",
        "trap 'exit 5' TERM; touch /ready; while :; do sleep 0.05; done",
        stopTimeout=60,
        healthCheck={"command": ["CMD", "test", "-e", "/ready"]},
    )
    stubborn["dependsOn"] = [{"containerName": "polite", "condition": "HEALTHY"}]
    arn = engine.launch(engine.register(stubborn, polite))
    engine.wait(arn, "RUNNING")
    began = time.monotonic()
    task = engine.stop(arn)
    assert 1.5 < time.monotonic() - began < 10
    assert container_states(task)["main"][1] == 137
    assert container_states(task)["polite"][1] == 5


def test_stopping_twice_is_harmless_and_the_first_reason_stays(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(container()))
    engine.ecs.stop_task(cluster="local", task=arn, reason="first")
    engine.ecs.stop_task(cluster="local", task=arn, reason="second")
    assert engine.wait(arn, "STOPPED")["stoppedReason"] == "first"


def test_tasks_are_listed_by_family_by_who_started_them_and_by_desired_status(engine: EngineProcess) -> None:
    definition = engine.register(container(), family="listed")
    arns = [engine.launch(definition, startedBy="lister") for _ in range(2)]
    engine.stop(arns[0])

    def listed(**filters: str) -> list[str]:
        found: list[str] = engine.ecs.list_tasks(cluster="local", **filters)["taskArns"]
        return found

    assert listed(family="listed") == [arns[1]]
    assert listed(startedBy="lister") == [arns[1]]
    assert listed(family="listed", desiredStatus="STOPPED") == [arns[0]]
    assert listed(startedBy="list") == []
    engine.stop(arns[1])


def test_lists_come_in_pages(engine: EngineProcess) -> None:
    definition = engine.register(container(), family="paged")
    arns = {task["taskArn"] for task in engine.run_task(definition, count=3)["tasks"]}
    pages = engine.ecs.get_paginator("list_tasks").paginate(
        cluster="local", family="paged", PaginationConfig={"PageSize": 2}
    )
    assert {arn for page in pages for arn in page["taskArns"]} == arns
    for arn in arns:
        engine.ecs.stop_task(cluster="local", task=arn)


def test_a_cluster_counts_its_tasks(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(container()))
    engine.wait(arn, "RUNNING")
    cluster = engine.ecs.describe_clusters(clusters=["local"])["clusters"][0]
    assert cluster["runningTasksCount"] >= 1
    assert cluster["status"] == "ACTIVE"
    engine.stop(arn)


def test_tags_can_be_added_and_removed_while_a_task_runs(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(container()), tags=[{"key": "old", "value": "1"}])
    engine.ecs.tag_resource(resourceArn=arn, tags=[{"key": "new", "value": "2"}])
    engine.ecs.untag_resource(resourceArn=arn, tagKeys=["old"])
    assert engine.describe(arn)["tags"] == [{"key": "new", "value": "2"}]
    assert engine.ecs.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "new", "value": "2"}]
    engine.stop(arn)


def test_the_definitions_tags_are_handed_on_where_that_is_asked_for(engine: EngineProcess) -> None:
    definition = engine.register(
        container(), tags=[{"key": "from", "value": "definition"}, {"key": "both", "value": "definition"}]
    )
    tags = [{"key": "both", "value": "task"}]
    arn = engine.launch(definition, tags=tags, propagateTags="TASK_DEFINITION", enableECSManagedTags=True)
    assert {tag["key"]: tag["value"] for tag in engine.describe(arn)["tags"]} == {
        "both": "task",
        "from": "definition",
        "aws:ecs:clusterName": "local",
    }
    assert engine.describe(engine.launch(definition))["tags"] == []
    engine.ecs.stop_task(cluster="local", task=arn)


def test_output_goes_to_cloudwatch_under_prefix_container_and_task(engine: EngineProcess) -> None:
    log = {
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": "/tests",
            "awslogs-region": "us-east-1",
            "awslogs-stream-prefix": "run",
            "awslogs-create-group": "true",
        },
    }
    script = "echo one; echo two >&2; printf three"
    definition = engine.register(container(script=script, logConfiguration=log), executionRoleArn=ROLE)
    arn = engine.launch(definition)
    engine.wait(arn, "STOPPED")
    events = engine.client("logs").get_log_events(
        logGroupName="/tests", logStreamName=f"run/main/{arn.rpartition('/')[2]}", startFromHead=True
    )["events"]
    assert [event["message"] for event in events] == ["one", "two", "three"]


def test_a_missing_log_group_stops_the_task_and_says_so(engine: EngineProcess) -> None:
    log = {
        "logDriver": "awslogs",
        "options": {"awslogs-group": "/nowhere", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "run"},
    }
    definition = engine.register(container(logConfiguration=log), executionRoleArn=ROLE)
    task = engine.wait(engine.launch(definition), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert "The specified log group does not exist" in task["stoppedReason"]


def test_secrets_come_from_secrets_manager_and_from_parameters(engine: EngineProcess) -> None:
    secret = engine.client("secretsmanager").create_secret(Name="word", SecretString='{"key": "inner"}')["ARN"]
    parameters = engine.client("ssm")
    parameters.put_parameter(Name="/plain", Value="p", Type="String")
    parameters.put_parameter(Name="sealed", Value="s", Type="SecureString")
    sealed_arn = "arn:aws:ssm:us-east-1:123456789012:parameter/sealed"
    definition = engine.register(
        container(
            script='test "$WHOLE/$KEY/$PLAIN/$SEALED" = \'{"key": "inner"}/inner/p/s\' && exit 8',
            secrets=[
                {"name": "WHOLE", "valueFrom": secret},
                {"name": "KEY", "valueFrom": f"{secret}:key::"},
                {"name": "PLAIN", "valueFrom": "/plain"},
                {"name": "SEALED", "valueFrom": sealed_arn},
            ],
        ),
        executionRoleArn=ROLE,
    )
    task = engine.wait(engine.launch(definition), "STOPPED")
    assert container_states(task)["main"][1] == 8, task["stoppedReason"]
    assert "inner" not in str(task)


def test_a_missing_secret_stops_the_task_and_says_which(engine: EngineProcess) -> None:
    missing = "arn:aws:secretsmanager:us-east-1:123456789012:secret:missing-abcdef"
    definition = engine.register(container(secrets=[{"name": "WORD", "valueFrom": missing}]), executionRoleArn=ROLE)
    task = engine.wait(engine.launch(definition), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: unable to pull secrets")
    assert missing in task["stoppedReason"]


@pytest.mark.root
def test_a_container_that_takes_too_much_memory_says_so(engine: EngineProcess) -> None:
    greedy = {
        **container(memory=64),
        "entryPoint": ["python3", "-c"],
        "command": ["import time; held = b'x' * (1 << 28); time.sleep(60)"],
    }
    task = engine.wait(engine.launch(engine.register(greedy)), "STOPPED")
    assert task["stopCode"] == "EssentialContainerExited"
    assert container_states(task)["main"] == (
        "STOPPED",
        137,
        "OutOfMemoryError: Container killed due to memory usage",
    )


def test_an_unknown_image_is_cannot_pull(engine: EngineProcess) -> None:
    task = engine.wait(engine.launch(engine.register(container(image="nobody/knows:this"))), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError: ")
    assert container_states(task)["main"][2].startswith("CannotPullContainerError: ")


def test_an_unknown_command_is_cannot_start(engine: EngineProcess) -> None:
    broken = {**container(), "entryPoint": ["/no/such/program"]}
    task = engine.wait(engine.launch(engine.register(broken)), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotStartContainerError: ")


def test_the_newest_active_revision_answers_to_the_family(engine: EngineProcess) -> None:
    older = engine.register(container(), family="versions")
    newer = engine.register(container(), family="versions")
    engine.ecs.deregister_task_definition(taskDefinition=newer)
    found = engine.ecs.describe_task_definition(taskDefinition="versions")["taskDefinition"]
    assert found["taskDefinitionArn"] == older


def test_revisions_are_listed_in_either_order(engine: EngineProcess) -> None:
    arns = [engine.register(container(), family="many") for _ in range(11)]
    assert engine.ecs.list_task_definitions(familyPrefix="many")["taskDefinitionArns"] == arns
    newest = engine.ecs.list_task_definitions(familyPrefix="many", sort="DESC", maxResults=1)
    assert newest["taskDefinitionArns"] == arns[-1:]
    assert newest["nextToken"]


def test_sizes_in_words_become_numbers(engine: EngineProcess) -> None:
    arn = engine.register(container(), cpu="1 vCPU", memory="2 GB")
    found = engine.ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
    assert (found["cpu"], found["memory"]) == ("1024", "2048")
