//go:build !front

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/release"
)

// door is one port of one Service of a release.
type door struct {
	namespace, service string
	port               int
	name               string // of the port
	clusterIP          string // "" where it is headless
	scheme             string // "http", "https", or "" for what does not look like them
}

func (d door) String() string {
	text := fmt.Sprintf("service %s, port %d", d.service, d.port)
	if d.name != "" {
		text += " (" + d.name + ")"
	}
	return text
}

// doors lists the TCP ports of a release's Services.
func doors(ctx context.Context, c *connection, r *release.Release) ([]door, error) {
	l, err := c.List(ctx, object.Resource{Resource: "services"}, object.ListOptions{
		Namespace: r.Namespace, Labels: labels.Set{"app.kubernetes.io/managed-by": "Helm"}.AsSelector(),
	})
	if err != nil {
		return nil, err
	}
	var out []door
	for _, o := range l.Items {
		u, ok := o.(*unstructured.Unstructured)
		if !ok || u.GetAnnotations()["meta.helm.sh/release-name"] != r.Name {
			continue
		}
		ip, _, _ := unstructured.NestedString(u.Object, "spec", "clusterIP")
		if ip == "None" {
			ip = ""
		}
		ports, _, _ := unstructured.NestedSlice(u.Object, "spec", "ports")
		for _, p := range ports {
			port, ok := p.(map[string]any)
			if !ok || port["protocol"] != nil && port["protocol"] != "TCP" {
				continue
			}
			number, _, _ := unstructured.NestedInt64(port, "port")
			d := door{namespace: u.GetNamespace(), service: u.GetName(), port: int(number), clusterIP: ip}
			d.name, _, _ = unstructured.NestedString(port, "name")
			protocol, _, _ := unstructured.NestedString(port, "appProtocol")
			d.scheme = schemeOf(d.name, protocol, d.port)
			out = append(out, d)
		}
	}
	return out, nil
}

// schemeOf guesses whether a port speaks HTTP.
func schemeOf(name, protocol string, port int) string {
	word := strings.ToLower(firstOf(protocol, name))
	switch {
	case strings.HasPrefix(word, "https"), port == 443, port == 8443:
		return "https"
	case strings.HasPrefix(word, "http"), strings.HasPrefix(word, "web"), word == "ui", word == "dashboard", word == "management":
		return "http"
	case slices.Contains([]int{80, 3000, 5000, 8000, 8080, 8081, 8888, 9090, 15672}, port):
		return "http"
	}
	return ""
}

// chooseDoor picks the one that is meant; service and port may be empty.
func chooseDoor(all []door, release, service, port string) (door, error) {
	fits := slices.DeleteFunc(slices.Clone(all), func(d door) bool {
		return service != "" && d.service != service || port != "" && d.name != port && strconv.Itoa(d.port) != port
	})
	switch {
	case len(all) == 0:
		return door{}, withHint(fmt.Errorf("release %s has no Service with a TCP port", release), "pkg status %s", release)
	case len(fits) == 0:
		var have []string
		for _, d := range all {
			have = append(have, d.String())
		}
		return door{}, fmt.Errorf("release %s has no such port; it has %s", release, strings.Join(have, "; "))
	}
	best := slices.MinFunc(fits, func(a, b door) int { return rank(a) - rank(b) })
	return best, nil
}

// rank prefers HTTP to HTTPS to others, and Services with an address.
func rank(d door) int {
	n := map[string]int{"http": 0, "https": 1, "": 2}[d.scheme] * 2
	if d.clusterIP == "" {
		n++
	}
	return n
}

// doorPoll is how often awaitDoor looks.
const doorPoll = 200 * time.Millisecond

// awaitDoor waits until a pod stands behind a door, and says what it waits for.
func awaitDoor(ctx context.Context, a *app, c *connection, d door, release string, timeout time.Duration) error {
	deadline := a.Now().Add(timeout)
	for said := false; ; said = true {
		target, err := c.endpoint(ctx, d)
		if err != nil || target != "" {
			return err
		}
		if a.Now().After(deadline) {
			return &exitError{code: exitTimeout, err: withHint(
				fmt.Errorf("no pod behind service %s was ready within %s", d.service, timeout), "pkg status %s%s", release, namespaceFlag(d.namespace))}
		}
		if !said {
			fmt.Fprintf(a.Err, "waiting until a pod behind service %s is ready (at most %s)\n", d.service, timeout)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(doorPoll):
		}
	}
}

// endpoint is "ip:port" of a ready pod behind a door, "" if there is none.
func (c *connection) endpoint(ctx context.Context, d door) (string, error) {
	found, err := c.List(ctx, object.Resource{Group: "discovery.k8s.io", Resource: "endpointslices"}, object.ListOptions{
		Namespace: d.namespace, Labels: labels.Set{"kubernetes.io/service-name": d.service}.AsSelector(),
	})
	if err != nil {
		return "", err
	}
	for _, o := range found.Items {
		u, ok := o.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		ports, _, _ := unstructured.NestedSlice(u.Object, "ports")
		endpoints, _, _ := unstructured.NestedSlice(u.Object, "endpoints")
		for _, p := range ports {
			port, ok := p.(map[string]any)
			if name, _ := port["name"].(string); !ok || name != d.name {
				continue
			}
			for _, e := range endpoints {
				endpoint, ok := e.(map[string]any)
				if !ok {
					continue
				}
				ready, known, _ := unstructured.NestedBool(endpoint, "conditions", "ready")
				addresses, _, _ := unstructured.NestedStringSlice(endpoint, "addresses")
				if (ready || !known) && len(addresses) > 0 {
					return fmt.Sprintf("%s:%v", addresses[0], port["port"]), nil
				}
			}
		}
	}
	return "", nil
}
