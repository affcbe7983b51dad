"""The policies of docs/aws.md are complete, and least: what our calls need, as read from the code, and no more."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.loaders import Loader

import pytest_fargate_sandbox
from pytest_fargate_sandbox.leaves.names import TAG_OWNER
from pytest_fargate_sandbox.providers.images.buildspec import BUILDSPEC
from tests.providers.iam_policies import PAGE, POLICIES, actions, conditions, statements

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(pytest_fargate_sandbox.__file__).parent
POLICY_CHARACTERS = 6144  # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html

ON_THE_ENGINE_ONLY = {("s3", "CreateBucket"), ("ecr", "CreateRepository")}
"""On an account neither is ours to make."""

OTHER_NAMES = {
    # https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html: no permission
    ("sts", "GetCallerIdentity"): set(),
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
    ("s3", "HeadObject"): {"s3:GetObject"},
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions
    ("s3", "CreateMultipartUpload"): {"s3:PutObject"},
    ("s3", "UploadPart"): {"s3:PutObject"},
    ("s3", "CompleteMultipartUpload"): {"s3:PutObject"},
}
BESIDES = {
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/supported-iam-actions-tagging.html
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
    ("ecs", "RunTask"): {"ecs:TagResource", "iam:PassRole"},
    ("ecs", "RegisterTaskDefinition"): {"ecs:TagResource", "iam:PassRole"},
    # https://docs.aws.amazon.com/codebuild/latest/userguide/auth-and-access-control-permissions-reference.html
    ("codebuild", "CreateProject"): {"iam:PassRole"},
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
    ("s3", "PutObject"): {"kms:GenerateDataKey", "kms:Decrypt"},
    ("s3", "GetObject"): {"kms:Decrypt"},
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    ("secretsmanager", "GetSecretValue"): {"kms:Decrypt"},
    # https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-access.html
    ("ssm", "GetParameter"): {"kms:Decrypt"},
}
MULTIPART = ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload")
"""What s3transfer's manager calls: https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html."""

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html#ecs-exec-required-iam-permissions
AGENTS = {f"ssmmessages:{act}{channel}Channel" for act in ("Create", "Open") for channel in ("Control", "Data")}
NO_RESOURCE = {
    "ecs:RegisterTaskDefinition",
    "ecs:DeregisterTaskDefinition",
    "ecs:ListTaskDefinitionFamilies",
    "ecs:DescribeTaskDefinition",
    "ecs:ListTasks",
    "ec2:DescribeNetworkInterfaces",
    "ecr:GetAuthorizationToken",
    *AGENTS,
}
PERMISSION_ONLY = {
    *AGENTS,
    "iam:PassRole",
    "s3:GetObjectVersion",
    "elasticfilesystem:ClientMount",
    "elasticfilesystem:ClientWrite",
    "ecr:GetDownloadUrlForLayer",
}


