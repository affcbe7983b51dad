"""What AWS has in every account is there: roles can be made of its policies, as Terraform does it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.local.engine_process import EngineProcess

_OF_TASKS = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}

_ALLOWS_NOTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}


def test_a_role_can_be_made_of_a_policy_of_aws(engine: EngineProcess) -> None:
    iam = engine.client("iam")
    iam.create_role(RoleName="theirs", AssumeRolePolicyDocument=json.dumps(_TRUST))
    iam.attach_role_policy(RoleName="theirs", PolicyArn=_OF_TASKS)
    attached = iam.list_attached_role_policies(RoleName="theirs")["AttachedPolicies"]
    assert attached == [{"PolicyName": "AmazonECSTaskExecutionRolePolicy", "PolicyArn": _OF_TASKS}]
    told = iam.get_policy(PolicyArn=_OF_TASKS)["Policy"]
    document = iam.get_policy_version(PolicyArn=_OF_TASKS, VersionId=told["DefaultVersionId"])["PolicyVersion"]
    assert "ecr:GetAuthorizationToken" in json.dumps(document["Document"])
    iam.detach_role_policy(RoleName="theirs", PolicyArn=_OF_TASKS)
    iam.delete_role(RoleName="theirs")


def test_they_are_listed_apart_from_ones_own(engine: EngineProcess) -> None:
    iam = engine.client("iam")
    own = iam.create_policy(PolicyName="own", PolicyDocument=json.dumps(_ALLOWS_NOTHING))["Policy"]["Arn"]
    pages = iam.get_paginator("list_policies").paginate(Scope="AWS")
    of_aws = [policy["Arn"] for page in pages for policy in page["Policies"]]
    assert _OF_TASKS in of_aws
    assert own not in of_aws
    assert [policy["Arn"] for policy in iam.list_policies(Scope="Local")["Policies"]] == [own]
    iam.delete_policy(PolicyArn=own)
