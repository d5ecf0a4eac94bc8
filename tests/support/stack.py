"""A whole service on one machine: a real store, the provider in a box, and replicas, each its own process."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

from app.store.engine import LocalEngine
from tests.support.planted import Planted
from tests.support.processes import Replica, Sandbox


class Stack:
    """One engine, one sandbox, and the replicas A and B.

    Args:
        peer: the sandbox's ``--peer``: ``webrtc`` for media, ``static`` for load.
        sandbox_arguments: further options of the sandbox.
        engine_arguments: further options of the store's server.
        settings: further environment of every replica.
    """

    def __init__(
        self,
        *,
        peer: str,
        sandbox_arguments: tuple[str, ...] = (),
        engine_arguments: tuple[str, ...] = (),
        **settings: str,
    ) -> None:
        self.planted = Planted()
        self._settings = settings
        self._peer = peer
        self._sandbox_arguments = sandbox_arguments
        self._engine_arguments = engine_arguments
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            self.engine = resources.enter_context(
                LocalEngine(password=self.planted.store_password, extra_args=self._engine_arguments)
            )
            self.sandbox = resources.enter_context(
                Sandbox(
                    "--peer",
                    self._peer,
                    *self._sandbox_arguments,
                    openai_key=self.planted.openai_key,
                    azure_key=self.planted.azure_key,
                )
            )
            self.a = resources.enter_context(Replica("replica-a", self.environment()))
            self.b = resources.enter_context(Replica("replica-b", self.environment()))
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of one more replica of this stack."""
        return self.planted.environment(
            **{
                "CLOAKROOM_REDIS_URL": self.engine.url,
                "OPENAI_API_KEY": self.planted.openai_key,
                "OPENAI_BASE_URL": f"{self.sandbox.url}/v1",
                **self._settings,
                **more,
            }
        )

    def replica(self, name: str, **more: str) -> Replica:
        """Start one more replica; it ends with the stack."""
        return self._resources.enter_context(Replica(name, self.environment(**more)))

    @property
    def mint_headers(self) -> dict[str, str]:
        """The headers of a client's mint."""
        return {"Authorization": f"Bearer {self.planted.client_key}"}
