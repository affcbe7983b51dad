"""botocore looks for the service that is wanted, and not at all four hundred before."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.exceptions import UnknownServiceError

from pytest_fargate_sandbox.providers.aws.quick_loader import read_quickly


@pytest.fixture
def session() -> Any:
    session = botocore.session.Session()
    read_quickly(session)
    return session


def test_a_model_is_the_same_and_no_other_was_looked_for(session: Any) -> None:
    loader, usual = session.get_component("data_loader"), botocore.session.Session().get_component("data_loader")
    assert loader.load_service_model("sts", "service-2") == usual.load_service_model("sts", "service-2")
    assert {asked for function, asked, *_ in loader._cache if function == "list_api_versions"} == {"sts"}
    assert loader.search_paths == usual.search_paths


def test_a_service_that_is_not_there_is_told_with_all_that_are(session: Any) -> None:
    with pytest.raises(UnknownServiceError, match=r"Unknown service: 'ecz'.*ecs, "):
        session.create_client("ecz", region_name="us-east-1")
    assert "sts" in session.get_available_services()
