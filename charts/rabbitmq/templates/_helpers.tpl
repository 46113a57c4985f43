{{/* The chart's name, or what replaces it. */}}
{{- define "rabbitmq.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of the release's objects: its own when that says what it is. 52
characters leave room for what a StatefulSet's pods and revisions append. */}}
{{- define "rabbitmq.fullname" -}}
{{- $name := include "rabbitmq.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "rabbitmq.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "rabbitmq.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rabbitmq.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rabbitmq.labels" -}}
helm.sh/chart: {{ include "rabbitmq.chart" . }}
{{ include "rabbitmq.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "rabbitmq.image" -}}
{{- with .Values.image -}}
{{- if .registry }}{{ .registry }}/{{ end }}{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end -}}

{{- define "rabbitmq.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "rabbitmq.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "rabbitmq.secretName" -}}
{{- default (include "rabbitmq.fullname" .) .Values.auth.existingSecret -}}
{{- end -}}

{{/* A password: the one given, else the one in the Secret, else a new one. Takes a
list: the context, the given password, the key in the Secret. */}}
{{- define "rabbitmq.password" -}}
{{- $ctx := index . 0 -}}
{{- $given := index . 1 -}}
{{- $key := index . 2 -}}
{{- $old := lookup "v1" "Secret" $ctx.Release.Namespace (include "rabbitmq.secretName" $ctx) -}}
{{- if $given -}}
{{- $given | b64enc -}}
{{- else if dig "data" $key "" $old -}}
{{- dig "data" $key "" $old -}}
{{- else -}}
{{- randAlphaNum 20 | b64enc -}}
{{- end -}}
{{- end -}}

{{/* The ports: lists of name, number and the values of service with the Service's
and the nodes' port. Those of plugins that are off are left out. */}}
{{- define "rabbitmq.ports" -}}
- [amqp, 5672, port, nodePort]
{{- if has "rabbitmq_management" .Values.plugins }}
- [management, 15672, managementPort, managementNodePort]
{{- end }}
{{- if has "rabbitmq_prometheus" .Values.plugins }}
- [metrics, 15692, metricsPort, metricsNodePort]
{{- end }}
{{- end -}}
