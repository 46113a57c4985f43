{{/* What the pods of primary and replicas have in common. Most take a dict: ctx, the
context, and role, .Values.primary or .Values.secondary. */}}

{{- define "mysql.pullSecrets" -}}
{{- with .Values.image.pullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "mysql.podSettings" -}}
automountServiceAccountToken: false
terminationGracePeriodSeconds: {{ .role.terminationGracePeriodSeconds }}
{{- with include "mysql.pullSecrets" .ctx }}
{{ . }}
{{- end }}
{{- with .role.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .role.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .role.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .role.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An environment variable from the Secret: a list of context, name and key. */}}
{{- define "mysql.secretEnv" -}}
- name: {{ index . 1 }}
  valueFrom:
    secretKeyRef:
      name: {{ include "mysql.secretName" (index . 0) }}
      key: {{ index . 2 }}
{{- end -}}

{{/* The accounts and the database that accounts.sh makes. */}}
{{- define "mysql.env" -}}
{{ include "mysql.secretEnv" (list . "MYSQL_ROOT_PASSWORD" "mysql-root-password") }}
{{- if .Values.auth.username }}
- name: MYSQL_USER
  value: {{ .Values.auth.username | quote }}
{{ include "mysql.secretEnv" (list . "MYSQL_PASSWORD" "mysql-password") }}
{{- end }}
{{- if .Values.auth.database }}
- name: MYSQL_DATABASE
  value: {{ .Values.auth.database | quote }}
{{- end }}
{{- if include "mysql.replicated" . }}
{{ include "mysql.replicationEnv" . }}
{{- end }}
{{- end -}}

{{- define "mysql.replicationEnv" -}}
- name: MYSQL_REPLICATION_USER
  value: {{ .Values.auth.replicationUser | quote }}
{{ include "mysql.secretEnv" (list . "MYSQL_REPLICATION_PASSWORD" "mysql-replication-password") }}
{{- end -}}

{{/* The server's container, but for its readiness. */}}
{{- define "mysql.server" -}}
image: {{ include "mysql.image" .ctx | quote }}
imagePullPolicy: {{ .ctx.Values.image.pullPolicy }}
command:
  - sh
  - /etc/mysql-chart/start.sh
{{- with .role.extraArgs }}
args:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: mysql
    containerPort: 3306
    protocol: TCP
startupProbe:
  {{- include "mysql.ping" .ctx | nindent 2 }}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 300
livenessProbe:
  {{- include "mysql.ping" .ctx | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: 6
{{- with .role.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{ include "mysql.mounts" . }}
{{- end -}}

{{- define "mysql.mounts" -}}
{{- with .role.containerSecurityContext -}}
securityContext:
  {{- toYaml . | nindent 2 }}
{{ end -}}
volumeMounts:
  - name: data
    mountPath: /var/lib/mysql
  - name: config
    mountPath: /etc/mysql-chart
    readOnly: true
  - name: run
    mountPath: /run/mysqld
  - name: tmp
    mountPath: /tmp
{{- end -}}

{{/* The volumes; config is the name of the ConfigMap. */}}
{{- define "mysql.volumes" -}}
- name: config
  configMap:
    name: {{ .config }}
- name: run
  emptyDir: {}
- name: tmp
  emptyDir: {}
{{- if not .role.persistence.enabled }}
- name: data
  emptyDir: {}
{{- end }}
{{- end -}}

{{/* The claim; labels are the template's name of its labels. */}}
{{- define "mysql.claim" -}}
{{- with .role.persistence -}}
metadata:
  name: data
  labels:
    {{- include $.labels $.ctx | nindent 4 }}
spec:
  accessModes:
    {{- toYaml .accessModes | nindent 4 }}
  {{- if eq .storageClass "-" }}
  storageClassName: ""
  {{- else if .storageClass }}
  storageClassName: {{ .storageClass }}
  {{- end }}
  resources:
    requests:
      storage: {{ .size }}
{{- end }}
{{- end -}}
