"""The account's network as EC2 tells it: moto's default VPC, and a network interface for each task."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.moto_services import backend

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.ecs.engine_task import EngineTask


_PUBLIC_CIDR = "172.31.240.0/20"
"""Moto's own subnets are the first of the default VPC's 172.31.0.0/16."""


def default_network() -> tuple[list[str], list[str]]:
    """The subnets and the security group that a client may name."""
    ec2 = backend("ec2")
    vpc = next(iter(ec2.vpcs.values()))
    subnets = [subnet.id for subnet in ec2.describe_subnets() if subnet.vpc_id == vpc.id]
    return subnets, [ec2.get_default_security_group(vpc.id).id]


def make_public_subnet() -> str:
    """One more, from which a way leads out. The others are a closed network's, whatever addresses their tasks have."""
    ec2 = backend("ec2")
    vpc = next(iter(ec2.vpcs.values()))
    zone = ec2.describe_subnets()[0].availability_zone
    return str(ec2.create_subnet(vpc.id, _PUBLIC_CIDR, availability_zone=zone).id)


def leads_out(subnet: str) -> bool:
    return str(backend("ec2").get_subnet(subnet).cidr_block) == _PUBLIC_CIDR


def attach_interface(task: EngineTask, address: str, public_after_sec: float = 0.0) -> None:
    """Give the task an interface whose private and public address are the one at which its ports really answer."""
    place = task.placement
    interface = backend("ec2").create_network_interface(
        place.subnet,
        address,
        group_ids=list(place.security_groups),
        description=task.task_arn,
    )
    interface.status = "in-use"
    interface.requester_managed = True
    if place.public_address:
        _publish(interface, address, public_after_sec)
    details = {
        "subnetId": place.subnet,
        "networkInterfaceId": interface.id,
        "macAddress": interface.mac_address,
        "privateDnsName": f"ip-{address.replace('.', '-')}.ec2.internal",
        "privateIPv4Address": address,
    }
    with task.changed:
        task.attachment["status"] = "ATTACHED"
        task.attachment["details"] = [{"name": name, "value": value} for name, value in details.items()]


def _publish(interface: Any, address: str, after_sec: float) -> None:
    """EC2 may tell of a public address later than ECS of the interface."""
    if after_sec:
        timer = threading.Timer(after_sec, _publish, (interface, address, 0.0))
        timer.daemon = True
        timer.start()
    else:
        interface.public_ip = address


def detach_interface(task: EngineTask) -> None:
    """The interface goes when the task does."""
    details = {detail["name"]: detail["value"] for detail in task.attachment["details"]}
    interface_id = details.get("networkInterfaceId")
    if interface_id is not None:
        backend("ec2").enis.pop(interface_id, None)
    with task.changed:
        task.attachment["status"] = "DELETED"


def unknown_subnets(subnets: list[str]) -> list[str]:
    known: Any = {subnet.id for subnet in backend("ec2").describe_subnets()}
    return [subnet for subnet in subnets if subnet not in known]


def unknown_security_groups(groups: list[str]) -> list[str]:
    ec2 = backend("ec2")
    return [group for group in groups if ec2.get_security_group_from_id(group) is None]


def availability_zone(subnet: str) -> str:
    return str(backend("ec2").get_subnet(subnet).availability_zone)
