{{/* The chart's name, or what replaces it. */}}
{{- define "redis.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of the release's objects: its own when that says what it is. 52
characters leave room for what a StatefulSet's pods and revisions append. */}}
{{- define "redis.fullname" -}}
{{- $name := include "redis.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "redis.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "redis.selectorLabels" -}}
app.kubernetes.io/name: {{ include "redis.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "redis.labels" -}}
helm.sh/chart: {{ include "redis.chart" . }}
{{ include "redis.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "redis.image" -}}
{{- with .Values.image -}}
{{- if .registry }}{{ .registry }}/{{ end }}{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end -}}

{{- define "redis.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "redis.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "redis.secretName" -}}
{{- default (include "redis.fullname" .) .Values.auth.existingSecret -}}
{{- end -}}

{{/* The key of the password in the Secret. */}}
{{- define "redis.secretKey" -}}
{{- ternary .Values.auth.existingSecretPasswordKey "redis-password" (ne .Values.auth.existingSecret "") -}}
{{- end -}}

{{/* The password: the one given, else the one in the Secret, else a new one. */}}
{{- define "redis.password" -}}
{{- $old := lookup "v1" "Secret" .Release.Namespace (include "redis.secretName" .) -}}
{{- if .Values.auth.password -}}
{{- .Values.auth.password | b64enc -}}
{{- else if dig "data" "redis-password" "" $old -}}
{{- dig "data" "redis-password" "" $old -}}
{{- else -}}
{{- randAlphaNum 20 | b64enc -}}
{{- end -}}
{{- end -}}

{{/* The variable with the password, under the name that redis-cli reads. */}}
{{- define "redis.passwordEnv" -}}
{{- if .Values.auth.enabled -}}
- name: REDISCLI_AUTH
  valueFrom:
    secretKeyRef:
      name: {{ include "redis.secretName" . }}
      key: {{ include "redis.secretKey" . }}
{{- end -}}
{{- end -}}

{{/* A probe that wants one of the answers of PING. Takes a regular expression. */}}
{{- define "redis.ping" -}}
exec:
  command:
    - sh
    - -c
    - redis-cli -p 6379 ping | grep -qE '^({{ . }})'
{{- end -}}
