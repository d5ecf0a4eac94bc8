"""The webhook of security events in the settings: what is refused, and what is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.settings import SettingsError, load_settings
from app.settings.secrets import masked_settings
from tests.support.planted import Planted

URL, SECRET = "https://soc.example.com/hooks/T0P-secret?token=abc", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_URL, _SECRET = "CLOAKROOM_SECURITY_WEBHOOK_URL", "CLOAKROOM_SECURITY_WEBHOOK_SECRET"


def environment(**more: str) -> dict[str, str]:
    return Planted().environment(
        CLOAKROOM_ENVIRONMENT="production",
        CLOAKROOM_REDIS_URL="redis://redis.internal",
        OPENAI_API_KEY="sk-proj-" + "k" * 40,
        **more,
    )


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({_URL: URL}, f"{_SECRET} is missing; make one"),
        ({_SECRET: SECRET}, f"{_SECRET} is set without {_URL}"),
        ({_URL: "http://soc.example.com/hooks", _SECRET: SECRET}, "must be https"),
        ({_URL: "soc.example.com", _SECRET: SECRET}, f"{_URL}: must be a URL"),
        ({_URL: URL, _SECRET: "T0P-secret"}, "make one: echo"),
    ],
)
def test_a_webhook_that_would_not_work_is_refused_at_the_start(more: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(environment(**more))
    assert says in str(refused.value)
    assert "T0P-secret" not in str(refused.value)


def test_in_development_the_receiver_may_be_on_this_machine() -> None:
    found = load_settings(
        {
            **environment(**{_URL: "http://127.0.0.1:8090/hooks", _SECRET: SECRET}),
            "CLOAKROOM_ENVIRONMENT": "development",
        }
    )
    assert found.security_webhook_url is not None


def test_both_may_lie_in_files_and_neither_is_shown(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in (_URL, _SECRET)}
    files[_URL].write_text(URL + "\n")
    files[_SECRET].write_text(f"{SECRET},{SECRET}\n")
    found = load_settings(environment(**{f"{name}_FILE": str(path) for name, path in files.items()}))
    assert found.security_webhook_url is not None
    assert found.security_webhook_url.get_secret_value() == URL
    shown = masked_settings(found)
    assert shown["security_webhook_url"] == "https://soc.example.com/***"
    assert shown["security_webhook_secret"] == "***"
    assert "T0P-secret" not in repr(found)
    assert SECRET not in repr(found)
