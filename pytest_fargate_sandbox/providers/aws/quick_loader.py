"""botocore's loader of its data files, which does not look at each of four hundred services before it reads one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import DataNotFoundError
from botocore.loaders import Loader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.session import Session

_list_all = Loader.list_available_services


class QuickLoader(Loader):
    """The same files, from the same places."""

    def list_available_services(self, type_name: str) -> KnownServices:  # type: ignore[override]
        return KnownServices(self, type_name)


def read_quickly(session: Session) -> None:
    """Let ``session`` read its data so."""
    places = session.get_component("data_loader").search_paths
    loader = QuickLoader(extra_search_paths=places, include_default_search_paths=False)
    session.register_component("data_loader", loader)


class KnownServices:
    """Which services there are. Before a model is read botocore asks this whether it is there, and seldom more.

    https://github.com/boto/botocore/blob/1.44.8/botocore/loaders.py#L412
    """

    def __init__(self, loader: Loader, type_name: str) -> None:
        self._loader = loader
        self._type_name = type_name

    def __contains__(self, service: object) -> bool:
        try:
            self._loader.list_api_versions(str(service), self._type_name)
        except DataNotFoundError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(_list_all(self._loader, self._type_name))
