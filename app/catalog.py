"""Which model name leads to which deployment, and who may use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.errors import ModelNotAllowed, ModelNotFound
from app.models import Client, Deployment

# In ``models``: takes every alias that is not named itself.
ANY_MODEL: Final = "*"


class Catalog:
    """The models that this service knows.

    Args:
        deployments: by name.
        models: alias to deployment name, or to several names of which the first is taken; ``*`` takes
            any alias.
        default_model: the alias of a mint request that names none.
    """

    def __init__(
        self,
        deployments: Mapping[str, Deployment],
        models: Mapping[str, str | tuple[str, ...]],
        *,
        default_model: str | None,
    ) -> None:
        self.deployments = deployments
        self._models = models
        self.default_model = default_model

    def resolve(self, client: Client, alias: str) -> Deployment:
        """Return the deployment that mints for this alias.

        Raises:
            ModelNotFound: nothing is configured under this name; the message lists what is.
            ModelNotAllowed: it is, but not for this client.
        """
        name = self._models.get(alias) or self._models.get(ANY_MODEL)
        if name is None:
            raise ModelNotFound(
                f"There is no model '{alias}' here. You may use: {self._names_for(client)}.", param="model"
            )
        if not client.may_use(alias):
            raise ModelNotAllowed(
                f"Client '{client.name}' may not use '{alias}'. It may use: {self._names_for(client)}.",
                param="model",
            )
        return self.deployments[name if isinstance(name, str) else name[0]]

    def deployment(self, name: str) -> Deployment | None:
        """The deployment of this name; None where this replica's configuration has none."""
        return self.deployments.get(name)

    def _names_for(self, client: Client) -> str:
        known = client.models if client.models is not None else self._models.keys()
        names = sorted(alias for alias in known if alias != ANY_MODEL)
        return ", ".join(names) or "none"
