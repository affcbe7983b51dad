"""Spans of OpenTelemetry, where this process has it. Who has never imported it pays for a look into ``sys.modules``.

Whether there is a tracer, and where spans go, is settled by whoever has set OpenTelemetry up: a plugin, a conftest,
``opentelemetry-instrument``. Spans hang on the current one; in threads, which have none, on the run's.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

_MODULE = "opentelemetry.trace"
_TRACER = "pytest_fargate_sandbox"
_NOTHING = contextlib.nullcontext()
_known: tuple[Any, Any] | None = None
"""Who provides tracers, and ours of his."""
_run: Context | None = None
"""What spans hang on where nothing else is under way."""


def is_on() -> bool:
    """Whether anybody here has to do with traces."""
    return hasattr(sys.modules.get(_MODULE), "get_tracer")


def span(name: str, **attributes: Any) -> AbstractContextManager[Span | None]:
    """A span around a block, in which it is the current one. An error that leaves the block is noted in it."""
    if not is_on():
        return _NOTHING
    around: AbstractContextManager[Span | None] = _tracer().start_as_current_span(
        name, context=_parent(), attributes=_told(attributes)
    )
    return around


def begin(name: str, **attributes: Any) -> Span | None:
    """A span that whoever has it ends."""
    if not is_on():
        return None
    begun: Span | None = _tracer().start_span(name, context=_parent(), attributes=_told(attributes))
    return begun


def environment(of: Span | None = None) -> dict[str, str]:
    """W3C's context of a span, else of the current one, as variables: ``TRACEPARENT``, and ``TRACESTATE`` if any.

    https://opentelemetry.io/docs/specs/otel/context/env-carriers/
    """
    if not is_on():
        return {}
    from opentelemetry.trace import get_current_span

    context = (of or get_current_span(_parent())).get_span_context()
    if not context.is_valid:
        return {}
    # https://www.w3.org/TR/trace-context/#traceparent-header
    told = {"TRACEPARENT": f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"}
    return {**told, "TRACESTATE": context.trace_state.to_header()} if context.trace_state else told


def hang_on(variables: Mapping[str, str]) -> None:
    """Have spans that would be roots be children of what these variables say; of nothing, where they say nothing."""
    global _run
    if is_on():
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {name.lower(): value for name, value in variables.items() if name in ("TRACEPARENT", "TRACESTATE")}
        _run = TraceContextTextMapPropagator().extract(carrier) if carrier else None


def is_within_a_span() -> bool:
    """Whether a span is current, whosever."""
    if not is_on():
        return False
    from opentelemetry.trace import get_current_span

    return bool(get_current_span().get_span_context().is_valid)


def failed(span: Span | None, why: str) -> None:
    if span is not None:
        from opentelemetry.trace import Status, StatusCode

        span.set_status(Status(StatusCode.ERROR, why))


def flush() -> None:
    """Have what is over sent: this process is about to end, in whatever way."""
    if is_on():
        from opentelemetry.trace import get_tracer_provider

        with contextlib.suppress(Exception):  # whatever goes wrong where spans go is no matter of the run's
            getattr(get_tracer_provider(), "force_flush", bool)()


def _tracer() -> Any:
    """Of whoever provides them now; to make one takes a third as long as its span."""
    global _known
    from opentelemetry.trace import get_tracer_provider

    provider = get_tracer_provider()
    if _known is None or _known[0] is not provider:
        _known = provider, provider.get_tracer(_TRACER)
    return _known[1]


def _parent() -> Context | None:
    return None if is_within_a_span() else _run


def _told(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Of keywords, whose names have no dots, as attributes have them."""
    return {name.replace("__", "."): value for name, value in attributes.items() if value is not None}
