{{/* The chart's name, or what replaces it. */}}
{{- define "prometheus.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of the release's objects: its own when that says what it is. 52
characters leave room for what a StatefulSet's pods and revisions append. */}}
{{- define "prometheus.fullname" -}}
{{- $name := include "prometheus.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "prometheus.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "prometheus.selectorLabels" -}}
app.kubernetes.io/name: {{ include "prometheus.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "prometheus.labels" -}}
helm.sh/chart: {{ include "prometheus.chart" . }}
{{ include "prometheus.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "prometheus.image" -}}
{{- with .Values.image -}}
{{- if .registry }}{{ .registry }}/{{ end }}{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end -}}

{{- define "prometheus.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "prometheus.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The name of what belongs to no namespace. */}}
{{- define "prometheus.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "prometheus.fullname" .) -}}
{{- end -}}

{{/* How targets that the API server speaks for are reached. */}}
{{- define "prometheus.apiServer" -}}
scheme: https
tls_config:
  ca_file: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
authorization:
  credentials_file: /var/run/secrets/kubernetes.io/serviceaccount/token
{{- end -}}

{{/* What the annotations prometheus.io/* say of a target. Takes "pod" or "service". */}}
{{- define "prometheus.annotated" -}}
- source_labels: [__meta_kubernetes_{{ . }}_annotation_prometheus_io_scrape]
  action: keep
  regex: "true"
- source_labels: [__meta_kubernetes_{{ . }}_annotation_prometheus_io_scheme]
  action: replace
  regex: (https?)
  target_label: __scheme__
- source_labels: [__meta_kubernetes_{{ . }}_annotation_prometheus_io_path]
  action: replace
  regex: (.+)
  target_label: __metrics_path__
- source_labels: [__address__, __meta_kubernetes_{{ . }}_annotation_prometheus_io_port]
  action: replace
  regex: (.+?)(?::\d+)?;(\d+)
  replacement: $1:$2
  target_label: __address__
- action: labelmap
  regex: __meta_kubernetes_{{ . }}_annotation_prometheus_io_param_(.+)
  replacement: __param_$1
- action: labelmap
  regex: __meta_kubernetes_{{ . }}_label_(.+)
- source_labels: [__meta_kubernetes_namespace]
  target_label: namespace
- source_labels: [__meta_kubernetes_pod_name]
  target_label: pod
- source_labels: [__meta_kubernetes_pod_node_name]
  target_label: node
{{- end -}}
