{{/* The chart's name, or what replaces it. */}}
{{- define "wordpress.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of the release's objects: its own when that says what it is. */}}
{{- define "wordpress.fullname" -}}
{{- $name := include "wordpress.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "wordpress.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "wordpress.selectorLabels" -}}
app.kubernetes.io/name: {{ include "wordpress.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "wordpress.labels" -}}
helm.sh/chart: {{ include "wordpress.chart" . }}
{{ include "wordpress.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "wordpress.image" -}}
{{- with .Values.image -}}
{{- if .registry }}{{ .registry }}/{{ end }}{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end -}}

{{/* The pods' settings that the test hook has too. */}}
{{- define "wordpress.podSettings" -}}
automountServiceAccountToken: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A secret text in base64: the one given, else the one in the Secret, else a new
one. Takes a list: the context, the given text, the key, the length. */}}
{{- define "wordpress.secret" -}}
{{- $ctx := index . 0 -}}
{{- $given := index . 1 -}}
{{- $key := index . 2 -}}
{{- $old := lookup "v1" "Secret" $ctx.Release.Namespace (include "wordpress.fullname" $ctx) -}}
{{- if $given -}}
{{- $given | b64enc -}}
{{- else if dig "data" $key "" $old -}}
{{- dig "data" $key "" $old -}}
{{- else -}}
{{- randAlphaNum (index . 3 | int) | b64enc -}}
{{- end -}}
{{- end -}}

{{/* Where the database is: the chart mysql's Service, or one's own. */}}
{{- define "wordpress.databaseHost" -}}
{{- if .Values.mysql.enabled -}}
{{ include "mysql.fullname" .Subcharts.mysql }}:{{ .Subcharts.mysql.Values.service.port }}
{{- else -}}
{{ required "mysql.enabled is false: say where the database is, --set externalDatabase.host=..." .Values.externalDatabase.host }}:{{ .Values.externalDatabase.port }}
{{- end -}}
{{- end -}}

{{- define "wordpress.databaseSecret" -}}
{{- if .Values.mysql.enabled -}}
{{ include "mysql.secretName" .Subcharts.mysql }}
{{- else -}}
{{ default (include "wordpress.fullname" .) .Values.externalDatabase.existingSecret }}
{{- end -}}
{{- end -}}

{{/* The names are those of the registry's image. */}}
{{- define "wordpress.databaseEnv" -}}
- name: WORDPRESS_DB_HOST
  value: {{ include "wordpress.databaseHost" . | quote }}
- name: WORDPRESS_DB_USER
  value: {{ ternary .Values.mysql.auth.username .Values.externalDatabase.user .Values.mysql.enabled | quote }}
- name: WORDPRESS_DB_NAME
  value: {{ ternary .Values.mysql.auth.database .Values.externalDatabase.database .Values.mysql.enabled | quote }}
- name: WORDPRESS_DB_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "wordpress.databaseSecret" . }}
      key: mysql-password
- name: WORDPRESS_SALT
  valueFrom:
    secretKeyRef:
      name: {{ include "wordpress.fullname" . }}
      key: wordpress-salt
{{- end -}}

{{- define "wordpress.mounts" -}}
{{- with .Values.containerSecurityContext -}}
securityContext:
  {{- toYaml . | nindent 2 }}
{{ end -}}
volumeMounts:
  - name: html
    mountPath: /var/www/html
  - name: config
    mountPath: /etc/wordpress-chart
    readOnly: true
  - name: tmp
    mountPath: /tmp
{{- end -}}
