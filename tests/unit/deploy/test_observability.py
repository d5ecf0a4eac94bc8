"""The compose file's profile "observability": its parts find each other, the replicas and the dashboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.compose import REPLICAS, ROOT, load_compose, services
from tests.unit.deploy.alert_rules import FOLDER as PROMETHEUS
from tests.unit.deploy.haproxy import first, read_haproxy

GRAFANA: Final = ROOT / "deploy" / "grafana"


def provisioned(kind: str) -> dict[str, Any]:
    """The one file of ``deploy/grafana/provisioning/KIND``."""
    (file,) = (GRAFANA / "provisioning" / kind).iterdir()
    loaded: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return loaded


def scraped() -> dict[str, list[str]]:
    """The targets of each job."""
    loaded = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    return {
        job["job_name"]: [target for group in job["static_configs"] for target in group["targets"]]
        for job in loaded["scrape_configs"]
    }


def mounted_at(service: str, place: str) -> Path:
    """What of the repository a container has there."""
    (source,) = (str(one).split(":")[0] for one in services()[service]["volumes"] if f":{place}:" in one)
    return (ROOT / source).resolve()


def test_prometheus_scrapes_every_replica_and_the_load_balancer() -> None:
    ports = {name: services()[name]["environment"]["CLOAKROOM_PORT"] for name in REPLICAS}
    (address,) = first(read_haproxy()["frontend operations"], "bind")
    assert scraped() == {
        "cloakroom": [f"{name}:{port}" for name, port in ports.items()],
        "load-balancer": [f"load-balancer{address}"],
    }
    for name in (*REPLICAS, "load-balancer"):
        assert set(services()["prometheus"]["networks"]) & set(services()[name]["networks"])


def test_prometheus_reads_the_files_that_promtool_has_checked() -> None:
    (config,) = (
        one.partition("=")[2] for one in services()["prometheus"]["command"] if "--config.file" in one
    )
    assert mounted_at("prometheus", str(Path(config).parent)) == PROMETHEUS
    assert Path(config).name == "prometheus.yml"


def test_grafana_asks_the_prometheus_of_the_profile() -> None:
    (source,) = provisioned("datasources")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"] is True
    assert set(services()["grafana"]["networks"]) & set(services()["prometheus"]["networks"])
    interval = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval
    # A provisioned dashboard asks nobody which source it is to use: the default of this kind is taken.
    dashboard = json.loads((GRAFANA / "cloakroom.json").read_text(encoding="utf-8"))
    (chosen,) = (one for one in dashboard["templating"]["list"] if one["type"] == "datasource")
    assert chosen["query"] == source["type"]


def test_grafana_has_the_dashboard_where_it_looks_for_it() -> None:
    assert mounted_at("grafana", "/etc/grafana/provisioning") == GRAFANA / "provisioning"
    (provider,) = provisioned("dashboards")["providers"]
    place = f"{provider['options']['path']}/cloakroom.json"
    assert mounted_at("grafana", place) == GRAFANA / "cloakroom.json"
    assert services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == place


def test_nobody_can_sign_in_to_grafana_and_everyone_only_looks() -> None:
    variables = services()["grafana"]["environment"]
    assert variables["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert variables["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert (variables["GF_AUTH_DISABLE_LOGIN_FORM"], variables["GF_AUTH_BASIC_ENABLED"]) == ("true", "false")


def test_neither_reaches_the_store() -> None:
    for name in ("prometheus", "grafana"):
        assert "store" not in services()[name]["networks"]
    assert load_compose()["networks"].keys() == {"front", "observability", "store"}