def _calls(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "s3transfer.manager":
            yield from (("s3", operation) for operation in MULTIPART)
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if not re.search(r"\b_?aws$|^self$", ast.unparse(node.func.value)):
            continue
        words = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if node.func.attr in ("call", "call_once") and len(node.args) >= 2:
            assert len(words) >= 2, f"a call that cannot be read: {ast.unparse(node)}"
            yield words[0], words[1]
        if node.func.attr == "presigned":
            yield "s3", words[0].title().replace("_", "")


@cache
def made_calls() -> frozenset[tuple[str, str]]:
    """Whatever the package asks AWS, the embedded engine apart."""
    sources = [path for path in PACKAGE.rglob("*.py") if "local" not in path.relative_to(PACKAGE).parts]
    found = {call for path in sources for call in _calls(ast.parse(path.read_text()))}
    return frozenset(found - ON_THE_ENGINE_ONLY)


@cache
def operations_of(service: str) -> frozenset[str]:
    return frozenset(Loader().load_service_model(service, "service-2")["operations"])


def allowed(whose: str) -> set[str]:
    return {action for statement in statements(whose) for action in actions(statement)}


def test_every_call_that_we_make_is_one_of_awss() -> None:
    assert len(made_calls()) > 20
    assert {each for each in made_calls() if each[1] not in operations_of(each[0])} == set()


def test_who_runs_pytest_is_given_what_our_calls_need_and_nothing_else() -> None:
    needed: set[str] = set()
    for service, operation in made_calls():
        needed |= OTHER_NAMES.get((service, operation), {f"{service}:{operation}"})
        needed |= BESIDES.get((service, operation), set())
    assert allowed("caller") == needed


def test_the_build_role_is_given_what_the_build_does() -> None:
    # https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
    push = ["BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage"]
    does = {
        "aws ecr get-login-password": ["ecr:GetAuthorizationToken"],
        "docker push": [f"ecr:{each}" for each in (*push, "BatchGetImage")],
        "docker build": ["ecr:GetDownloadUrlForLayer"],  # from an image of the same repository
        "aws secretsmanager get-secret-value": ["secretsmanager:GetSecretValue", "kms:Decrypt"],
        # https://docs.aws.amazon.com/codebuild/latest/userguide/setting-up-service-role.html
        "context.tar": ["s3:GetObject", "s3:GetObjectVersion"],
        "version: 0.2": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
    }
    assert [command for command in does if command not in BUILDSPEC] == []
    assert set(re.findall(r"\baws ([a-z]+ [a-z-]+)", BUILDSPEC)) == {
        "ecr get-login-password",
        "secretsmanager get-secret-value",
    }
    assert allowed("build") == {action for needed in does.values() for action in needed}


def test_the_roles_of_a_task_are_given_what_a_definition_asks_of_ecs() -> None:
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html
    pull = {"GetAuthorizationToken", "BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage"}
    log = {"CreateLogStream", "PutLogEvents"}
    secret = {"secretsmanager:GetSecretValue", "kms:Decrypt"}
    assert allowed("execution") == {f"ecr:{each}" for each in pull} | {f"logs:{each}" for each in log} | secret
    # https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html
    assert allowed("task") == {"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite", *AGENTS}
    assert "elasticfilesystem:ClientRootAccess" in PAGE


@pytest.mark.parametrize("number", range(len(POLICIES)))
def test_a_policy_is_one_that_iam_takes_and_no_wider_than_it_must_be(number: int) -> None:
    _, policy = POLICIES[number]
    assert policy["Version"] == "2012-10-17"
    assert len(json.dumps(policy, separators=(",", ":"))) <= POLICY_CHARACTERS
    names = [statement["Sid"] for statement in policy["Statement"]]
    assert len(set(names)) == len(names)
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        for action in actions(statement):
            service, _, operation = action.partition(":")
            assert action in PERMISSION_ONLY or operation in operations_of(service), action
            assert (statement["Resource"] == "*") == (action in NO_RESOURCE), action
            assert action not in NO_RESOURCE or f"`{action}`" in PAGE


def test_what_could_harm_others_is_limited_to_the_cluster_the_owner_and_the_service() -> None:
    by_action = {action: statement for statement in statements("caller") for action in actions(statement)}
    owner = f"aws:ResourceTag/{TAG_OWNER}"
    assert {"ecs:cluster", owner} <= set(conditions(by_action["ecs:StopTask"]))
    for action in ("ecs:RunTask", "ecs:DescribeTasks", "ecs:ListTasks"):
        assert "ecs:cluster" in conditions(by_action[action])
    tagging = [each for each in statements("caller") if "ecs:TagResource" in actions(each)]
    assert [set(conditions(each)) for each in tagging] == [{"ecs:CreateAction"}, {owner}]
    passing = [each for each in statements("caller") if "iam:PassRole" in actions(each)]
    services = {service for each in passing for service in conditions(each)["iam:PassedToService"]}
    assert services == {"ecs-tasks.amazonaws.com", "codebuild.amazonaws.com"}
