"""What CodeBuild is told to do: one text for every build and every mirror; what differs travels in variables.

The embedded engine does not run the text but its effect, from the same variables.
"""

from __future__ import annotations

from typing import Final

IMAGE: Final = "SANDBOX_IMAGE"
"""The url to push to: registry, repository and tag."""
SOURCE_IMAGE: Final = "SANDBOX_SOURCE_IMAGE"
"""A public reference to mirror; empty for a build."""
DOCKERHUB_SECRET: Final = "SANDBOX_DOCKERHUB_SECRET"
"""A Secrets Manager entry with ``{"username": …, "password": …}``; empty for none."""
PLATFORM: Final = "SANDBOX_PLATFORM"
"""``linux/amd64`` or ``linux/arm64``."""

BUILD_ATTEMPTS: Final = 3
"""A build mostly fails for a package server that did not answer."""

# post_build runs after a failed build too, so the push asks whether there is something to push:
# https://docs.aws.amazon.com/codebuild/latest/userguide/view-build-details-phases.html
# https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-env-vars.html (CODEBUILD_BUILD_SUCCEEDING)
BUILDSPEC: Final = f"""\
version: 0.2
phases:
  pre_build:
    commands:
      - registry="${{{IMAGE}%%/*}}"
      - region="$(echo "$registry" | cut -d. -f4)"
      - aws ecr get-login-password --region "$region" | docker login --username AWS --password-stdin "$registry"
      - |
        if [ -n "${DOCKERHUB_SECRET}" ]; then
          get="aws secretsmanager get-secret-value --query SecretString --output text --secret-id"
          secret="$($get "${DOCKERHUB_SECRET}")"
          user="$(echo "$secret" | jq -r .username)"
          echo "$secret" | jq -r .password | docker login --username "$user" --password-stdin
        fi
      - if [ -z "${SOURCE_IMAGE}" ]; then mkdir context && tar -xpf context.tar -C context; fi
  build:
    commands:
      - |
        for attempt in {" ".join(str(number + 1) for number in range(BUILD_ATTEMPTS))}; do
          if [ -n "${SOURCE_IMAGE}" ]; then
            docker pull --platform "${PLATFORM}" "${SOURCE_IMAGE}" && docker tag "${SOURCE_IMAGE}" "${IMAGE}" && break
          else
            docker build --platform "${PLATFORM}" --tag "${IMAGE}" context && break
          fi
          if [ "$attempt" = {BUILD_ATTEMPTS} ]; then exit 1; fi
          echo "attempt $attempt failed; trying again"
          sleep $((attempt * 5))
        done
  post_build:
    commands:
      - if [ "$CODEBUILD_BUILD_SUCCEEDING" = 1 ]; then docker push "${IMAGE}"; fi
"""
