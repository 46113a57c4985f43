# From lists of objects to the targets of a role, as Prometheus' file_sd_configs reads
# them, with the labels of its kubernetes_sd_configs.
def named(prefix): with_entries({key: ("__meta_kubernetes_" + prefix + (.key | gsub("[^a-zA-Z0-9_]"; "_"))), value: .value});
def meta(kind): ((.metadata.labels // {}) | named(kind + "_label_")) + ((.metadata.annotations // {}) | named(kind + "_annotation_"));
def host: if contains(":") then "[\(.)]" else . end;

def node:
  .metadata.name as $name
  | {
      targets: [((.status.addresses // [] | map(select(.type == "InternalIP"))[0].address) // $name | host)
        + ":\(.status.daemonEndpoints.kubeletEndpoint.Port // 10250)"],
      labels: (meta("node") + {instance: $name, __meta_kubernetes_node_name: $name})
    };

def pod:
  .metadata as $m | .status as $s | meta("pod") as $meta | .spec.nodeName as $node
  | select($s.podIP)
  | .spec.containers[] | .name as $container
  | (.ports // [{}])[]
  | {
      targets: [($s.podIP | host) + (if .containerPort then ":\(.containerPort)" else "" end)],
      labels: ($meta + {
        __meta_kubernetes_namespace: $m.namespace,
        __meta_kubernetes_pod_name: $m.name,
        __meta_kubernetes_pod_uid: $m.uid,
        __meta_kubernetes_pod_ip: $s.podIP,
        __meta_kubernetes_pod_phase: ($s.phase // ""),
        __meta_kubernetes_pod_node_name: ($node // ""),
        __meta_kubernetes_pod_container_name: $container,
        __meta_kubernetes_pod_container_port_name: (.name // ""),
        __meta_kubernetes_pod_container_port_number: (.containerPort // "" | tostring)
      })
    };

# Of Endpoints, with the Services' labels and annotations by namespace and name.
def endpoints($services):
  .metadata as $m | ($services["\($m.namespace)/\($m.name)"] // {}) as $service
  | .subsets // [] | .[] | (.ports // []) as $ports
  | ((.addresses // [] | map(. + {ready: "true"})) + (.notReadyAddresses // [] | map(. + {ready: "false"})))[]
  | . as $address | $ports[]
  | {
      targets: ["\($address.ip | host):\(.port)"],
      labels: ($service + {
        __meta_kubernetes_namespace: $m.namespace,
        __meta_kubernetes_endpoints_name: $m.name,
        __meta_kubernetes_service_name: $m.name,
        __meta_kubernetes_endpoint_port_name: (.name // ""),
        __meta_kubernetes_endpoint_ready: $address.ready,
        __meta_kubernetes_pod_name: (if $address.targetRef.kind == "Pod" then $address.targetRef.name else "" end),
        __meta_kubernetes_pod_node_name: ($address.nodeName // "")
      })
    };

if $role == "node" then [.[0].items[] | node]
elif $role == "pod" then [.[0].items[] | pod]
else (.[1].items | map({key: "\(.metadata.namespace)/\(.metadata.name)", value: meta("service")}) | from_entries) as $services
  | [.[0].items[] | endpoints($services)]
end
