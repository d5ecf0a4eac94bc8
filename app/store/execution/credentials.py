"""The user and the password that new connections sign on with; they can change while the others stay open."""

from __future__ import annotations

from app.models import Secret


class StoreCredentials:
    """What our own connections, and the driver's, ask whenever they open one (``CredentialProvider``)."""

    def __init__(self, username: str | None, password: str) -> None:
        self.use(username, password)

    def use(self, username: str | None, password: str) -> None:
        """Sign on with these from now on. Connections that are open stay signed on."""
        self._username = username or "default"
        self._password = Secret(password)

    def get_credentials(self) -> tuple[str, str]:
        return self._username, self._password.reveal()

    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()
