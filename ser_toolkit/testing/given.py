"""Hold what checks need besides the component: bytes, a small corpus, a receiver of events."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..contracts.components import Reader
from ..plugins.errors import one_line
from ..plugins.registry import Plugins, load_plugins
from ..runtime.component import AssetLoader, Component
from ..runtime.errors import SertkError
from ..runtime.events import Sink
from ..utils.files import cache_dir
from .assets import empty_fields, loader_of
from .check import CheckFailed, NotChecked

MakeCorpus = Callable[[Path], Any]
"""Writes a small corpus into an empty folder."""


@dataclass(frozen=True)
class Peer:
    """The other end of a sink: a file, a broker, a server.

    Attributes:
        sink: Delivers to it.
        received: Returns the ids of the events that arrived, in order.
        refusing: Returns a context manager within which it refuses events.
    """

    sink: Sink
    received: Callable[[], Sequence[str]]
    refusing: Callable[[], AbstractContextManager[Any]]


MakePeer = Callable[[Path], AbstractContextManager[Peer]]
"""Starts a peer; it may use an empty folder."""


@dataclass(frozen=True)
class Given:
    """Hold the author's arguments of the kit; corpora and peers by the name of the component.

    `instead` has components, by kind and name, that are checked in place of the plugin's own.
    """

    assets: Iterable[bytes] | AssetLoader = ()
    corpora: Mapping[str, MakeCorpus] = field(default_factory=dict)
    peers: Mapping[str, MakePeer] = field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)
    plugins: Callable[[], Plugins] = load_plugins
    instead: Mapping[tuple[str, str], Component] = field(default_factory=dict)

    @property
    def load(self) -> AssetLoader:
        """Return the loader of the bytes of assets."""
        return loader_of(self.assets)

    def ready(self, component: Any) -> Any:
        """Return the component with its assets; raise NotChecked where it lacks one."""
        try:
            return component.prepare(self.load)
        except SertkError as error:
            for field_name in empty_fields(component):
                raise NotChecked(
                    f"'{field_name}' is empty ({error.problem}): check an instance that has its "
                    "asset, with assets=[BYTES]; for `sertk plugins check`, --set "
                    f"{component.name}.{field_name}=@FILE"
                ) from error
            raise

    @contextlib.contextmanager
    def corpus(self, reader: Reader) -> Iterator[Path]:
        """Yield a folder with the corpus of `reader`; the cache, for one that makes its own."""
        if not reader.needs_folder:
            yield cache_dir() / "corpora"
            return
        with tempfile.TemporaryDirectory(prefix="sertk-check-") as name:
            root = Path(name).resolve() / "corpus"
            root.mkdir()
            make = self._make(reader)
            write = partial(make, root)
            call_author(f"corpora['{reader.name}']", "write a corpus into a folder", write)
            yield root

    @contextlib.contextmanager
    def peer(self, sink: Sink) -> Iterator[Peer]:
        """Yield a receiver for the events of `sink`."""
        if sink.name not in self.peers:
            raise NotChecked(
                f"there is no receiver for its events, and a check must not send any elsewhere: "
                f"give peers={{'{sink.name}': function}}"
            )
        what = f"peers['{sink.name}']"
        with contextlib.ExitStack() as stack:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="sertk-check-"))
            start = partial(self.peers[sink.name], Path(name).resolve())
            manager = _manager(what, call_author(what, "start a peer", start))
            peer = call_author(what, "start a peer", partial(stack.enter_context, manager))
            if not isinstance(peer, Peer):
                todo = "Yield Peer(sink, received, refusing)"
                raise CheckFailed(f"{what} to give a Peer", f"{peer!r:.80}", todo)
            if type(peer.sink) is not type(sink):
                raise CheckFailed(
                    f"a peer whose sink is a {type(sink).__name__}",
                    repr(peer.sink),
                    "Set Peer.sink to the sink under test, with fields that lead to the peer",
                )
            yield _guarded(peer, what)

    def _make(self, reader: Reader) -> MakeCorpus:
        if reader.name not in self.corpora:
            raise NotChecked(
                f"there is no corpus to read: give corpora={{'{reader.name}': function}}, which "
                "writes a small one into a folder; for `sertk plugins check`, --data DIR"
            )
        return self.corpora[reader.name]


def call_author(what: str, doing: str, call: Callable[[], Any]) -> Any:
    """Call a function of the author's test; what it raises is no fault of the component.

    Args:
        what: The argument of the kit that has the function.
        doing: What the function does, for messages.
        call: The function.
    """
    try:
        return call()
    except (CheckFailed, NotChecked):
        raise
    except Exception as error:
        todo = "Fix that function of the test: the component has no part in it"
        raise CheckFailed(f"{what} to {doing}", one_line(error), todo) from error


def _manager(what: str, value: Any) -> AbstractContextManager[Any]:
    if isinstance(value, AbstractContextManager):
        return value
    todo = "Write @contextlib.contextmanager above the function, and let it yield once"
    raise CheckFailed(f"{what} to give a context manager", type(value).__name__, todo)


def _guarded(peer: Peer, what: str) -> Peer:
    """Return the peer, with functions whose errors are shown as the test's and not the sink's."""

    def received() -> Sequence[str]:
        name = f"received of {what}"
        ids: tuple[str, ...] = call_author(
            name, "give a list of ids", lambda: tuple(peer.received())
        )
        return ids

    def refusing() -> AbstractContextManager[Any]:
        name = f"refusing of {what}"
        return _manager(name, call_author(name, "give a context manager", peer.refusing))

    return dataclasses.replace(peer, received=received, refusing=refusing)


def title(kind: str, component: Component) -> str:
    """Return kind and name, by which checks are grouped."""
    return f"{kind}:{component.name or type(component).__name__}"
