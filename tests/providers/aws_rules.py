"""What AWS checks about a request beyond what its client does, as a list that knows nothing of ours or of the engine's.

The client knows names and types, and lets through every other nonsense. Values, lengths and patterns are in the same
service models. What else Fargate wants is written here a second time, rule by rule, from the page that each one names:
a number that is wrong in ``leaves/fargate_rules.py``, which the client and the engine share, is found here.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_API = "https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_"
_GUIDE = "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/"


class Rule(NamedTuple):
    page: str
    check: Callable[[dict[str, Any]], Iterator[str]]


def problems(operation: OperationModel, parameters: dict[str, Any]) -> list[str]:
    """Everything that AWS would refuse about the call."""
    found = list(_of_shape(operation.input_shape, parameters, operation.name)) if operation.input_shape else []
    rules = [*RULES.get(operation.name, ()), *RULES["*"]]
    return found + [f"{problem} ({rule.page})" for rule in rules for problem in rule.check(parameters)]


# --- what the service model says --------------------------------------------------------------------------------------
def _of_shape(shape: Shape, value: Any, where: str) -> Iterator[str]:
    yield from _of_limits(shape, value, where)
    if isinstance(shape, StructureShape):
        yield from (f"{where}.{name}: missing" for name in shape.required_members if name not in value)
        yield from (f"{where}.{name}: unknown" for name in value if name not in shape.members)
        for name in set(value) & set(shape.members):
            yield from _of_shape(shape.members[name], value[name], f"{where}.{name}")
    elif isinstance(shape, ListShape):
        for number, item in enumerate(value):
            yield from _of_shape(shape.member, item, f"{where}[{number}]")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from _of_shape(shape.value, item, f"{where}.{key}")


def _of_limits(shape: Shape, value: Any, where: str) -> Iterator[str]:
    size = len(value) if isinstance(value, (str, list, dict, bytes)) else value
    limits = shape.metadata
    if isinstance(size, (int, float)) and not isinstance(value, bool):
        if "min" in limits and size < limits["min"]:
            yield f"{where}: {size} is less than {limits['min']}"
        if "max" in limits and size > limits["max"]:
            yield f"{where}: {size} is more than {limits['max']}"
    if isinstance(shape, StringShape) and isinstance(value, str):
        if shape.enum and value not in shape.enum:
            yield f"{where}: {value!r} is none of {shape.enum}"
        pattern = limits.get("pattern")
        if pattern and "\\p" not in pattern and not re.search(pattern, value):
            yield f"{where}: {value!r} does not fit {pattern}"


# --- a task definition ------------------------------------------------------------------------------------------------
_GB = 1024
_SIZES: dict[int, Callable[[int], bool]] = {
    256: lambda mib: mib in (512, 1 * _GB, 2 * _GB),
    512: lambda mib: mib in (1 * _GB, 2 * _GB, 3 * _GB, 4 * _GB),
    1024: lambda mib: 2 * _GB <= mib <= 8 * _GB and mib % _GB == 0,
    2048: lambda mib: 4 * _GB <= mib <= 16 * _GB and mib % _GB == 0,
    4096: lambda mib: 8 * _GB <= mib <= 30 * _GB and mib % _GB == 0,
    8192: lambda mib: 16 * _GB <= mib <= 60 * _GB and mib % (4 * _GB) == 0,
    16384: lambda mib: 32 * _GB <= mib <= 120 * _GB and mib % (8 * _GB) == 0,
}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,255}")


def _units(text: Any, word: str) -> int:
    found = re.fullmatch(rf"\s*([\d.]+)\s*({word})?\s*", str(text or ""), re.IGNORECASE)
    return int(float(found[1]) * (1024 if found[2] else 1)) if found else -1


def _containers(call: dict[str, Any]) -> list[dict[str, Any]]:
    return call.get("containerDefinitions") or []


def _size(call: dict[str, Any]) -> Iterator[str]:
    cpu, memory = _units(call.get("cpu"), "vcpu"), _units(call.get("memory"), "gb")
    if not _SIZES.get(cpu, lambda _mib: False)(memory):
        yield f"cpu {call.get('cpu')} and memory {call.get('memory')} are no pair"
    if sum(each.get("cpu") or 0 for each in _containers(call)) > cpu:
        yield "the containers have more cpu than the task"
    for each in _containers(call):
        hard, soft = each.get("memory") or 0, each.get("memoryReservation") or 0
        if max(hard, soft) > memory or (hard and soft > hard):
            yield f"{each['name']}: memory {hard}, reserved {soft}"


def _is_for_fargate(call: dict[str, Any]) -> Iterator[str]:
    if call.get("networkMode") != "awsvpc":
        yield f"networkMode {call.get('networkMode')}"
    yield from (key for key in ("placementConstraints", "inferenceAccelerators", "ipcMode") if call.get(key))
    if call.get("pidMode") not in (None, "task"):
        yield f"pidMode {call['pidMode']}"
    platform = call.get("runtimePlatform") or {}
    if platform.get("cpuArchitecture", "X86_64") not in ("X86_64", "ARM64"):
        yield f"cpuArchitecture {platform['cpuArchitecture']}"
    windows = r"WINDOWS_SERVER_20(19|22|25)_(FULL|CORE)"
    if not re.fullmatch(rf"LINUX|{windows}", platform.get("operatingSystemFamily", "LINUX")):
        yield f"operatingSystemFamily {platform['operatingSystemFamily']}"


def _storage(call: dict[str, Any]) -> Iterator[str]:
    size = (call.get("ephemeralStorage") or {}).get("sizeInGiB", 21)
    if not 21 <= size <= 200:
        yield f"ephemeralStorage {size}"


def _names(call: dict[str, Any]) -> Iterator[str]:
    names = [str(each.get("name")) for each in _containers(call)]
    if not 1 <= len(names) <= 10:
        yield f"{len(names)} containers"
    if len(set(names)) < len(names):
        yield "two containers of one name"
    yield from (f"name {name!r}" for name in [call["family"], *names] if not _NAME.fullmatch(name))
    yield from (f"{each.get('name')} has no image" for each in _containers(call) if not each.get("image"))
    if not any(each.get("essential", True) for each in _containers(call)):
        yield "none is essential"


def _length(call: dict[str, Any]) -> Iterator[str]:
    if len(json.dumps(call).encode()) > 64 * 1024:
        yield "more than 64 KiB"


_NOT_ON_FARGATE = "links dnsServers dnsSearchDomains dockerSecurityOptions disableNetworking extraHosts hostname"


def _containers_fit_fargate(call: dict[str, Any]) -> Iterator[str]:
    for each in _containers(call):
        linux = each.get("linuxParameters") or {}
        refused = [key for key in (*_NOT_ON_FARGATE.split(), "privileged") if each.get(key)]
        refused += [key for key in ("devices", "sharedMemorySize", "maxSwap", "swappiness") if linux.get(key)]
        refused += sorted(set((linux.get("capabilities") or {}).get("add") or ()) - {"SYS_PTRACE"})
        refused += [str(need["type"]) for need in each.get("resourceRequirements") or () if need["type"] == "GPU"]
        yield from (f"{each['name']}: {key}" for key in refused)
        for key in ("startTimeout", "stopTimeout"):
            if not 2 <= each.get(key, 2) <= 120:
                yield f"{each['name']}: {key} {each[key]}"


def _health(call: dict[str, Any]) -> Iterator[str]:
    limits = {"interval": (5, 300), "timeout": (2, 60), "retries": (1, 10), "startPeriod": (0, 300)}
    for each in _containers(call):
        check = each.get("healthCheck") or {"command": ["CMD", "x"]}
        if len(check.get("command") or ()) < 2 and check.get("command") != ["NONE"]:
            yield f"{each['name']}: a health check without a command"
        for key, (least, most) in limits.items():
            if not least <= check.get(key, least) <= most:
                yield f"{each['name']}: {key} {check[key]}"


def _dependencies(call: dict[str, Any]) -> Iterator[str]:
    by_name = {each["name"]: each for each in _containers(call)}
    for each in _containers(call):
        for need in each.get("dependsOn") or ():
            other = by_name.get(need["containerName"])
            if other is None or other is each:
                yield f"{each['name']} depends on {need['containerName']}"
            elif need["condition"] == "HEALTHY" and not other.get("healthCheck"):
                yield f"{each['name']} waits for the health of {other['name']}, which has no check"
            elif need["condition"] in ("COMPLETE", "SUCCESS") and other.get("essential", True):
                yield f"{each['name']} waits for the end of {other['name']}, which is essential"


def _ports(call: dict[str, Any]) -> Iterator[str]:
    mapped = []
    for each in _containers(call):
        for port in each.get("portMappings") or ():
            number = port.get("containerPort") or port.get("containerPortRange", "")
            ends = [int(end) if end.isdecimal() else 0 for end in str(number).split("-")]
            if not all(1 <= end <= 65535 for end in ends) or ends != sorted(ends) or len(ends) > 2:
                yield f"{each['name']}: port {port}"
            if port.get("hostPort", number) not in (0, number):
                yield f"{each['name']}: port {port}"
            if port.get("protocol", "tcp") not in ("tcp", "udp"):
                yield f"{each['name']}: port {port}"
            mapped.append((port.get("protocol", "tcp"), number))
    if len(set(mapped)) < len(mapped):
        yield f"a port twice: {mapped}"


def _variables(call: dict[str, Any]) -> Iterator[str]:
    for each in _containers(call):
        names = [str(item.get("name") or "") for item in each.get("environment") or ()]
        yield from (f"{each['name']}: a variable without a name" for name in names if not name.strip())
        secrets = [str(item["name"]) for item in each.get("secrets") or ()]
        yield from (f"{each['name']}: {name} is a variable too" for name in secrets if name in names)
        files = each.get("environmentFiles") or ()
        if len(files) > 10 or any(not re.fullmatch(r"arn:[^:]+:s3:::.+\.env", file["value"]) for file in files):
            yield f"{each['name']}: environmentFiles"


_SECRET = re.compile(
    r"arn:[\w-]+:secretsmanager:[\w-]+:[0-9]{12}:secret:[^:]+(:[^:]*:[^:]*:[^:]*)?"
    r"|arn:[\w-]+:ssm:[\w-]+:[0-9]{12}:parameter/.+|[\w./-]+"
)


def _secrets(call: dict[str, Any]) -> Iterator[str]:
    for each in _containers(call):
        for secret in each.get("secrets") or ():
            if not _SECRET.fullmatch(secret["valueFrom"]):
                yield f"{each['name']}: secret {secret['valueFrom']}"


def _execution_role(call: dict[str, Any]) -> Iterator[str]:
    for each in _containers(call):
        wants = bool(each.get("secrets") or each.get("environmentFiles") or each.get("logConfiguration"))
        if (wants or ".dkr.ecr." in str(each.get("image"))) and not call.get("executionRoleArn"):
            yield f"{each['name']} needs an execution role"


def _logs(call: dict[str, Any]) -> Iterator[str]:
    for each in _containers(call):
        logs = each.get("logConfiguration")
        if logs and logs["logDriver"] not in ("awslogs", "splunk", "awsfirelens"):
            yield f"{each['name']}: log driver {logs['logDriver']}"
        elif logs and logs["logDriver"] == "awslogs":
            options = logs.get("options") or {}
            wanted = ("awslogs-group", "awslogs-region", "awslogs-stream-prefix")
            yield from (f"{each['name']}: no {key}" for key in wanted if not options.get(key))


def _volumes(call: dict[str, Any]) -> Iterator[str]:
    volumes = call.get("volumes") or []
    names = [str(volume.get("name") or "") for volume in volumes]
    yield from (f"volume {name!r}" for name in names if not _NAME.fullmatch(name))
    if len(set(names)) < len(names):
        yield "two volumes of one name"
    for volume in volumes:
        host = (volume.get("host") or {}).get("sourcePath")
        if host or volume.get("dockerVolumeConfiguration") or volume.get("fsxWindowsFileServerVolumeConfiguration"):
            yield f"volume {volume['name']} is not for Fargate"
    for each in _containers(call):
        mounts = each.get("mountPoints") or []
        paths = [str(mount.get("containerPath") or "").rstrip("/") for mount in mounts]
        if "" in paths or len(set(paths)) < len(paths):
            yield f"{each['name']}: mounted at {paths}"
        yield from (f"no volume {mount['sourceVolume']}" for mount in mounts if mount["sourceVolume"] not in names)


def _efs(call: dict[str, Any]) -> Iterator[str]:
    for volume in call.get("volumes") or ():
        efs = volume.get("efsVolumeConfiguration") or {}
        authorized = efs.get("authorizationConfig") or {}
        point = authorized.get("accessPointId")
        if (point or authorized.get("iam") == "ENABLED") and efs.get("transitEncryption") != "ENABLED":
            yield f"volume {volume['name']} without TLS"
        if point and efs.get("rootDirectory", "/") != "/":
            yield f"volume {volume['name']} has an access point and a root"
        if authorized.get("iam") == "ENABLED" and not call.get("taskRoleArn"):
            yield f"volume {volume['name']} by IAM without a task role"


# --- a launch and the other calls -------------------------------------------------------------------------------------
def _overrides(call: dict[str, Any]) -> Iterator[str]:
    overrides = call.get("overrides") or {}
    if len(json.dumps(overrides)) > 8192:
        yield "overrides of more than 8192 characters"
    names = [each.get("name") for each in overrides.get("containerOverrides") or ()]
    if None in names or len(set(names)) < len(names):
        yield f"overrides of {names}"
    items = [item for each in overrides.get("containerOverrides") or () for item in each.get("environment") or ()]
    yield from ("a variable without a name" for item in items if not str(item.get("name") or "").strip())


def _launch(call: dict[str, Any]) -> Iterator[str]:
    if not re.fullmatch(r"[\x21-\x7e]{0,64}", call.get("clientToken", "")):
        yield f"clientToken {call['clientToken']!r}"
    if not re.fullmatch(r"[A-Za-z0-9/_-]{0,128}", call.get("startedBy", "")):
        yield f"startedBy {call['startedBy']!r}"
    if not 1 <= call.get("count", 1) <= 10:
        yield f"count {call['count']}"
    if call.get("launchType") and call.get("capacityProviderStrategy"):
        yield "a launch type and a strategy"
    if call.get("platformVersion", "LATEST") not in ("LATEST", "1.4.0"):
        yield f"platformVersion {call['platformVersion']}"


def _network(call: dict[str, Any]) -> Iterator[str]:
    network = (call.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    if not 1 <= len(network.get("subnets") or ()) <= 16 or len(network.get("securityGroups") or ()) > 5:
        yield f"network {network}"


def _described(call: dict[str, Any]) -> Iterator[str]:
    if not 1 <= len(call["tasks"]) <= 100:
        yield f"{len(call['tasks'])} tasks"


def _listed(call: dict[str, Any]) -> Iterator[str]:
    others = {"family", "serviceName", "containerInstance", "launchType", "desiredStatus"} & set(call)
    if call.get("startedBy") and others:
        yield f"startedBy with {others}"


def _tags(call: dict[str, Any]) -> Iterator[str]:
    tags = call.get("tags") or []
    if len(tags) > 50 or len({tag["key"] for tag in tags}) < len(tags):
        yield "more than 50 tags, or one twice"
    for tag in tags:
        texts = (tag["key"], tag.get("value", ""))
        fits = re.fullmatch(r"[\w .:/=+@-]{1,128}", texts[0]) and re.fullmatch(r"[\w .:/=+@-]{0,256}", texts[1])
        if not fits or any(text.lower().startswith("aws:") for text in texts):
            yield f"tag {tag}"


RULES: dict[str, tuple[Rule, ...]] = {
    "RegisterTaskDefinition": (
        Rule(f"{_GUIDE}fargate-tasks-services.html", _size),
        Rule(f"{_GUIDE}fargate-tasks-services.html", _is_for_fargate),
        Rule(f"{_API}EphemeralStorage.html", _storage),
        Rule(f"{_API}ContainerDefinition.html", _names),
        Rule(f"{_GUIDE}service-quotas.html", _length),
        Rule(f"{_GUIDE}fargate-tasks-services.html", _containers_fit_fargate),
        Rule(f"{_API}HealthCheck.html", _health),
        Rule(f"{_API}ContainerDependency.html", _dependencies),
        Rule(f"{_API}PortMapping.html", _ports),
        Rule(f"{_API}KeyValuePair.html", _variables),
        Rule(f"{_API}Secret.html", _secrets),
        Rule(f"{_GUIDE}task_execution_IAM_role.html", _execution_role),
        Rule(f"{_GUIDE}using_awslogs.html", _logs),
        Rule(f"{_API}Volume.html", _volumes),
        Rule(f"{_API}EFSVolumeConfiguration.html", _efs),
    ),
    "RunTask": (
        Rule(f"{_API}RunTask.html", _overrides),
        Rule(f"{_API}RunTask.html", _launch),
        Rule(f"{_API}AwsVpcConfiguration.html", _network),
    ),
    "DescribeTasks": (Rule(f"{_API}DescribeTasks.html", _described),),
    "ListTasks": (Rule(f"{_API}ListTasks.html", _listed),),
    "*": (Rule(f"{_API}Tag.html", _tags),),
}
