{{/* The labels by which objects find each other; the argument is [root, component]. */}}
{{- define "cloakroom.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: cloakroom
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* The labels of every object. */}}
{{- define "cloakroom.labels" -}}
{{- $root := index . 0 -}}
{{ include "cloakroom.selector" . }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
{{- end }}

{{/* Name, namespace and labels; the argument is [root, component, name]. */}}
{{- define "cloakroom.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 2 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "cloakroom.labels" . | nindent 2 }}
{{- end }}

{{/* What every container is confined to. */}}
{{- define "cloakroom.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
