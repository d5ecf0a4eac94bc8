"""The header fields of an answer, kept as they came and read by name. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class Fields(Mapping[str, str]):
    """Names are compared without case; of several fields of one name the first counts.

    Text is made of bytes only when somebody asks: of two dozen fields the service reads one or two.
    Bytes that are not ASCII become the characters of Latin-1, as RFC 9110, section 5.5 has it.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        try:
            wanted = name.encode("ascii").lower()
        except UnicodeEncodeError:
            raise KeyError(name) from None
        for key, value in self._raw:
            if len(key) == len(wanted) and key.lower() == wanted:
                return value.decode("latin-1")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        """Each name once, in lower case."""
        return iter(dict.fromkeys(key.lower().decode("latin-1") for key, _ in self._raw))

    def __len__(self) -> int:
        return len({key.lower() for key, _ in self._raw})
