{{/* The targets of a role. Takes the role and whether files name them. */}}
{{- define "prometheus.targets" -}}
{{- if .files -}}
file_sd_configs:
  - files: [/run/prometheus/{{ .role }}.json]
{{- else -}}
kubernetes_sd_configs:
  - role: {{ .role }}
{{- end -}}
{{- end -}}

{{/* The configuration. Takes the context and whether files name the targets. */}}
{{- define "prometheus.config" -}}
{{- $files := .files -}}
{{- with .context -}}
global:
  scrape_interval: {{ .Values.scrapeInterval }}
  evaluation_interval: {{ .Values.evaluationInterval }}
  {{- with .Values.externalLabels }}
  external_labels:
    {{- toYaml . | nindent 4 }}
  {{- end }}
rule_files:
  - /etc/prometheus-chart/alerting_rules.yml
  - /etc/prometheus-chart/recording_rules.yml
{{- with .Values.alerting }}
alerting:
  {{- toYaml . | nindent 2 }}
{{- end }}
scrape_configs:
  - job_name: prometheus
    static_configs:
      - targets: [localhost:9090]
  {{- if .Values.scrapeKubernetes }}
  - job_name: kubernetes-apiservers
    {{- include "prometheus.apiServer" . | nindent 4 }}
    {{- include "prometheus.targets" (dict "role" "endpoints" "files" $files) | nindent 4 }}
    relabel_configs:
      - source_labels: [__meta_kubernetes_namespace, __meta_kubernetes_service_name, __meta_kubernetes_endpoint_port_name]
        action: keep
        regex: default;kubernetes;https
  {{- range $job, $path := dict "kubernetes-nodes" "/metrics" "kubernetes-nodes-cadvisor" "/metrics/cadvisor" }}
  - job_name: {{ $job }}
    {{- include "prometheus.apiServer" $ | nindent 4 }}
    {{- include "prometheus.targets" (dict "role" "node" "files" $files) | nindent 4 }}
    relabel_configs:
      - action: labelmap
        regex: __meta_kubernetes_node_label_(.+)
      - source_labels: [__meta_kubernetes_node_name]
        target_label: node
      - target_label: __address__
        replacement: kubernetes.default.svc:443
      - source_labels: [__meta_kubernetes_node_name]
        target_label: __metrics_path__
        replacement: /api/v1/nodes/$1/proxy{{ $path }}
  {{- end }}
  - job_name: kubernetes-service-endpoints
    {{- include "prometheus.targets" (dict "role" "endpoints" "files" $files) | nindent 4 }}
    relabel_configs:
      {{- include "prometheus.annotated" "service" | nindent 6 }}
      - source_labels: [__meta_kubernetes_service_name]
        target_label: service
  - job_name: kubernetes-pods
    {{- include "prometheus.targets" (dict "role" "pod" "files" $files) | nindent 4 }}
    relabel_configs:
      {{- include "prometheus.annotated" "pod" | nindent 6 }}
      - source_labels: [__meta_kubernetes_pod_phase]
        action: drop
        regex: Pending|Succeeded|Failed
  {{- end }}
  {{- with .Values.extraScrapeConfigs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
{{- end -}}
