"""Every setting with its bounds and its default. ``load`` fills them in."""

from __future__ import annotations

from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app.settings.aliases import AnyModelSettings
from app.settings.client import ClientSettings
from app.settings.deployment import DeploymentSettings
from app.settings.groups.calls import CallsSettings
from app.settings.groups.egress import EgressSettings
from app.settings.groups.keys import KeysSettings
from app.settings.groups.limits import LimitsSettings
from app.settings.groups.listening import ListeningSettings
from app.settings.groups.security import SecuritySettings
from app.settings.groups.store import StoreSettings
from app.settings.ice import IceSettings
from app.settings.identity import IssuerSettings


class _SectionSettings(BaseModel):
    """What the file of settings has sections for: places, models, clients and issuers."""

    default_model: str | None = Field(None, description="alias for a mint request that names no model")
    deployments: dict[str, DeploymentSettings] = Field(
        default_factory=dict, description="the places to mint at, by a name of your choice"
    )
    models: dict[str, AnyModelSettings] = Field(
        default_factory=dict, description="alias -> deployment, several, or a policy; alias * takes any"
    )
    clients: dict[str, ClientSettings] = Field(
        default_factory=dict, description="callers with their own models or limit, by name"
    )
    issuers: dict[str, IssuerSettings] = Field(
        default_factory=dict, description="identity providers whose tokens count (docs/browser-minting.md)"
    )
    ice: IceSettings = Field(
        default_factory=IceSettings,
        description="STUN and TURN servers that browsers may use (docs/ice-servers.md)",
    )


# pydantic takes the fields of the last base first.
class Settings(
    SecuritySettings,
    LimitsSettings,
    EgressSettings,
    CallsSettings,
    _SectionSettings,
    KeysSettings,
    StoreSettings,
    ListeningSettings,
    BaseSettings,
):
    """Everything that an operator can set. Each field is ``CLOAKROOM_`` and its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="CLOAKROOM_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # ``load_settings`` passes in what it has read, so the process's environment is not read here.
        return (init_settings,)
