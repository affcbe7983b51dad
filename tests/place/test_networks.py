"""What ``network`` comes to at each place: a closed one, one with a way out, or a refusal that says why."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox
from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.place.resolve_place import resolve_place

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engine_of_tests import EngineOfTests


@pytest.mark.needs("slirp4netns")
@pytest.mark.root
def test_a_local_task_has_a_way_out_where_it_asks_for_one(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    with sandbox("open", network="public") as public:
        public.start()
        assert "nameserver" in public.exec("cat /etc/resolv.conf").stdout
        assert "tap0" in public.exec("cat /proc/net/dev").stdout


def test_where_there_is_no_way_out_it_is_not_promised(
    engine: EngineOfTests, local_config: Callable[..., EcsFargateConfig]
) -> None:
    without = dataclasses.replace(engine.engine, public_subnets=[], no_way_out="there is no tun")
    assert without.localized(local_config(network="none")).subnets == engine.engine.subnets
    with pytest.raises(ConfigError, match="network='public' is not to be had here: there is no tun"):
        without.localized(local_config(network="public"))


def test_an_account_closes_a_task_by_the_subnets_and_groups_that_are_named_for_it(engine: EngineOfTests) -> None:
    there = engine.engine
    cfg = EcsFargateConfig(
        cluster="default",
        region=there.region,
        endpoint_url=there.endpoint_url,
        owner="somebody",
        subnets=["subnet-open"],
        security_groups=["sg-open"],
        assign_public_ip=True,
        no_network_subnets=["subnet-closed"],
        no_network_security_groups=["sg-closed"],
    )
    assert resolve_place(cfg).cfg.subnets == ["subnet-open"]
    closed = resolve_place(dataclasses.replace(cfg, network="none")).cfg
    assert (closed.subnets, closed.security_groups) == (["subnet-closed"], ["sg-closed"])
    assert (closed.assign_public_ip, closed.connect_via) == (False, "private")
