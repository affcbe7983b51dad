"""Outside endpoints and the environment that leads to them."""

from __future__ import annotations

import pytest

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
from pytest_fargate_sandbox.sandbox.endpoints import Routes
from pytest_fargate_sandbox.sandbox.task.task_environment import filled_in, host_name


def _routes(*urls: str, taken: tuple[int, ...] = ()) -> Routes:
    return Routes([OutsideEndpoint(url, f"URL_{number}") for number, url in enumerate(urls)], taken_ports=taken)


def test_scheme_path_query_and_login_are_kept() -> None:
    routes = _routes("http://model.example:4000/v1/chat?key=a%20b#top")
    assert routes.resolve("http://model.example:4000/other?x=1") == "http://127.0.0.1:4000/other?x=1"
    assert routes.environment == {"URL_0": "http://127.0.0.1:4000/v1/chat?key=a%20b#top"}
    assert routes.resolve("http://me:secret@model.example:4000/") == "http://me:secret@127.0.0.1:4000/"


def test_an_endpoint_keeps_its_port_where_that_is_free() -> None:
    routes = _routes("http://a:4000", "http://b:4000", "http://c:2222", "https://d", taken=(2222,))
    assert routes.specs == ["4000:a:4000", "20000:b:4000", "20001:c:2222", "443:d:443"]
    assert not _routes("http://a:4000").hosts


def test_over_tls_a_name_stays_a_name_at_its_port() -> None:
    routes = _routes(
        "https://a.example/v1", "https://b.example/v2?x=1", "wss://b.example:8443/live", "https://A.example/z"
    )
    assert routes.environment == {
        "URL_0": "https://a.example/v1",
        "URL_1": "https://b.example/v2?x=1",
        "URL_2": "wss://b.example:8443/live",
        "URL_3": "https://A.example/z",
    }
    assert routes.hosts == {"a.example": "127.0.0.1", "b.example": "127.0.0.2"}
    assert routes.specs == ["443:a.example:443", "127.0.0.2:443:b.example:443", "127.0.0.2:8443:b.example:8443"]
    assert routes.listeners == ["443", "127.0.0.2:443", "127.0.0.2:8443"]


def test_a_name_whose_port_is_taken_everywhere_has_another_port() -> None:
    routes = _routes("https://me:pw@a.example:2222/x", taken=(2222,))
    assert routes.environment == {"URL_0": "https://me:pw@a.example:20000/x"}
    many = _routes(*(f"https://{number}.example/" for number in range(11)))
    assert many.environment["URL_8"] == "https://8.example/"
    assert many.environment["URL_9"] == "https://9.example:20000/"
    assert many.environment["URL_10"] == "https://10.example:20001/"
    assert many.hosts["10.example"] == "127.0.0.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "[2001:db8::1]"])
def test_an_address_has_no_name_to_keep(host: str) -> None:
    routes = _routes(f"https://{host}:8443/x")
    assert routes.environment == {"URL_0": "https://127.0.0.1:8443/x"}
    assert routes.hosts == {}


def test_localhost_leads_to_the_right_place_by_itself() -> None:
    routes = _routes("https://localhost:8443/x", taken=(8443,))
    assert routes.environment == {"URL_0": "https://localhost:20000/x"}
    assert routes.hosts == {}


def test_a_name_is_looked_up_in_ascii_and_cannot_forge_lines() -> None:
    assert _routes("https://bücher.example/").hosts == {"xn--bcher-kva.example": "127.0.0.1"}
    for host in ("a example", "a%0Ab", "x" * 64, "-"):
        with pytest.raises(ConfigError):
            _routes(f"https://{host}:1/")


def test_endpoints_at_one_place_share_a_port() -> None:
    routes = _routes("http://a:4000/x", "http://a:4000/y")
    assert routes.inner_ports == [4000]
    assert routes.environment == {"URL_0": "http://127.0.0.1:4000/x", "URL_1": "http://127.0.0.1:4000/y"}


@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://host/x", "http://host:99999/"])
def test_a_url_without_host_and_port_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _routes(url)
    assert url in str(caught.value)


@pytest.mark.parametrize("name", ["", "A=B", " ", "A\0"])
def test_a_variable_that_none_can_be_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="names that are not blank, without '=' and NUL"):
        Routes([OutsideEndpoint("http://a:1", name)])


def test_an_unknown_url_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match=r"http://b:1.*http://a:4000"):
        _routes("http://a:4000").resolve("http://b:1")


def test_an_ipv6_host_is_a_host() -> None:
    assert _routes("http://[::1]:4000/").specs == ["4000:::1:4000"]


def test_only_our_own_places_are_filled_in() -> None:
    environment = {"A": "{task_id}", "B": '{"json": {}}', "C": "at {task_ip}:{ssh_tunnel_port}"}
    filled = filled_in(environment, task_id="t-1", task_ip="10.0.0.1", routes=_routes("http://a:4000"))
    assert filled == {"A": "t-1", "B": '{"json": {}}', "C": "at 10.0.0.1:4000", "URL_0": "http://127.0.0.1:4000"}


@pytest.mark.parametrize("place", ["task_ip", "ssh_tunnel_port"])
def test_a_place_that_cannot_be_filled_is_a_config_error(place: str) -> None:
    with pytest.raises(ConfigError, match=place):
        filled_in({"A": f"{{{place}}}"}, task_id="t", task_ip=None, routes=Routes())


@pytest.mark.parametrize(
    ("task_id", "name"),
    [("django__django-123", "django-django-123"), ("a b/c", "a-b-c"), ("---", "sandbox"), ("x" * 100, "x" * 63)],
)
def test_a_host_name_is_valid_and_recognisable(task_id: str, name: str) -> None:
    assert host_name(task_id) == name
