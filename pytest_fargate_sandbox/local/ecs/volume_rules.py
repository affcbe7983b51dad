"""What RegisterTaskDefinition refuses in a task's volumes, and in how its containers mount them."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.ecs.refusals import ClientException, invalid_setting

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Volume.html
_NOT_ON_FARGATE = ("dockerVolumeConfiguration", "fsxWindowsFileServerVolumeConfiguration")


def check_volumes(request: Mapping[str, Any]) -> None:
    volumes = request.get("volumes") or ()
    names = [volume.get("name") or "" for volume in volumes]
    if len(set(names)) != len(names):
        raise ClientException("Volume names must be unique.")
    for name, volume in zip(names, volumes, strict=True):
        if not _NAME.fullmatch(name):
            raise ClientException(
                "Volume.name contains invalid characters. Only letters, numbers, hyphens and underscores are allowed: "
                f"{name!r}."
            )
        if "FARGATE" in (request.get("requiresCompatibilities") or ()):
            _check_kind(volume)
        _check_efs(name, volume.get("efsVolumeConfiguration") or {})


def _check_kind(volume: Mapping[str, Any]) -> None:
    refused = [kind for kind in _NOT_ON_FARGATE if volume.get(kind)]
    if (volume.get("host") or {}).get("sourcePath"):
        refused.append("host.sourcePath")
    if refused:
        raise ClientException(f"Fargate does not support {refused[0]} in volume '{volume['name']}'.")


def _check_efs(name: str, efs: Mapping[str, Any]) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EFSVolumeConfiguration.html and
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EFSAuthorizationConfig.html"""
    if not efs:
        return
    authorization = efs.get("authorizationConfig") or {}
    access_point = authorization.get("accessPointId")
    if (access_point or authorization.get("iam") == "ENABLED") and efs.get("transitEncryption") != "ENABLED":
        raise ClientException(
            f"The volume '{name}' must have transitEncryption ENABLED: EFS wants it for IAM and for access points."
        )
    if access_point and (efs.get("rootDirectory") or "/") != "/":
        raise ClientException(f"The volume '{name}' has an access point, so its rootDirectory must be / or nothing.")


def check_mounts(container: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_MountPoint.html"""
    volumes = {volume.get("name") for volume in request.get("volumes") or ()}
    seen: set[str] = set()
    for mount in container.get("mountPoints") or ():
        if mount.get("sourceVolume") not in volumes:
            raise ClientException(f"Unknown volume '{mount.get('sourceVolume')}'.")
        if not mount.get("containerPath"):
            raise invalid_setting(container, "'mountPoints.containerPath' should not be null or empty.")
        path = posixpath.normpath(mount["containerPath"])
        if path in seen:
            raise invalid_setting(container, f"'mountPoints.containerPath' must be unique. Found twice: {path}.")
        seen.add(path)
