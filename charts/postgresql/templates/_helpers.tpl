{{/* The chart's name, or what replaces it. */}}
{{- define "postgresql.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of the release's objects: its own when that says what it is. 52
characters leave room for what a StatefulSet's pods and revisions append. */}}
{{- define "postgresql.fullname" -}}
{{- $name := include "postgresql.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "postgresql.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "postgresql.selectorLabels" -}}
app.kubernetes.io/name: {{ include "postgresql.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "postgresql.labels" -}}
helm.sh/chart: {{ include "postgresql.chart" . }}
{{ include "postgresql.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "postgresql.image" -}}
{{- with .Values.image -}}
{{- if .registry }}{{ .registry }}/{{ end }}{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end -}}

{{- define "postgresql.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "postgresql.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "postgresql.secretName" -}}
{{- default (include "postgresql.fullname" .) .Values.auth.existingSecret -}}
{{- end -}}

{{/* A password: the one given, else the one in the Secret, else a new one. Takes a
list: the context, the given password, the key in the Secret. */}}
{{- define "postgresql.password" -}}
{{- $ctx := index . 0 -}}
{{- $given := index . 1 -}}
{{- $key := index . 2 -}}
{{- $old := lookup "v1" "Secret" $ctx.Release.Namespace (include "postgresql.secretName" $ctx) -}}
{{- if $given -}}
{{- $given | b64enc -}}
{{- else if dig "data" $key "" $old -}}
{{- dig "data" $key "" $old -}}
{{- else -}}
{{- randAlphaNum 20 | b64enc -}}
{{- end -}}
{{- end -}}

{{/* How the probes ask. The server that makes users before the real one starts
listens on no address. */}}
{{- define "postgresql.isReady" -}}
exec:
  command:
    - sh
    - -c
    - . /etc/postgresql-chart/path.sh && exec pg_isready --host=127.0.0.1 --port=5432
{{- end -}}
