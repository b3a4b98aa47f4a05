"""Store the bytes that belong to components, by their sha256."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..runtime.component import Asset
from ..runtime.errors import SertkError
from ..utils.files import write_bytes


@dataclass(frozen=True)
class Assets:
    """Store files in folders, named by their sha256; new files go into the first folder."""

    folders: tuple[Path, ...]

    def add(self, path: Path) -> Asset:
        """Store a copy of the file at `path`."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SertkError(f"cannot read '{path}': {error.strerror}", "Check the path") from error
        digest = hashlib.sha256(content).hexdigest()
        write_bytes(self.folders[0] / digest, content)
        return Asset(path.name, digest, len(content))

    def load(self, asset: Asset) -> bytes:
        """Return the bytes of an asset, verified."""
        for folder in self.folders:
            path = folder / asset.sha256
            if path.is_file():
                content = path.read_bytes()
                if hashlib.sha256(content).hexdigest() == asset.sha256:
                    return content
        raise SertkError(
            f"asset '{asset.name}' ({asset.sha256[:12]}…) is missing or damaged",
            "Give the file again: --set KEY=@FILE",
        )

    def copy_to(self, asset: Asset, folder: Path) -> None:
        """Write a verified copy into `folder`."""
        write_bytes(folder / asset.sha256, self.load(asset))
