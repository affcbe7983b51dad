"""What AWS says when something cannot be, and what it means: one row for each way of saying it, the first that fits.

A row knows the ``code`` of an exception ("" fits prose as well: ``failures[]`` and what ECS tells of a stopped task),
the words by which the text is known, a text as AWS says it, the cause, whether trying again can help, and what to do.
``docs/aws.md`` shows them all; each stands by an example of its own in the tests.
"""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple

from pytest_fargate_sandbox.leaves.names import Cause

_ECS: Final = "https://docs.aws.amazon.com/AmazonECS/latest"
STOPPED: Final = f"{_ECS}/developerguide/stopped-task-error-codes.html"
PULL: Final = f"{_ECS}/developerguide/task_cannot_pull_image.html"
INITIALIZATION: Final = f"{_ECS}/developerguide/resource-initialization-error.html"
PLACEMENT: Final = f"{_ECS}/developerguide/api_failures_messages.html"
RUN_TASK: Final = f"{_ECS}/APIReference/API_RunTask.html"
REGISTER: Final = f"{_ECS}/APIReference/API_RegisterTaskDefinition.html"
COMMON: Final = f"{_ECS}/APIReference/CommonErrors.html"
TAG: Final = f"{_ECS}/APIReference/API_Tag.html"
QUOTAS: Final = f"{_ECS}/developerguide/service-quotas.html"
LINKED_ROLE: Final = f"{_ECS}/developerguide/using-service-linked-roles.html"
SPOT: Final = f"{_ECS}/developerguide/fargate-capacity-providers.html"
MAINTENANCE: Final = f"{_ECS}/developerguide/task-maintenance.html"
THROTTLING: Final = f"{_ECS}/APIReference/request-throttling.html"
S3: Final = "https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"
ECR: Final = "https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html"
CODEBUILD: Final = "https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StartBuild.html"
SECRETS: Final = "https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html"
ASSUME_ROLE: Final = "https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html"
DENY: Final = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html"
SSM: Final = "https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html"
EC2: Final = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"

CREDENTIALS: Final = "the usual places are AWS_PROFILE, AWS_ACCESS_KEY_ID, `aws configure` and `aws sso login`"
_NO_ANSWER: Final = (
    "i/o timeout|connection issue|deadline exceeded|RequestCanceled|context canceled|no such host|TLS handshake timeout"
    "|: EOF|connection reset|signal: killed"
)
_NETWORK: Final = (
    "the subnet has no way to {what}: a public subnet needs `assign_public_ip`, a private one a NAT gateway or VPC "
    "endpoints (ecr.api, ecr.dkr, s3, logs, secretsmanager)"
)
_SUBNETS: Final = "check `subnets` ({subnets}): they must exist in {place}"
_GROUPS: Final = "check `security_groups` ({groups}): they must exist in {place}, in the VPC of the subnets"
_ROLES: Final = "check `execution_role_arn` and `task_role_arn`: the role must exist and trust ecs-tasks.amazonaws.com"
_LOG_GROUP: Final = (
    "make the log group (`aws logs create-log-group`), or let us: these credentials need logs:CreateLogGroup"
)
_MAY_PULL: Final = (
    "check the image's name and tag, that the execution role may pull it (ecr:GetAuthorizationToken, "
    "ecr:BatchGetImage, ecr:GetDownloadUrlForLayer), and that the subnet reaches the registry"
)
_QUOTA: Final = (
    "the account's Fargate quota is used up: ask for more in the Service Quotas console (Fargate On-Demand vCPU "
    "resource count), run fewer tasks at once (`--fargate-max-tasks`), or give them less `cpu`"
)


class Reason(NamedTuple):
    """One way in which AWS says that something cannot be."""

    code: str
    """A pattern for the whole code of an exception; "" where the text alone tells."""

    words: str
    """A pattern that is searched for in the text, whatever its case."""

    example: str
    """As AWS says it: ``Code: text`` of an exception, else the text."""

    cause: str
    source: str
    transient: bool = False
    remedy: str = ""
    on_local: str | None = None
    """What to do on the embedded engine, which says most of it itself, and has no roles to check; None: the same."""
    passes_in: float = math.inf
    """Seconds in which it has passed, if it passes at all."""

    def fits(self, code: str, text: str) -> bool:
        said = f"{code}: {text}" if code else text
        return bool(re.fullmatch(self.code or ".*", code)) and bool(re.search(self.words, said, re.IGNORECASE))


