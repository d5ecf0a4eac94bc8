"""The process's variables as the settings read them.

What Kubernetes sets for its Services is left out. A secret may lie in a file, as Docker and Kubernetes mount
them: ``NAME_FILE`` is the file's path, and ``NAME`` is read from it. A section that can hold a secret may lie
in a file as well, as a JSON object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from app.settings.base import SettingsError
from app.settings.secret_fields import has_secret

PREFIX: Final = "CLOAKROOM_"
FILE_SUFFIX: Final = "_FILE"
# Longer than any secret, and short enough to notice that a path leads to something else.
_MAX_BYTES: Final = 65_536

# What Kubernetes sets in every pod for a Service called "cloakroom", "cloakroom-redis" and the like.
_SERVICE_LINK: Final = re.compile(
    r"CLOAKROOM_(?:[A-Z0-9_]+_)?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)\Z"
)
_SERVICE_LINK_URL: Final = re.compile(r"CLOAKROOM_(?:[A-Z0-9_]+_)?PORT\Z")
_LINK_SCHEMES: Final = ("tcp://", "udp://", "sctp://")

# The providers' usual names, and what the command line reads, which is an operator's.
_MORE_SECRETS: Final = frozenset({"OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "CLOAKROOM_ADMIN_KEY"})


def is_secret(name: str) -> bool:
    """Whether this variable holds a secret, so that a file may hold it too."""
    if name in _MORE_SECRETS:
        return True
    path = name.removeprefix(PREFIX).lower().split("__")
    return name.startswith(PREFIX) and has_secret(path)


class Variables(Mapping[str, str]):
    """An environment in which each secret stands under its own name, wherever it lies.

    It lists the secrets of the settings that lie in files. Other names, which a YAML file may refer to, are
    looked up in ``NAME_FILE`` too, but are not listed. Nothing is read before it is asked for.

    Attributes:
        files: the paths of all files that were asked for so far, whether they could be read or not.

    Raises:
        SettingsError: a secret of the settings is given twice, or on reading, a file cannot be used.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        if isinstance(environ, Variables):
            self._plain: dict[str, str] = environ._plain
            self._in_files: dict[str, str] = environ._in_files
            self.files: set[str] = environ.files
            return
        self.files = set()
        self._plain = {name: value for name, value in environ.items() if not _service_link(name, value)}
        files = {
            name.removesuffix(FILE_SUFFIX): name
            for name, value in self._plain.items()
            if value and name.endswith(FILE_SUFFIX)
        }
        # An empty variable counts as not set: Compose files pass such ones through.
        self._in_files = {
            name: source
            for name, source in files.items()
            if name not in self._plain or (is_secret(name) and not self._plain[name])
        }
        twice = sorted(name for name in files if is_secret(name) and name not in self._in_files)
        if twice:
            raise SettingsError(
                "\n".join(f"{name} and {name}{FILE_SUFFIX} are both set; keep one" for name in twice)
            )

    def __getitem__(self, name: str) -> str:
        source = self._in_files.get(name)
        return self._plain[name] if source is None else self.read(source, self._plain[source])

    def __iter__(self) -> Iterator[str]:
        listed = {source: name for name, source in self._in_files.items() if is_secret(name)}
        for name in self._plain:
            if name not in self._in_files or not is_secret(name):
                yield listed.get(name, name)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def source(self, name: str) -> str:
        """The variable that gives this one its value: itself, or ``NAME_FILE``."""
        return self._in_files.get(name, name)

    def read(self, place: str, path: str) -> str:
        """The secret in a file, which ``place`` names.

        Raises:
            SettingsError: the file cannot be used.
        """
        self.files.add(path)
        return _read(place, path)


def _service_link(name: str, value: str) -> bool:
    """Whether it is Kubernetes' own, such as ``CLOAKROOM_PORT=tcp://...``, which is not our port."""
    if _SERVICE_LINK.match(name):
        return True
    return _SERVICE_LINK_URL.match(name) is not None and value.startswith(_LINK_SCHEMES)


def _read(variable: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        text = content.decode("utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{variable}: {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise SettingsError(f"{variable}: {path} is not a text file") from None
    if len(content) > _MAX_BYTES:
        raise SettingsError(f"{variable}: {path} is longer than {_MAX_BYTES} bytes, so it is no secret")
    if not text:
        raise SettingsError(f"{variable}: {path} is empty")
    return text
