"""The provider's end of a call in `static` mode: an answer, and nobody behind it."""

from __future__ import annotations

from .static_answer import answer_text


class StaticPeer:
    """Answers with text. It never connects, so it only ends when it is hung up."""

    def __init__(self) -> None:
        self.state = "new"

    async def answer(self, offer: str) -> str:
        return answer_text(offer)

    async def close(self) -> None:
        self.state = "closed"
