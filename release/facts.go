package release

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// facts are what is worth knowing of an object at a glance, by its kind.
func facts(kind string, o fields) []string {
	switch kind {
	case "Deployment.apps", "StatefulSet.apps", "ReplicaSet.apps", "ReplicationController":
		out := []string{fmt.Sprintf("%d of %d ready", o.num(0, "status", "readyReplicas"), o.num(1, "spec", "replicas"))}
		if o.flag("spec", "paused") {
			out = append(out, "paused")
		}
		if revision := o.text("metadata", "annotations", "deployment.kubernetes.io/revision"); revision != "" && kind == "ReplicaSet.apps" {
			out = append(out, "revision "+revision)
		}
		return out
	case "DaemonSet.apps":
		return []string{fmt.Sprintf("%d of %d ready", o.num(0, "status", "numberReady"), o.num(0, "status", "desiredNumberScheduled"))}
	case "Job.batch":
		return []string{fmt.Sprintf("%d of %d completed", o.num(0, "status", "succeeded"), o.num(1, "spec", "completions"))}
	case "CronJob.batch":
		return cronJobFacts(o)
	case "Pod":
		return podFacts(o)
	case "Service":
		return serviceFacts(o)
	case "PersistentVolumeClaim":
		size := o.text("status", "capacity", "storage")
		if size == "" {
			size = o.text("spec", "resources", "requests", "storage")
		}
		return withText([]string{size, o.text("status", "phase")}, o.text("spec", "storageClassName"))
	case "Ingress.networking.k8s.io":
		return ingressFacts(o)
	case "HorizontalPodAutoscaler.autoscaling":
		return []string{fmt.Sprintf("%d pods of %d to %d", o.num(0, "status", "currentReplicas"), o.num(1, "spec", "minReplicas"), o.num(1, "spec", "maxReplicas"))}
	case "ConfigMap", "Secret":
		n := int64(len(o.sub("data")) + len(o.sub("binaryData")))
		return []string{fmt.Sprintf("%d %s", n, plural(n, "key"))}
	}
	return nil
}

// withText adds texts that are not empty.
func withText(to []string, texts ...string) []string {
	for _, t := range texts {
		if t != "" {
			to = append(to, t)
		}
	}
	return to
}

func podFacts(o fields) []string {
	out := withText(nil, o.text("status", "phase"), o.text("status", "podIP"))
	if node := o.text("spec", "nodeName"); node != "" {
		out = append(out, "on "+node)
	}
	return out
}

func cronJobFacts(o fields) []string {
	out := []string{o.text("spec", "schedule")}
	if o.flag("spec", "suspend") {
		out = append(out, "suspended")
	}
	if last := o.text("status", "lastScheduleTime"); last != "" {
		return append(out, "last run "+last)
	}
	return append(out, "has not run yet")
}

// serviceFacts are the type and the addresses with their ports.
func serviceFacts(o fields) []string {
	if name := o.text("spec", "externalName"); name != "" {
		return []string{"ExternalName", name}
	}
	kind, host := o.text("spec", "type"), o.text("spec", "clusterIP")
	if host == "None" {
		kind, host = "headless", ""
	}
	var ports []string
	for _, p := range o.maps("spec", "ports") {
		text := fmt.Sprint(p.num(0, "port"))
		if node := p.num(0, "nodePort"); node != 0 {
			text += fmt.Sprintf(" (node port %d)", node)
		}
		if protocol := p.text("protocol"); protocol != "" && protocol != "TCP" {
			text += "/" + protocol
		}
		ports = append(ports, text)
	}
	address := strings.Join(ports, ",")
	if host != "" {
		address = strings.TrimSuffix(host+":"+address, ":")
	}
	out := withText([]string{kind}, address)
	for _, i := range o.maps("status", "loadBalancer", "ingress") {
		out = withText(out, i.text("ip"), i.text("hostname"))
	}
	external, _, _ := unstructured.NestedStringSlice(o, "spec", "externalIPs")
	return append(out, external...)
}

// ingressFacts are "host/path to service:port" and the controller's addresses.
func ingressFacts(o fields) []string {
	var out []string
	for _, r := range o.maps("spec", "rules") {
		host := r.text("host")
		if host == "" {
			host = "*"
		}
		for _, p := range r.maps("http", "paths") {
			port := p.text("backend", "service", "port", "name")
			if port == "" {
				port = fmt.Sprint(p.num(0, "backend", "service", "port", "number"))
			}
			out = append(out, fmt.Sprintf("%s%s to %s:%s", host, p.text("path"), p.text("backend", "service", "name"), port))
		}
	}
	for _, i := range o.maps("status", "loadBalancer", "ingress") {
		out = withText(out, "at "+i.text("ip")+i.text("hostname"))
	}
	return out
}
