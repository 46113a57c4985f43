{{/* The chart's name, or what replaces it. */}}
{{- define "mysql.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of the release's objects: its own when that says what it is. 52
characters leave room for what a StatefulSet's pods and revisions append. */}}
{{- define "mysql.fullname" -}}
{{- $name := include "mysql.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "mysql.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mysql.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mysql.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "mysql.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "mysql.image" -}}
{{- with .Values.image -}}
{{- if .registry }}{{ .registry }}/{{ end }}{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end -}}

{{- define "mysql.secretName" -}}
{{- default (include "mysql.fullname" .) .Values.auth.existingSecret -}}
{{- end -}}

{{/* A password: the one given, else the one in the Secret, else a new one. Takes a
list: the context, the given password, the key in the Secret. */}}
{{- define "mysql.password" -}}
{{- $ctx := index . 0 -}}
{{- $given := index . 1 -}}
{{- $key := index . 2 -}}
{{- $old := lookup "v1" "Secret" $ctx.Release.Namespace (include "mysql.secretName" $ctx) -}}
{{- if $given -}}
{{- $given | b64enc -}}
{{- else if dig "data" $key "" $old -}}
{{- dig "data" $key "" $old -}}
{{- else -}}
{{- randAlphaNum 20 | b64enc -}}
{{- end -}}
{{- end -}}

{{/* Whether there are replicas: "true" or nothing. */}}
{{- define "mysql.replicated" -}}
{{- if eq .Values.architecture "replication" -}}true{{- end -}}
{{- end -}}

{{/* The name of the replicas' objects; 42 characters of the release's leave it as
long as the primary's may be. */}}
{{- define "mysql.secondary.fullname" -}}
{{- printf "%s-secondary" (include "mysql.fullname" . | trunc 42 | trimSuffix "-") -}}
{{- end -}}

{{/* Replicas bear another name than the primary, whose selectors cannot change once
they are there and must not match them. */}}
{{- define "mysql.secondary.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mysql.name" . }}-secondary
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mysql.secondary.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "mysql.secondary.selectorLabels" . }}
app.kubernetes.io/component: secondary
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The primary's own name, which its pod keeps whether it is ready or not. */}}
{{- define "mysql.primary.host" -}}
{{- $name := include "mysql.fullname" . -}}
{{ $name }}-0.{{ $name }}-headless.{{ .Release.Namespace }}.svc
{{- end -}}

{{/* Where the primary gives copies of its data to new replicas. */}}
{{- define "mysql.clonePort" -}}3307{{- end -}}

{{/* How the probes ask: as root over the socket, which needs no network. */}}
{{- define "mysql.ping" -}}
exec:
  command:
    - sh
    - -c
    - MYSQL_PWD="$MYSQL_ROOT_PASSWORD" exec mariadb-admin --defaults-file=/etc/mysql-chart/my.cnf --user=root ping
{{- end -}}

{{/* What pkg cluster backup does before it copies the data: everything goes to the files, and the server stands
still while they are copied. */}}
{{- define "mysql.backup" -}}
pkg.internal/backup-container: mysql
pkg.internal/backup-freeze: "true"
pkg.internal/pre-backup-command: >-
  MYSQL_PWD="$MYSQL_ROOT_PASSWORD" mariadb --defaults-file=/etc/mysql-chart/my.cnf -u root
  -e "FLUSH LOCAL TABLES; FLUSH LOCAL ENGINE LOGS"
{{- end }}
