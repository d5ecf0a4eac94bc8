"""A whole service on one machine: a real store, the provider in a box, and replicas, each its own process."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

from app.store.embedded.engine import LocalEngine
from tests.support.access import url_for_service, user_arguments
from tests.support.planted import Planted
from tests.support.processes import ROOT, Replica, Sandbox


class Stack:
    """One engine, one sandbox, and the replicas A and B.

    The replicas sign on at the store as the user of ``app.store.acl``, so every test runs under its rule;
    tests that look into the store, or break it, do so as the default user (``engine.url``).

    Args:
        peer: the sandbox's ``--peer``: ``webrtc`` for media, ``static`` for load.
        sandbox_arguments: further options of the sandbox.
        engine_arguments: further options of the store's server.
        planted: the secrets, where something outside the stack has them too.
        settings: further environment of every replica; ``{provider}`` in a value is the sandbox's origin.
    """

    def __init__(
        self,
        *,
        peer: str,
        sandbox_arguments: tuple[str, ...] = (),
        engine_arguments: tuple[str, ...] = (),
        planted: Planted | None = None,
        **settings: str,
    ) -> None:
        self.planted = planted or Planted()
        self._settings = settings
        self._peer = peer
        self._sandbox_arguments = sandbox_arguments
        self._engine_arguments = engine_arguments
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            password = self.planted.store_password
            arguments = (*self._engine_arguments, *user_arguments(password))
            self.engine = resources.enter_context(LocalEngine(password=password, extra_args=arguments))
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
                "CLOAKROOM_REDIS_URL": self.store_url,
                "OPENAI_API_KEY": self.planted.openai_key,
                "OPENAI_BASE_URL": f"{self.sandbox.url}/v1",
                **{name: self._filled(value) for name, value in (self._settings | more).items()},
            }
        )

    def _filled(self, value: str) -> str:
        return value.replace("{provider}", self.sandbox.url)

    def replica(self, name: str, **more: str) -> Replica:
        """Start one more replica; it ends with the stack."""
        return self.replica_of(ROOT, name, **more)

    def replica_of(self, code: Path, name: str, **more: str) -> Replica:
        """``replica``, of the code in this folder."""
        return self._resources.enter_context(Replica(name, self.environment(**more), code=code))

    def installed_replica(self, python: Path, name: str, **more: str) -> Replica:
        """``replica``, of the wheel that is installed in another environment."""
        replica = Replica(
            name,
            self.environment(**more),
            # A folder in which no package of ours lies.
            code=python.parent,
            python=str(python),
            package="cloakroom",
        )
        return self._resources.enter_context(replica)

    @property
    def store_url(self) -> str:
        """Where a replica finds the store, with the user that it signs on as."""
        return url_for_service(self.engine, self.planted.store_password)

    @property
    def mint_headers(self) -> dict[str, str]:
        """The headers of a client's mint."""
        return {"Authorization": f"Bearer {self.planted.client_key}"}
