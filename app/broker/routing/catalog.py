"""Which model name leads to which deployments, under which policy, and who may use it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from app.broker.session_policy import ModelPolicy, PoolPolicy
from app.errors import InvalidRequest, ModelNotAllowed, ModelNotFound
from app.models import MAX_KEY_SECONDS, Client, Deployment, value

# In ``models``: takes every alias that is not named itself.
ANY_MODEL: Final = "*"


@dataclass(frozen=True, slots=True)
class Choice:
    """A deployment of a model. The lowest ``priority`` is tried first; equals share by ``weight``."""

    deployment: str
    priority: int = 0
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Takeover:
    """From ``since`` on, in epoch seconds, an alias is minted where ``successor`` is; its policy stays."""

    successor: str
    since: float


@dataclass(frozen=True, slots=True)
class Model:
    """One alias of the configuration."""

    choices: tuple[Choice, ...]
    policy: ModelPolicy = field(default_factory=ModelPolicy)
    takeover: Takeover | None = None


@value
class Route:
    """Where to mint, in the order in which to try, and under which policy.

    ``model`` is the provider's name of the model at deployments that have none: the alias, or its successor.
    """

    deployments: tuple[Deployment, ...]
    policy: ModelPolicy
    model: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What serves an alias for some time: until ``until``, in epoch seconds, or for ever where it is None."""

    model: str
    deployments: tuple[Deployment, ...]
    until: float | None


class Catalog:
    """The models that this service knows.

    Args:
        deployments: by name.
        models: by alias; ``*`` takes any alias.
        default_model: the alias of a mint request that names none.
        clock: returns epoch seconds; needed where a model has a takeover.
    """

    def __init__(
        self,
        deployments: Mapping[str, Deployment],
        models: Mapping[str, Model],
        *,
        default_model: str | None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        if clock is None and any(model.takeover is not None for model in models.values()):
            raise ValueError("a takeover needs a clock")
        self.deployments = deployments
        self._models = models
        self._clock = clock or (lambda: 0.0)
        self.default_model = default_model

    def use(self, deployments: Mapping[str, Deployment]) -> None:
        """Mint at these from now on: the same names, which may have other credentials.

        Raises:
            ValueError: the names are not the same.
        """
        if deployments.keys() != self.deployments.keys():
            raise ValueError("the deployments have other names")
        self.deployments = deployments

    def resolve(self, client: Client, alias: str, *, param: str = "model") -> Route:
        """Return where this alias is minted.

        Raises:
            ModelNotFound: nothing is configured under this name; the message lists what is.
            ModelNotAllowed: it is, but not for this client.
        """
        model = self._find(client, alias, param)
        name, serving = self._serving(alias, model)
        if len(serving.choices) == 1:
            return Route((self.deployments[serving.choices[0].deployment],), model.policy, name)
        ordered = sorted(serving.choices, key=_turn)
        return Route(tuple(self.deployments[choice.deployment] for choice in ordered), model.policy, name)

    def upstream_name(self, client: Client, alias: str, beside: Deployment, *, param: str) -> str:
        """The provider's name of a nested model, which must be served where the session is.

        Raises:
            ModelNotFound, ModelNotAllowed: as ``resolve``.
            InvalidRequest: the model is served somewhere else only.
        """
        name, serving = self._serving(alias, self._find(client, alias, param))
        for choice in serving.choices:
            deployment = self.deployments[choice.deployment]
            if deployment.base_url == beside.base_url:
                return deployment.upstream_model or name
        raise InvalidRequest(f"'{alias}' is not served where this session's model is.", param=param)

    def metered(self, alias: str, *, usually: bool) -> bool:
        """Whether the usage of this model's calls is counted; ``usually`` where its policy says nothing."""
        model = self._entry(alias)
        own = model.policy.metering if model is not None else None
        return usually if own is None else own

    @property
    def meters(self) -> bool:
        """Whether the policy of some model has its calls' usage counted."""
        return any(model.policy.metering for model in self._models.values())

    @property
    def pools(self) -> Mapping[str, PoolPolicy]:
        """The models whose keys are minted ahead, by alias."""
        found = ((alias, model.policy.pool) for alias, model in self._models.items())
        return {alias: pool for alias, pool in found if pool is not None}

    @property
    def longest_handle_seconds(self) -> int:
        """How long a handle may live at most, over all models."""
        policies = [model.policy for model in self._models.values()]
        # Where the policy names no usual life, the provider's counts, which may be longer than the bound.
        lives = [
            policy.max_seconds if policy.default_seconds is not None else MAX_KEY_SECONDS
            for policy in policies
        ]
        return max(lives, default=MAX_KEY_SECONDS)

    @property
    def names(self) -> list[str]:
        """The aliases that are configured by name."""
        return [alias for alias in self._models if alias != ANY_MODEL]

    def deployment(self, name: str) -> Deployment | None:
        """The deployment of this name; None where this replica's configuration has none."""
        return self.deployments.get(name)

    def stages(self, alias: str) -> list[Stage]:
        """What serves an alias now and later, in this order; empty where it is not configured."""
        stages: list[Stage] = []
        begin, model = self._clock(), self._entry(alias)
        while model is not None:
            takeover = model.takeover
            until = takeover.since if takeover is not None else None
            if until is None or until > begin:
                # A deployment that could not be built has no stage; the doctor looks at the other ones.
                names = [
                    choice.deployment for choice in model.choices if choice.deployment in self.deployments
                ]
                stages.append(Stage(alias, tuple(self.deployments[name] for name in names), until))
            if takeover is None:
                break
            begin, alias = max(begin, takeover.since), takeover.successor
            model = self._entry(alias)
        return stages

    def _serving(self, alias: str, model: Model) -> tuple[str, Model]:
        """The model that serves an alias today, and its name."""
        while model.takeover is not None and self._clock() >= model.takeover.since:
            # The settings have checked that each successor exists, and that no chain of them is a circle.
            alias = model.takeover.successor
            model = self._models.get(alias) or self._models[ANY_MODEL]
        return alias, model

    def _entry(self, alias: str) -> Model | None:
        return self._models.get(alias) or self._models.get(ANY_MODEL)

    def _find(self, client: Client, alias: str, param: str) -> Model:
        model = self._entry(alias)
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
