"""Reading who listens, against the kernel that runs the test."""

from __future__ import annotations

import socket

from pytest_fargate_sandbox.local.runners.network import port_listeners


def test_both_ways_to_ask_the_kernel_say_the_same_of_our_sockets() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as private,
        socket.create_server(("0.0.0.0", 0)) as public,
        socket.create_server(("::", 0), family=socket.AF_INET6) as public6,
    ):
        ours = {
            ("127.0.0.1", private.getsockname()[1]),
            ("0.0.0.0", public.getsockname()[1]),
            ("::", public6.getsockname()[1]),
        }
        assert ours <= port_listeners._by_netlink()
        assert ours <= port_listeners._by_proc()


def test_an_ended_listener_is_no_longer_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as ended:
        address = ended.getsockname()
    assert address not in port_listeners.listening()


def test_a_port_is_reachable_where_its_listener_is_not_bound_to_loopback() -> None:
    found = {("127.0.0.1", 1), ("::1", 2), ("0.0.0.0", 3), ("::", 4), ("0.0.0.0", 5), ("::", 5), ("127.70.0.9", 6)}
    assert port_listeners.reachable_ports(found) == {3: "127.0.0.1", 4: "::1", 5: "127.0.0.1", 6: "127.70.0.9"}
