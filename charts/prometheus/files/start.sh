set -eu
config=/etc/prometheus-chart/prometheus.yml
if promtool check config --syntax-only "$config" 2>&1 | grep -q "field kubernetes_sd_configs not found"; then
  config=/etc/prometheus-chart/prometheus-files.yml
  sh /etc/prometheus-chart/discover.sh &
fi
exec prometheus --config.file="$config" "$@"
