"""The first lines that run in the container: modules come out of a dictionary instead of files.

``bundle`` compresses it, ``SOURCES``, together with this, and the first command line takes the two apart.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    SOURCES: "dict[str, str]" = {}

_ModuleSpec: "Any" = type(sys.__spec__)  # Not importlib.machinery, which would have to be imported first.


class _Shipped:
    """Finds and loads what was shipped; compiles it when it is first asked for."""

    def find_spec(self, name: str, *_where: object) -> "Any":
        if name in SOURCES:
            return _ModuleSpec(name, self, origin="fargate-sandbox", is_package=not SOURCES[name])
        return None

    def create_module(self, _spec: object) -> None:
        return None

    def exec_module(self, module: "Any") -> None:
        name = module.__spec__.name
        # Not in angle brackets: tracebacks ask get_source for the lines of anything that looks like a file.
        file = name.replace(".", "/") + ".py"
        exec(compile(SOURCES[name], file, "exec", dont_inherit=True), module.__dict__)

    def get_source(self, name: str) -> str:
        return SOURCES[name]


_finders: "list[Any]" = sys.meta_path
_finders.insert(0, _Shipped())
