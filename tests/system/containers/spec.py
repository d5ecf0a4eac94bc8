"""What ``enter.py`` is told about a container."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Confinement:
    """A container's root and what its program may do there.

    Attributes:
        root: the folder that is its root.
        command: the program, looked up on the ``PATH`` of the container, and its arguments.
        folder: where it starts.
        binds: a path of this machine and the container's path, read-only.
        tmpfs: folders of the container that can be written, and are empty.
        volumes: as binds, and they can be written.
        limits: soft and hard value by the name of the ``RLIMIT_``, in small letters.
    """

    root: str
    command: list[str]
    folder: str = "/"
    uid: int = 0
    gid: int = 0
    binds: list[tuple[str, str]] = field(default_factory=list)
    tmpfs: list[str] = field(default_factory=list)
    volumes: list[tuple[str, str]] = field(default_factory=list)
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)
    read_only: bool = False
    drop_capabilities: bool = False
    no_new_privileges: bool = False

    def command_line(self, python: str, enter: str) -> list[str]:
        """The command that becomes the program, for a new mount namespace of root's."""
        return [python, "-I", "-S", enter, json.dumps(asdict(self))]