# fmt: off
REASONS: Final = (
    # --- quotas, rates and room: waiting helps, or does not ------------------------------------------------------
    Reason("", r"limit on the number of vCPUs", "ThrottlingException: You've reached the limit on the number of vCPUs "
           "you can run concurrently", Cause.QUOTA, QUOTAS, remedy=_QUOTA),
    Reason("", r"limit on the number of tasks", "ThrottlingException: You've reached the limit on the number of tasks "
           "you can run concurrently", Cause.QUOTA, QUOTAS, remedy=_QUOTA),
    Reason("", r"(CPU|MEMORY) configuration is above your limit", "ThrottlingException: The requested CPU configuration is above "
           "your limit", Cause.QUOTA, QUOTAS, remedy="the task is larger than what the account's Fargate quota leaves: give it less `cpu`, or ask "
           "for more in the Service Quotas console (Fargate On-Demand vCPU resource count)"),
    Reason("", r"NetworkInterfaceLimitExceeded|limit on (the number of )?network interfaces", "Unexpected EC2 error while "
           "attempting to Create Network Interface: NetworkInterfaceLimitExceeded", Cause.QUOTA, EC2,
           remedy="ask for more network interfaces in the Service Quotas console (VPC), or run fewer tasks at once"),
    Reason("", r"vcpu.*(quota|limit)|service quota", "LimitExceededException: vCPU quota exceeded", Cause.QUOTA, QUOTAS,
           remedy=_QUOTA),
    Reason("", r"too many concurrent attempts to create a new revision", "ClientException: Too many concurrent attempts "
           "to create a new revision of the specified family.", Cause.THROTTLED, REGISTER, transient=True),
    Reason("", r"toomanyrequests: .*pull rate limit|429 Too Many Requests|pull.*rate limit",
           "CannotPullContainerError: httpReadSeeker: failed open: unexpected status code 429 Too Many Requests - "
           "toomanyrequests: You have reached your pull rate limit", Cause.THROTTLED, PULL, transient=True,
           remedy="Docker Hub limits who pulls without signing in: `mirror_images = true` copies the image into your ECR"),
    Reason("AccountLimitExceededException", "", "AccountLimitExceededException: Cannot have more than 1 builds in queue "
           "for the account", Cause.THROTTLED, CODEBUILD, transient=True),
    Reason("", r"^RESOURCE:", "RESOURCE:ENI", Cause.CAPACITY, PLACEMENT, transient=True),
    Reason("", r"Capacity is unavailable", "Capacity is unavailable at this time. Please try again later or in a "
           "different availability zone", Cause.CAPACITY, PLACEMENT, transient=True),
    Reason("", r"insufficient capacity", "InsufficientCapacity: insufficient capacity", Cause.CAPACITY, PLACEMENT,
           transient=True),
    Reason("Throttling(Exception)?|TooManyRequestsException|RequestLimitExceeded|SlowDown", "",
           "ThrottlingException: Rate exceeded", Cause.THROTTLED, THROTTLING, transient=True),
    Reason("", r"ThrottlingException|TooManyRequests|Rate exceeded|RequestLimitExceeded|throttl",
           "service call has been retried 3 time(s): ThrottlingException: Rate exceeded", Cause.THROTTLED, THROTTLING,
           transient=True),
    Reason("LimitExceededException|ServiceQuotaExceededException", "", "LimitExceededException: The limit for a resource "
           "has been exceeded.", Cause.QUOTA, COMMON,
           remedy="ask for more in the Service Quotas console, or use smaller or fewer tasks"),

    # --- who is asking ---------------------------------------------------------------------------------------------
    Reason("ExpiredToken(Exception)?|RequestExpired", "", "ExpiredTokenException: The security token included in the "
           "request is expired", Cause.REFUSED, COMMON,
           remedy="the AWS credentials have expired: renew them (`aws sso login`, or a new session token)"),
    Reason("InvalidClientTokenId|UnrecognizedClientException|AuthFailure|InvalidAccessKeyId|InvalidToken|InvalidIdentityToken(Exception)?"
           "|SignatureDoesNotMatch|InvalidSignatureException|IncompleteSignature|MissingAuthenticationToken(Exception)?",
           "", "UnrecognizedClientException: The security token included in the request is invalid.", Cause.REFUSED,
           COMMON, remedy="AWS does not accept these credentials: check them, the region and this machine's clock "
           f"({CREDENTIALS})"),
    Reason("BlockedException", "", "BlockedException: Your AWS account was blocked.", Cause.REFUSED, RUN_TASK,
           remedy="AWS has blocked the account: AWS Support knows why"),
    Reason("AccessDenied(Exception)?", r"MultiFactorAuthentication failed", "AccessDenied: MultiFactorAuthentication "
           "failed with invalid MFA one time pass code.", Cause.REFUSED, ASSUME_ROLE,
           remedy="the MFA code was wrong, or was used before: run it again with the next one"),
    Reason("AccessDenied(Exception)?", r"explicit deny", "AccessDeniedException: User: arn:aws:iam::1:user/u is not "
           "authorized to perform: ecs:RunTask with an explicit deny in a service control policy", Cause.REFUSED, DENY,
           remedy="that policy denies {action}, so no other can allow it: whoever administers the account has to"),
    Reason("AccessDenied(Exception)?", r"iam:PassRole", "AccessDeniedException: User: arn:aws:iam::1:user/u is not "
           "authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/r", Cause.REFUSED, RUN_TASK,
           remedy="these credentials lack the IAM action iam:PassRole on that role: allow it in their policy "
           "(docs/aws.md lists them all)"),
    Reason("AccessDenied(Exception)?|UnauthorizedOperation|NotAuthorized|Forbidden", "", "AccessDeniedException: User: "
           "arn:aws:iam::1:user/u is not authorized to perform: ecs:RunTask", Cause.REFUSED, COMMON,
           remedy="these credentials lack the IAM action {action}: allow it in their policy (docs/aws.md lists them all)"),

    # --- what was named and is not there -----------------------------------------------------------------------------
    Reason("ClusterNotFoundException", "", "ClusterNotFoundException: Cluster not found.", Cause.REFUSED, RUN_TASK,
           remedy="there is no ECS cluster {cluster!r} in {place}: check `cluster` and `region` (`aws ecs list-clusters` "
           "shows what is there; `local` needs no account)"),
    Reason("", r"service linked role", "InvalidParameterException: Unable to assume the service linked role. Please "
           "verify that the ECS service linked role exists.", Cause.REFUSED, LINKED_ROLE, transient=True,
           passes_in=20.0,  # with an account's first cluster ECS makes it itself, and IAM takes seconds to know of it
           remedy="ECS needs its own role in the account, once: `aws iam create-service-linked-role --aws-service-name "
           "ecs.amazonaws.com`"),
    Reason("", r"subnet.*enough free addresses|InsufficientFreeAddresses", "Unexpected EC2 error while attempting to "
           "Create Network Interface in subnet 'subnet-1': InsufficientFreeAddressesInSubnet", Cause.CAPACITY, EC2,
           transient=True, remedy="the subnet has no free address left: name more or larger `subnets`"),
    Reason("", r"different (networks|VPC)|belong to different", "InvalidParameterException: Security group and subnet "
           "belong to different networks", Cause.REFUSED, RUN_TASK,
           remedy="`security_groups` ({groups}) and `subnets` ({subnets}) must be of one VPC"),
    Reason("InvalidParameterException|ClientException|Invalid.*", r"subnet", "InvalidParameterException: The subnet ID "
           "'subnet-1' does not exist", Cause.REFUSED, RUN_TASK, remedy=_SUBNETS),
    Reason("InvalidParameterException|ClientException|Invalid.*", r"security ?group", "InvalidParameterException: The "
           "security group 'sg-1' does not exist", Cause.REFUSED, RUN_TASK, remedy=_GROUPS),
    Reason("InvalidParameterException|ClientException", r"unable to assume|role.*(not (valid|exist|found)|invalid|cannot)"
           r"|invalid.*role", "ClientException: ECS was unable to assume the role 'arn:aws:iam::1:role/r' that was "
           "provided for this task. Please verify that the role being passed has the proper trust relationship",
           Cause.REFUSED, RUN_TASK, remedy=_ROLES),
    Reason("InvalidParameterException|ClientException", r"capacity provider", "InvalidParameterException: The specified "
           "capacity provider 'FARGATE_SPOT' was not found in the cluster.", Cause.REFUSED, SPOT,
           remedy="check `capacity_provider`: FARGATE_SPOT must be associated with the cluster "
           "(`aws ecs put-cluster-capacity-providers`)"),
    Reason("PlatformUnknownException|PlatformTaskDefinitionIncompatibilityException", "", "PlatformUnknownException: The "
           "specified platform version doesn't exist.", Cause.REFUSED, RUN_TASK,
           remedy="check `platform_version`; leave it out for the latest"),
    Reason("", r"platform version", "InvalidParameterException: The platform version 9.9.9 is not valid", Cause.REFUSED,
           RUN_TASK, remedy="check `platform_version`; leave it out for the latest"),
    Reason("UnsupportedFeatureException", "", "UnsupportedFeatureException: The specified task isn't supported in this "
           "Region.", Cause.REFUSED, RUN_TASK, remedy="what the configuration asks for is not to be had in {place}"),
    Reason("", r"No Fargate configuration exists", "ClientException: No Fargate configuration exists for given values.",
           Cause.REFUSED, REGISTER, remedy="check `cpu` and `memory`: Fargate has them in pairs only"),
    Reason("ClientException", r"to have execution role", "ClientException: Fargate requires task definition to have "
           "execution role ARN to support ECR images.", Cause.REFUSED, REGISTER,
           remedy="set `execution_role_arn`: the role with which ECS pulls images and writes logs"),
    Reason("ClientException|InvalidParameterException", r"invalid arn syntax", "ClientException: Invalid arn syntax.",
           Cause.REFUSED, REGISTER, remedy="check the ARNs of roles and secrets: one of them is none"),
    Reason("ClientException|InvalidParameterException", r"\btags\b", "InvalidParameterException: Some tags contain invalid "
           "characters.", Cause.REFUSED, TAG, remedy="check `tags`: letters, digits, spaces and _ . : / = + - @ only"),
    Reason("ClientException|InvalidParameterException", r"task ?definition", "ClientException: TaskDefinition not found.",
           Cause.REFUSED, RUN_TASK, remedy="check `task_definition`: an active revision must exist in {place} "
           "(`aws ecs list-task-definitions`)"),
    Reason("ResourceNotFoundException", r"secret", "ResourceNotFoundException: Secrets Manager can't find the specified "
           "secret.", Cause.REFUSED, SECRETS, remedy="check the secret's ARN ({secret}): it must exist in {place}"),
    Reason("ParameterNotFound", "", "ParameterNotFound: ", Cause.REFUSED, SSM,
           remedy="check `ssm_config`: there is no SSM parameter {parameter!r} in {place}"),
    Reason("NoSuchBucket", "", "NoSuchBucket: The specified bucket does not exist", Cause.REFUSED, S3,
           remedy="check `s3_bucket`: there is no bucket {bucket!r}"),
    Reason("PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraintException", "", "PermanentRedirect: "
           "The bucket you are attempting to access must be addressed using the specified endpoint.", Cause.REFUSED, S3,
           remedy="the bucket {bucket!r} is in another region than {place}: use one in the tasks' region"),
    Reason(r"KMS\..*|KMS\w*Exception", "", "KMS.NotFoundException: Key does not exist", Cause.REFUSED, S3,
           remedy="the bucket {bucket!r} is encrypted with a KMS key: these credentials need kms:Decrypt and "
           "kms:GenerateDataKey on it"),
    Reason("RepositoryNotFoundException", "", "RepositoryNotFoundException: The repository with name 'x' does not exist "
           "in the registry", Cause.REFUSED, ECR,
           remedy="check `ecr_repository`: `aws ecr create-repository` makes one"),
    Reason("ConflictException", "", "ConflictException: The RunTask request could not be processed due to conflicts",
           Cause.THROTTLED, RUN_TASK, transient=True),
    Reason("ServerException|InternalError|InternalFailure|InternalServer(Error|Exception)|InternalServiceError"
           "|RequestTimeout(Exception)?", "", "ServerException: Service Unavailable. Please try again later.",
           Cause.INFRASTRUCTURE, COMMON, transient=True),
    Reason("", r"ServiceUnavailable", "ServiceUnavailable: ", Cause.CAPACITY, COMMON, transient=True),

    # --- the image cannot be pulled ------------------------------------------------------------------------------------
    Reason("", r"no space left", "CannotPullContainerError: failed to register layer: write /x: no space left on device",
           Cause.PULL_FAILED, PULL, remedy="the image does not fit the task's disk: raise `ephemeral_storage_gib`"),
    Reason("", r"descriptor matching platform|no match(ing)? (for )?(platform|manifest)", "CannotPullContainerError: pull "
           "image manifest has been retried 1 time(s): image Manifest does not contain descriptor matching platform "
           "'linux/amd64'", Cause.PULL_FAILED, PULL, remedy="the image is not for this processor: build it for linux/amd64, "
           "or set `cpu_architecture` (X86_64, ARM64)"),
    Reason("", r"^(?!.*ResourceInitialization).*(pull|registry).*(TLS handshake timeout|unexpected EOF|: EOF"
           r"|connection reset|context canceled|50[0234] |Bad Gateway|Service Unavailable|Gateway Time)", "CannotPullContainerError: ref pull has been "
           "retried 5 time(s): failed to copy: httpReadSeeker: net/http: TLS handshake timeout", Cause.PULL_FAILED, PULL,
           transient=True),
    Reason("", r"CannotPull.*(i/o timeout|no such host|deadline exceeded|Client\.Timeout|connection refused)",
           "CannotPullContainerError: failed to resolve ref registry-1.docker.io/library/x: dial tcp 1.2.3.4:443: i/o "
           "timeout", Cause.NETWORK, PULL, transient=True, remedy=_NETWORK.format(what="the image's registry"), on_local=""),
    Reason("", r"CannotPull.*x509", "CannotPullContainerError: x509: certificate signed by unknown authority",
           Cause.PULL_FAILED, PULL, remedy="Fargate does not trust the registry's certificate: copy the image into ECR"),
    Reason("", r"CannotPull.*(no basic auth|authentication required|denied|not authorized|40[13] )",
           "CannotPullContainerError: pull access denied for x, repository does not exist or may require authorization",
           Cause.PULL_FAILED, PULL, remedy=_MAY_PULL, on_local=""),
    Reason("", r"CannotPull.*(not found|manifest unknown|repository.*does not exist|invalid reference)",
           "CannotPullContainerError: failed to resolve ref x:nope: docker.io/library/x:nope: not found",
           Cause.PULL_FAILED, PULL, remedy=_MAY_PULL, on_local=""),
    Reason("", r"CannotInspectContainer", "CannotInspectContainerError: Could not transition to inspecting",
           Cause.PULL_FAILED, STOPPED, transient=True),
    Reason("", r"CannotPull|pull image|image manifest|ImageNotFound", "CannotPullContainerError: Error response from "
           "daemon", Cause.PULL_FAILED, PULL, remedy=_MAY_PULL, on_local=""),

    # --- what comes before the container ---------------------------------------------------------------------------------
    Reason("", r"pull command failed.*signal: killed", "ResourceInitializationError: unable to pull secrets or registry "
           "auth: pull command failed: : signal: killed", Cause.NETWORK, INITIALIZATION, transient=True,
           remedy=_NETWORK.format(what="ECR or Secrets Manager"), on_local=""),
    Reason("", r"failed to (configure|set ?up).*\bENI\b|netplugin", "ResourceInitializationError: failed to configure ENI: "
           "failed to setup regular eni: netplugin failed with no error message", Cause.NETWORK, INITIALIZATION,
           transient=True),
    Reason("", r"no users found|unable to find user", "ResourceInitializationError: unable to create new container: mount "
           "callback failed on /tmp/x: no users found", Cause.START_FAILED, INITIALIZATION,
           remedy="check `user`: the image knows nobody of that name"),
    Reason("", rf"(pull registry auth|\becr\b).*({_NO_ANSWER})",
           "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve ecr registry auth: "
           "service call has been retried 3 time(s): RequestError: send request failed: dial tcp 10.0.0.1:443: i/o "
           "timeout", Cause.NETWORK, INITIALIZATION, transient=True, remedy=_NETWORK.format(what="ECR"), on_local=""),
    Reason("", rf"(asm|secret|ssm).*({_NO_ANSWER})",
           "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: "
           "RequestError: send request failed: dial tcp 10.0.0.1:443: i/o timeout", Cause.NETWORK, INITIALIZATION,
           transient=True, remedy=_NETWORK.format(what="Secrets Manager"), on_local=""),
    Reason("", r"ecr registry auth.*(AccessDenied|not authorized)", "ResourceInitializationError: unable to pull secrets or "
           "registry auth: unable to retrieve ecr registry auth: AccessDeniedException: not authorized to perform: "
           "ecr:GetAuthorizationToken", Cause.START_FAILED, INITIALIZATION,
           remedy="the execution role may not pull from ECR: attach AmazonECSTaskExecutionRolePolicy to "
           "`execution_role_arn`", on_local=""),
    Reason("", r"(secret|ssm|asm).*(ResourceNotFound|can't find|invalid ?parameters|not found)",
           "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: "
           "ResourceNotFoundException: Secrets Manager can't find the specified secret.", Cause.START_FAILED,
           INITIALIZATION, remedy="check the secret's ARN: it must exist in the task's region"),
    Reason("", r"secret|ssm param|GetSecretValue|GetParameters", "ResourceInitializationError: unable to pull secrets or "
           "registry auth: AccessDeniedException: not authorized to perform: secretsmanager:GetSecretValue",
           Cause.START_FAILED, INITIALIZATION, remedy="check the secret's ARN, and that the execution role may read it "
           "(secretsmanager:GetSecretValue, and kms:Decrypt if it has a key of its own)",
           on_local="check the secret's ARN"),
    Reason("", r"log (stream|group).*(ResourceNotFound|does not exist)|log group does not exist",
           "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to "
           "create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist.",
           Cause.START_FAILED, INITIALIZATION, remedy=_LOG_GROUP),
    Reason("", r"create Cloudwatch log group.*(AccessDenied|not authorized)", "ResourceInitializationError: failed to "
           "initialize logging driver: failed to create Cloudwatch log group: AccessDeniedException: not authorized to "
           "perform: logs:CreateLogGroup", Cause.START_FAILED, INITIALIZATION, remedy=_LOG_GROUP),
    Reason("", r"logger args.*(AccessDenied|not authorized)", "ResourceInitializationError: failed to validate logger args: "
           "AccessDeniedException: not authorized to perform: logs:CreateLogStream", Cause.START_FAILED, INITIALIZATION,
           remedy="the execution role may not write to the log group: it needs logs:CreateLogStream and "
           "logs:PutLogEvents"),
    Reason("", r"logger args.*(i/o timeout|deadline exceeded|signal: killed)", "ResourceInitializationError: failed to "
           "validate logger args: signal: killed", Cause.NETWORK, INITIALIZATION, transient=True,
           remedy=_NETWORK.format(what="CloudWatch Logs"), on_local=""),
    Reason("", r"env(ironment)? ?files?.*(AccessDenied|non empty error|Forbidden)", "ResourceInitializationError: failed to "
           "download env files: file download command: non empty error stream: AccessDenied", Cause.START_FAILED,
           INITIALIZATION, remedy="the execution role may not read the environment file: it needs s3:GetObject on it"),
    Reason("", r"EFS.*(AccessDenied|access denied)", "ResourceInitializationError: failed to invoke EFS utils commands to set "
           "up EFS volumes: mount.nfs4: access denied by server", Cause.START_FAILED, INITIALIZATION,
           remedy="check the file system's policy, and that the task role may mount it (elasticfilesystem:ClientMount)"),
    Reason("", r"EFS|mount\.nfs", "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: "
           "mount.nfs4: Connection timed out", Cause.START_FAILED, INITIALIZATION, transient=True,
           remedy="check that the file system has a mount target in the subnet's zone, and lets the security group in "
           "at 2049"),
    Reason("", r"Timeout waiting for network interface", "Timeout waiting for network interface provisioning to complete.",
           Cause.NETWORK, STOPPED, transient=True),
    Reason("", r"Timeout waiting for", "Timeout waiting for EphemeralStorage provisioning to complete.",
           Cause.START_FAILED, STOPPED, transient=True),
    Reason("", r"Unexpected EC2 error.*(Unauthorized|not authorized)", "Unexpected EC2 error while attempting to Create "
           "Network Interface: UnauthorizedOperation", Cause.REFUSED, STOPPED,
           remedy="a policy of the organization keeps ECS from making network interfaces there"),
    Reason("", r"Unexpected EC2 error.*Invalid(Subnet|Group|SecurityGroup)", "Unexpected EC2 error while attempting to "
           "Create Network Interface in subnet 'subnet-1': InvalidSubnetID.NotFound", Cause.REFUSED, STOPPED,
           remedy="check `subnets` and `security_groups`: one of them is gone"),
    Reason("", r"Unexpected EC2 error", "Unexpected EC2 error while attempting to describe Network Interface", Cause.NETWORK,
           STOPPED, transient=True),
    Reason("", r"i/o timeout|connection reset", "RequestError: send request failed: dial tcp 10.0.0.1:443: i/o timeout",
           Cause.NETWORK, STOPPED, transient=True, remedy=_NETWORK.format(what="AWS"), on_local=""),

    # --- the container does not begin, or does not live ------------------------------------------------------------------
    Reason("", r"exec format error", "CannotStartContainerError: exec /bin/sh: exec format error", Cause.START_FAILED,
           STOPPED, remedy="the image is not for this processor: build it for linux/amd64, or set `cpu_architecture`"),
    Reason("", r"executable file not found|no such file or directory", "CannotStartContainerError: failed to create shim "
           "task: exec: \"/nope\": stat /nope: no such file or directory", Cause.START_FAILED, STOPPED,
           remedy='check the container\'s command; an image without a shell needs `runtime="sidecar"`'),
    Reason("", r"DockerTimeoutError|ContainerRuntimeTimeout|Could not transition to|RuntimeError.*deadline exceeded", "DockerTimeoutError: Could not "
           "transition to started; timed out after waiting 3m0s", Cause.INFRASTRUCTURE, STOPPED, transient=True),
    Reason("", r"CannotCreateVolume", "CannotCreateVolumeError: could not create the volume", Cause.START_FAILED, STOPPED,
           remedy="check `volumes`"),
    Reason("", r"CannotStartContainer|CannotCreateContainer|ContainerRuntimeError", "CannotCreateContainerError: failed to "
           "create the container", Cause.START_FAILED, STOPPED, remedy="check the container's command, and that the image "
           'is for `cpu_architecture`; an image without a shell needs `runtime="sidecar"`'),
    Reason("", r"OutOfMemoryError", "OutOfMemoryError: Container killed due to memory usage", Cause.OUT_OF_MEMORY, STOPPED,
           remedy="give the task more `memory`"),
    Reason("", r"Spot.*interrupt", "Your Spot Task was interrupted.", Cause.SPOT_RECLAIMED, SPOT, transient=True),
    Reason("", r"maintenance|TaskPatching|retire", "ECS is performing maintenance on the underlying infrastructure hosting "
           "the task.", Cause.INFRASTRUCTURE, MAINTENANCE, transient=True),
    Reason("", r"unable to assume|AccessDenied|not authorized", "ECS was unable to assume the role that was provided for "
           "this task", Cause.START_FAILED, STOPPED, remedy="check `execution_role_arn`: its trust and its permissions",
           on_local=""),
    Reason("", r"internal (server )?error", "the task met an internal error",
           Cause.INFRASTRUCTURE, STOPPED, transient=True),
)
# fmt: on


def reason_of(code: str, text: str) -> Reason | None:
    """The row that knows what was said; ``code`` is that of an exception, or ""."""
    return next((reason for reason in REASONS if reason.fits(code, text)), None)


def spoken(said: str) -> tuple[str, str]:
    """A sentence of the form ``Code: text``, as exceptions are told, in its parts; prose has no code."""
    code, colon, text = said.partition(": ")
    is_code = bool(colon) and re.fullmatch(r"[A-Z][A-Za-z.]+", code) is not None
    return (code, text) if is_code else ("", said)
