"""Where a task can be reached. ECS tells the private address with the task; the public one only EC2 knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import StartError
from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.ssm.session_calls import session_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws.aws import Aws

_PUBLIC_SEC = 10.0


def interface(task: Mapping[str, Any]) -> dict[str, str] | None:
    """The details of the task's network interface, its ``address`` among them, once it has one."""
    for attachment in task.get("attachments") or []:
        details = {each["name"]: each["value"] for each in attachment.get("details") or [] if "value" in each}
        if attachment.get("type") == "ElasticNetworkInterface":
            address = details.get("privateIPv4Address") or details.get("ipv6Address") or _ipv6_address(task)
            if address:
                return {**details, "address": address}
    return None


def _ipv6_address(task: Mapping[str, Any]) -> str:
    """All that there is in a subnet for IPv6 only, and told with the containers.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_NetworkInterface.html
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-networking.html
    """
    interfaces = [
        each for container in task.get("containers") or [] for each in container.get("networkInterfaces") or []
    ]
    return next((str(each["ipv6Address"]) for each in interfaces if each.get("ipv6Address")), "")


def private_address(task: Mapping[str, Any]) -> str | None:
    details = interface(task)
    return details["address"] if details else None


def through_sessions(cfg: EcsFargateConfig) -> bool:
    """Whether the Session Manager leads to the task, and none of its addresses has to."""
    return cfg.ecs_exec or cfg.connect_via == "ssm"


def session_address(task: Mapping[str, Any], container: str) -> str | None:
    """What a session with this container is started with, once its agent runs. Raises ``StartError`` if it ended."""
    for each in task.get("containers") or []:
        if each.get("name") != container or not each.get("runtimeId"):
            continue
        agents = {agent.get("name"): agent for agent in each.get("managedAgents") or []}
        agent = agents.get("ExecuteCommandAgent", {})
        if agent.get("lastStatus") == "STOPPED":
            raise StartError(
                f"the SSM agent of the container {container} ended ({agent.get('reason') or 'no reason given'}): it "
                "needs a root that can be written, a way to ssmmessages, and a task role with the four ssmmessages "
                "actions of docs/aws.md",
                phase="address",
                reason="the SSM agent ended",
                task_arn=str(task.get("taskArn", "")),
            )
        if agent.get("lastStatus") == "RUNNING":
            return session_target(str(task["taskArn"]), str(each["runtimeId"]))
    return None


def wants_public(cfg: EcsFargateConfig) -> bool:
    """Without ``assign_public_ip`` a Fargate task never has a public address, so there is nothing to ask for."""
    return cfg.connect_via == "public" or (cfg.connect_via == "auto" and cfg.assign_public_ip)


def reachable_address(cfg: EcsFargateConfig, aws: Aws, task: Mapping[str, Any]) -> str:
    """The address to connect to, as ``connect_via`` says. ``task`` has its interface already."""
    details = interface(task) or {}
    if not wants_public(cfg) or ":" in details["address"]:  # an IPv6 address has no public one behind it
        return details["address"]
    public = _public_address(aws, details["networkInterfaceId"], seconds=_PUBLIC_SEC if cfg.assign_public_ip else 0.0)
    if public:
        return public
    if cfg.connect_via == "auto":
        return details["address"]
    raise StartError(
        "the task has no public address: set `assign_public_ip` and use a subnet with an internet gateway, "
        'or connect_via="private" from inside the VPC',
        phase="address",
        reason="no public address",
        task_arn=str(task.get("taskArn", "")),
    )


def _public_address(aws: Aws, interface_id: str, seconds: float) -> str | None:
    """The public address of an interface; EC2 may know of either a moment later than ECS."""

    def probe() -> str | None:
        try:
            answer = aws.call("ec2", "DescribeNetworkInterfaces", NetworkInterfaceIds=[interface_id])
        except AwsError as error:
            if error.code == "InvalidNetworkInterfaceID.NotFound":
                return None
            raise
        interfaces = answer.get("NetworkInterfaces") or []
        addresses = [str((each.get("Association") or {}).get("PublicIp") or "") for each in interfaces]
        return next(filter(None, addresses), None)

    try:
        return wait_until(probe, deadline=seconds, what="a public address", first_pause=0.2, longest_pause=1.0)
    except WaitTimeout:
        return None
