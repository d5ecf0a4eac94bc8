"""Which model name leads to which deployments, under which policy, and who may use it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from app.errors import InvalidRequest, ModelNotAllowed, ModelNotFound
from app.models import Client, Deployment, ModelPolicy

# In ``models``: takes every alias that is not named itself.
ANY_MODEL: Final = "*"


@dataclass(frozen=True, slots=True)
class Choice:
    """A deployment of a model. The lowest ``priority`` is tried first; equals share by ``weight``."""

    deployment: str
    priority: int = 0
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Model:
    """One alias of the configuration."""

    choices: tuple[Choice, ...]
    policy: ModelPolicy = field(default_factory=ModelPolicy)


@dataclass(frozen=True, slots=True)
class Route:
    """Where to mint, in the order in which to try, and under which policy."""

    deployments: tuple[Deployment, ...]
    policy: ModelPolicy


class Catalog:
    """The models that this service knows.

    Args:
        deployments: by name.
        models: by alias; ``*`` takes any alias.
        default_model: the alias of a mint request that names none.
    """

    def __init__(
        self, deployments: Mapping[str, Deployment], models: Mapping[str, Model], *, default_model: str | None
    ) -> None:
        self.deployments = deployments
        self._models = models
        self.default_model = default_model

    def resolve(self, client: Client, alias: str, *, param: str = "model") -> Route:
        """Return where this alias is minted.

        Raises:
            ModelNotFound: nothing is configured under this name; the message lists what is.
            ModelNotAllowed: it is, but not for this client.
        """
        model = self._find(client, alias, param)
        if len(model.choices) == 1:
            return Route((self.deployments[model.choices[0].deployment],), model.policy)
        ordered = sorted(model.choices, key=_turn)
        return Route(tuple(self.deployments[choice.deployment] for choice in ordered), model.policy)

    def upstream_name(self, client: Client, alias: str, beside: Deployment, *, param: str) -> str:
        """The provider's name of a nested model, which must be served where the session is.

        Raises:
            ModelNotFound, ModelNotAllowed: as ``resolve``.
            InvalidRequest: the model is served somewhere else only.
        """
        for choice in self._find(client, alias, param).choices:
            deployment = self.deployments[choice.deployment]
            if deployment.base_url == beside.base_url:
                return deployment.upstream_model or alias
        raise InvalidRequest(f"'{alias}' is not served where this session's model is.", param=param)

    @property
    def names(self) -> list[str]:
        """The aliases that are configured by name."""
        return [alias for alias in self._models if alias != ANY_MODEL]

    def deployment(self, name: str) -> Deployment | None:
        """The deployment of this name; None where this replica's configuration has none."""
        return self.deployments.get(name)

    def _find(self, client: Client, alias: str, param: str) -> Model:
        model = self._models.get(alias) or self._models.get(ANY_MODEL)
        if model is None:
            raise ModelNotFound(
                f"There is no model '{alias}' here. You may use: {self._names_for(client)}.", param=param
            )
        if not client.may_use(alias):
            raise ModelNotAllowed(
                f"Client '{client.name}' may not use '{alias}'. It may use: {self._names_for(client)}.",
                param=param,
            )
        return model

    def _names_for(self, client: Client) -> str:
        known = client.models if client.models is not None else self._models.keys()
        names = sorted(alias for alias in known if alias != ANY_MODEL)
        return ", ".join(names) or "none"


def _turn(choice: Choice) -> tuple[int, float]:
    """Sorts by priority, then by chance: a weight of 3 comes first three times as often as one of 1."""
    # The exponential race: the smallest of Exp(weight) draws is each choice with probability weight/sum.
    return choice.priority, random.expovariate(choice.weight)
