package main

import (
	"fmt"
	"net"
	"strings"
	"time"
)

// expect returns an error unless got begins with want.
func expect(got, want string) error {
	if !strings.HasPrefix(got, want) {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}

// ask1 sends a byte and returns the answer.
func ask1(network, address string) (string, error) {
	c, err := net.DialTimeout(network, address, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return "", err
	}
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

// services reaches pods over TCP and UDP in every way there is.
func services(s *space) {
	s.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo}
spec:
  replicas: 2
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec: {containers: [{name: c, image: "standin:1", command: [standin, echo, "7"], ports: [{name: echo, containerPort: 7}], readinessProbe: {tcpSocket: {port: echo}, periodSeconds: 1}}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec: {type: NodePort, selector: {app: echo}, ports: [{name: t, port: 70, targetPort: echo}, {name: u, port: 70, targetPort: 7, protocol: UDP}]}
---
{apiVersion: v1, kind: Service, metadata: {name: empty}, spec: {selector: {app: none}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: alone, labels: {app: alone}}, spec: {containers: [{name: c, image: "standin:1", command: [standin, echo, "7"]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: alone}, spec: {selector: {app: alone}, ports: [{port: 7}]}}
`)
	s.k("rollout", "status", "deployment/echo", "--timeout=40s")
	s.k("wait", "--for=condition=Ready", "pod/alone", "--timeout=20s")
	ask := func(command string) string { return s.tryK("exec", "alone", "--", "sh", "-c", command).stdout }
	answers := map[string]bool{}
	eventually(s.t, 10*time.Second, func() error {
		for range 10 {
			answers[ask("nc -w 2 echo 70 </dev/null")] = true
		}
		if len(answers) < 2 || answers[""] {
			defer clear(answers)
			return fmt.Errorf("answers %v, want both pods'", answers)
		}
		return nil
	})
	if got := ask("standin ask udp echo:70"); !strings.HasPrefix(got, "udp echo-") {
		s.t.Errorf("UDP: %q", got)
	}
	if got := ask("nc -w 2 alone 7 </dev/null"); got != "tcp alone\n" {
		s.t.Errorf("a pod through its own Service: %q", got)
	}
	ports := strings.Fields(s.k("get", "svc", "echo", "-o", "jsonpath={.spec.ports[*].nodePort}"))
	node := s.nodeAddress()
	for i, network := range []string{"tcp", "udp"} {
		if got, err := ask1(network, net.JoinHostPort(node, ports[i])); err != nil || !strings.HasPrefix(got, network+" echo-") {
			s.t.Errorf("node port %s/%s from the host: %q, %v", ports[i], network, got, err)
		}
	}
	start := time.Now()
	if got := ask("nc -w 5 empty 80 </dev/null; echo $?"); got != "1\n" || time.Since(start) > 3*time.Second {
		s.t.Errorf("a Service without endpoints: %q after %s, want a refusal at once", got, time.Since(start))
	}
	s.says([]string{"Endpoints: Session Affinity"}, "describe", "svc", "empty")
	s.k("scale", "deployment/echo", "--replicas=0")
	eventually(s.t, 10*time.Second, func() error { return expect(ask("nc -w 5 echo 70 </dev/null; echo $?"), "1\n") })
}

// dnsNames asks the cluster's DNS from inside a pod.
func dnsNames(s *space) {
	s.apply(`
{apiVersion: v1, kind: Pod, metadata: {name: box, labels: {app: box}}, spec: {hostname: h, subdomain: headless, containers: [{name: c, image: "standin:1", command: [standin, serve, "80"]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: normal}, spec: {selector: {app: box}, ports: [{name: web, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: headless}, spec: {clusterIP: None, selector: {app: box}, ports: [{name: web, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: outside}, spec: {type: ExternalName, externalName: normal.names.svc.cluster.local}}
`)
	s.k("wait", "--for=condition=Ready", "pod/box", "--timeout=20s")
	pod := s.k("get", "pod", "box", "-o", "jsonpath={.status.podIP}")
	service := s.k("get", "svc", "normal", "-o", "jsonpath={.spec.clusterIP}")
	for _, test := range []struct{ query, want string }{
		{"normal.names.svc.cluster.local", "Address: " + service},
		{"headless.names.svc.cluster.local", "Address: " + pod},
		{"h.headless.names.svc.cluster.local", "Address: " + pod},
		{"outside.names.svc.cluster.local", "canonical name = normal.names.svc.cluster.local"},
		{"-type=srv _web._tcp.normal.names.svc.cluster.local", "service = 0 100 80 normal.names.svc.cluster.local"},
		{service, "name = normal.names.svc.cluster.local"},
		{pod, "name = h.headless.names.svc.cluster.local"},
		{"-type=a nothing.names.svc.cluster.local", "NXDOMAIN"},
	} {
		s.comesToSay(5*time.Second, []string{test.want}, append([]string{"exec", "box", "--", "nslookup"}, strings.Fields(test.query)...)...)
	}
	for _, short := range []string{"normal", "normal.names", "normal.names.svc", "headless", "outside", "kubernetes.default"} { // the search domains
		if r := s.tryK("exec", "box", "--", "ping", "-c1", "-W1", short); strings.Contains(r.stderr, "bad address") {
			s.t.Errorf("name %s: %s", short, r.stderr)
		}
	}
	if got := s.k("exec", "box", "--", "wget", "-qO-", "http://outside/"); got != "this is h\n" {
		s.t.Errorf("through the external name: %q", got)
	}
}

// stateful: ordered names, claims and data that stay.
func stateful(s *space) {
	s.apply(`
{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {clusterIP: None, selector: {app: db}, ports: [{port: 80}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: c, image: "standin:1", command: [sh, -c, 'hostname >> /data/log; exec standin serve 80'], readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}, volumeMounts: [{name: data, mountPath: /data}]}
  volumeClaimTemplates:
  - {metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}
`)
	s.k("rollout", "status", "statefulset/db", "--timeout=40s")
	s.says([]string{"db 2/2"}, "get", "statefulset")
	s.says([]string{"data-db-0 Bound", "data-db-1 Bound", "RWO local"}, "get", "pvc")
	if got := s.k("exec", "db-0", "--", "wget", "-qO-", "http://db-1.db/"); got != "this is db-1\n" {
		s.t.Errorf("db-1 from db-0: %q", got)
	}
	s.k("delete", "pod", "db-1", "--timeout=20s")
	s.k("rollout", "status", "statefulset/db", "--timeout=40s")
	s.k("wait", "--for=condition=Ready", "pod/db-1", "--timeout=20s")
	if got := s.k("exec", "db-1", "--", "cat", "/data/log"); got != "db-1\ndb-1\n" {
		s.t.Errorf("the claim has %q, want both pods' lines", got)
	}
	s.says([]string{"Status: Bound", "StorageClass: local", "Used By: db-0"}, "describe", "pvc", "data-db-0")
}
