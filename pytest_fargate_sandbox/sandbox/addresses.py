"""Where a task can be reached. ECS tells the private address with the task; the public one only EC2 knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws import Aws


def interface(task: Mapping[str, Any]) -> dict[str, str] | None:
    """The details of the task's network interface, once it has one with an address."""
    for attachment in task.get("attachments") or []:
        details = {each["name"]: each["value"] for each in attachment.get("details") or [] if "value" in each}
        if attachment.get("type") == "ElasticNetworkInterface" and details.get("privateIPv4Address"):
            return details
    return None


def private_address(task: Mapping[str, Any]) -> str | None:
    details = interface(task)
    return details["privateIPv4Address"] if details else None


def wants_public(cfg: EcsFargateConfig) -> bool:
    """Without ``assign_public_ip`` a Fargate task never has a public address, so there is nothing to ask for."""
    return cfg.connect_via == "public" or (cfg.connect_via == "auto" and cfg.assign_public_ip)


def public_address(aws: Aws, interface_id: str) -> str | None:
    """The public address of an interface; it may have none yet."""
    answer = aws.call("ec2", "DescribeNetworkInterfaces", NetworkInterfaceIds=[interface_id])
    for found in answer.get("NetworkInterfaces") or []:
        address = (found.get("Association") or {}).get("PublicIp")
        if address:
            return str(address)
    return None


def reachable_address(cfg: EcsFargateConfig, aws: Aws, task: Mapping[str, Any]) -> str:
    """The address to connect to, as ``connect_via`` says. ``task`` has its interface already."""
    details = interface(task) or {}
    if not wants_public(cfg):
        return details["privateIPv4Address"]
    public = public_address(aws, details["networkInterfaceId"])
    if public:
        return public
    if cfg.connect_via == "auto":
        return details["privateIPv4Address"]
    raise StartError(
        "the task has no public address: set `assign_public_ip` and use a subnet with an internet gateway, "
        'or connect_via="private" from inside the VPC',
        phase="address",
        task_arn=str(task.get("taskArn", "")),
    )
