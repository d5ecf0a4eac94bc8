"""Writes what the manifests and the chart have of other files here: python deploy/kubernetes/build.py

Kustomize and Helm read nothing outside of the folder that they are given, so the alert rules and the store's
files are copied into it.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent
DEPLOY = HERE.parent
CHART = DEPLOY / "helm" / "cloakroom"
COMPONENTS = HERE / "components"

ALERTS = DEPLOY / "prometheus" / "alerts.yml"
STORE = (DEPLOY / "redis.conf", DEPLOY / "redis" / "users.acl", DEPLOY / "redis" / "start.sh")

RULE_HEAD = """\
# Made of deploy/prometheus/alerts.yml by deploy/kubernetes/build.py: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: cloakroom
  labels:
    app.kubernetes.io/name: cloakroom
    app.kubernetes.io/instance: cloakroom
    app.kubernetes.io/component: server
spec:
"""


def prometheus_rule(alerts: str) -> str:
    """The rules as an object of the Prometheus Operator, with their comments."""
    groups = alerts[alerts.index("groups:\n") :]
    indented = (f"  {line}" if line.strip() else line for line in groups.splitlines(keepends=True))
    return RULE_HEAD + "".join(indented)


def files() -> dict[Path, str]:
    """Every file that is made, with its text."""
    alerts = ALERTS.read_text(encoding="utf-8")
    made = {
        COMPONENTS / "monitoring" / "prometheusrule.yaml": prometheus_rule(alerts),
        CHART / "files" / ALERTS.name: alerts,
    }
    for source in STORE:
        text = source.read_text(encoding="utf-8")
        made[COMPONENTS / "redis" / "files" / source.name] = text
        made[CHART / "files" / source.name] = text
    return made


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
