{{/* Configuration and scripts that primary and replicas have in common. The scripts
work in the registry's image and in one made of Debian's packages, as any user that
may write to the volume. */}}

{{/* my.cnf; own are the lines of the primary or the replicas. */}}
{{- define "mysql.cnf" -}}
[client]
port = 3306
socket = /run/mysqld/mysqld.sock
[mariadbd]
port = 3306
bind-address = *
socket = /run/mysqld/mysqld.sock
pid-file = /run/mysqld/mysqld.pid
datadir = /var/lib/mysql/data
tmpdir = /tmp
skip-name-resolve
character-set-server = utf8mb4
collation-server = utf8mb4_unicode_ci
{{- with .own }}
{{ . | trim }}
{{- end }}
{{- with .role.configuration }}
{{ . | trim }}
{{- end }}
{{- end -}}

{{/* accounts.sh: functions for the init file of a server. Every server, primary or
replica, makes users and passwords as the Secret says at each of its starts, before it
accepts connections, and keeps that out of the binary log. */}}
{{- define "mysql.accounts.sh" -}}
# A text as an SQL literal.
quote() { printf "'"; printf '%s' "$1" | sed -e 's/\\/\\\\/g' -e "s/'/''/g"; printf "'"; }
say() { printf '%s\n' "$1"; } # unlike echo, keeps backslashes
account() { # user@host password
  say "CREATE USER IF NOT EXISTS $1;"
  say "ALTER USER $1 IDENTIFIED BY $(quote "$2");"
}
accounts() {
  say "SET SESSION sql_log_bin = 0;"
  say "DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host NOT IN ('localhost', '%'));"
  say "FLUSH PRIVILEGES;"
  account "'root'@'localhost'" "$MYSQL_ROOT_PASSWORD"
  account "'root'@'%'" "$MYSQL_ROOT_PASSWORD"
  say "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
  if [ -n "${MYSQL_USER:-}" ]; then
    account "'$MYSQL_USER'@'%'" "$MYSQL_PASSWORD"
    if [ -n "${MYSQL_DATABASE:-}" ]; then
      say "GRANT ALL ON \`$MYSQL_DATABASE\`.* TO '$MYSQL_USER'@'%';"
    fi
  fi
  if [ -n "${MYSQL_REPLICATION_USER:-}" ]; then
    account "'$MYSQL_REPLICATION_USER'@'%'" "$MYSQL_REPLICATION_PASSWORD"
    say "GRANT REPLICATION SLAVE ON *.* TO '$MYSQL_REPLICATION_USER'@'%';"
  fi
  say "SET SESSION sql_log_bin = 1;"
}
forget() { unset MYSQL_ROOT_PASSWORD MYSQL_PASSWORD MYSQL_REPLICATION_PASSWORD; }
{{- end -}}

{{/* What a new replica shows that it knows the password: a digest of the primary's
challenge and the password. */}}
{{- define "mysql.digest.sh" -}}
digest() { printf '%s' "$1 $MYSQL_REPLICATION_PASSWORD" | sha256sum | cut -d ' ' -f 1; }
{{- end -}}

{{/* The primary's lines of my.cnf that replicas need. */}}
{{- define "mysql.primary.cnf" -}}
{{- if include "mysql.replicated" . -}}
{{- with .Values.replication -}}
server-id = 1
log-bin = binlog
binlog-format = ROW
sync-binlog = 1
binlog-expire-logs-seconds = {{ int64 .binlogRetentionSeconds }}
gtid-strict-mode = ON
rpl-semi-sync-master-wait-point = AFTER_SYNC
{{- if eq .semiSync "required" }}
# A year: in effect without end.
rpl-semi-sync-master-timeout = 31536000000
rpl-semi-sync-master-wait-no-slave = ON
{{- else if eq .semiSync "preferred" }}
rpl-semi-sync-master-timeout = {{ int64 .semiSyncTimeoutMilliseconds }}
rpl-semi-sync-master-wait-no-slave = OFF
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The replicas' lines of my.cnf. */}}
{{- define "mysql.secondary.cnf" -}}
read-only = ON
relay-log = relay
relay-log-recovery = ON
skip-slave-start
# A primary that is gone without a word is noticed after this many seconds.
slave-net-timeout = 10
gtid-strict-mode = ON
{{- if ne .Values.replication.semiSync "none" }}
rpl-semi-sync-slave-enabled = ON
{{- end }}
{{- end -}}
