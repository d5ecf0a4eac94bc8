"""The secrets of replicas as files, changed as Docker, Kubernetes and people change them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class SecretFolder:
    """Files that replicas read their secrets from, each replaced by renaming another one over it."""

    def __init__(self, folder: Path, secrets: Mapping[str, str]) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in secrets.items():
            self.put(name, text)
        self._names = tuple(secrets)

    @property
    def environment(self) -> dict[str, str]:
        """``NAME_FILE`` for each secret, and ``NAME`` empty, so that it is not given twice."""
        files = {f"{name}_FILE": str(self.path(name)) for name in self._names}
        return {**dict.fromkeys(self._names, ""), **files}

    def path(self, name: str) -> Path:
        """Where a secret is read from."""
        return self._folder / name.lower()

    def put(self, name: str, text: str) -> None:
        """Replace a secret."""
        fresh = self._folder / f".{name.lower()}.new"
        fresh.write_text(text + "\n", encoding="utf-8")
        fresh.replace(self.path(name))


class SecretVolume(SecretFolder):
    """A volume as the kubelet keeps it: ``name`` -> ``..data/name``, and ``..data`` is swapped as a whole."""

    def __init__(self, folder: Path, secrets: Mapping[str, str]) -> None:
        self._content: dict[str, str] = {}
        self._turn = 0
        super().__init__(folder, secrets)

    def put(self, name: str, text: str) -> None:
        self.put_all({name: text})

    def put_all(self, secrets: Mapping[str, str]) -> None:
        """Swap in a directory with these secrets changed; the others stay as they are."""
        self._content.update(secrets)
        self._turn += 1
        data = self._folder / f"..2026_11_27_{self._turn}"
        data.mkdir()
        for name, text in self._content.items():
            (data / name.lower()).write_text(text + "\n", encoding="utf-8")
        link = self._folder / "..data_tmp"
        link.symlink_to(data.name)
        link.replace(self._folder / "..data")
        for name in self._content:
            path = self.path(name)
            if not path.is_symlink():
                path.symlink_to(f"..data/{name.lower()}")
