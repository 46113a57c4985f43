package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exposed are Services and pods in every way that leads to them from outside.
const exposed = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: c, image: "standin:1", command: [standin, serve, "80"], readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}}
      - {name: u, image: "standin:1", command: [standin, echo, "7"]}
---
{apiVersion: v1, kind: Service, metadata: {name: balanced}, spec: {type: LoadBalancer, selector: {app: web}, ports: [{name: http, port: 81, targetPort: 80}, {name: echo, port: 7, protocol: UDP}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: second}, spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 81, targetPort: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: local}, spec: {type: NodePort, externalTrafficPolicy: Local, internalTrafficPolicy: Local, selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: sticky}, spec: {type: NodePort, sessionAffinity: ClientIP, selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: external}, spec: {externalIPs: [198.51.100.7], selector: {app: web}, ports: [{port: 82, targetPort: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: nobody}, spec: {type: LoadBalancer, selector: {app: nobody}, ports: [{port: 83}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: alias}, spec: {type: ExternalName, externalName: local.outside.svc.cluster.local}}
---
{apiVersion: v1, kind: Pod, metadata: {name: ported}, spec: {containers: [{name: c, image: "standin:1", command: [standin, serve, "80"], ports: [{containerPort: 80, hostPort: 8081}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: clash}, spec: {containers: [{name: c, image: "standin:1", command: [standin, serve, "80"], ports: [{containerPort: 80, hostPort: 8081}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: hosted}, spec: {hostNetwork: true, dnsPolicy: ClusterFirstWithHostNet, containers: [{name: c, image: "standin:1", command: [standin, serve, "9091"], ports: [{containerPort: 9091}]}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: named}
spec:
  hostAliases: [{ip: 192.0.2.2, hostnames: [neighbour, neighbour.example]}]
  dnsPolicy: None
  dnsConfig: {nameservers: [10.142.0.10], searches: [outside.svc.cluster.local], options: [{name: ndots, value: "3"}, {name: edns0}]}
  containers: [{name: c, image: "standin:1", command: [standin, stress]}]
---
{apiVersion: v1, kind: Pod, metadata: {name: plain}, spec: {dnsPolicy: Default, containers: [{name: c, image: "standin:1", command: [standin, stress]}]}}
`

// TestFromOutside reaches Services and pods from another machine, by packets.
func TestFromOutside(t *testing.T) {
	out := newNeighbour(t)
	m := newMachine(t)
	m.pkg("cluster", "start")
	m.loadStandIns()
	s := m.space(t, "outside")
	s.apply(exposed)
	s.k("rollout", "status", "deployment/web", "--timeout=60s")
	s.k("wait", "--for=condition=Ready", "pod/ported", "pod/hosted", "pod/named", "pod/plain", "--timeout=30s")
	for _, part := range []struct {
		name string
		run  func(s *space, out *neighbour)
	}{{"addresses", outsideAddresses}, {"clients", outsideClients}, {"host", outsideHost}, {"names", outsideNames}, {"udp", outsideUDP}} {
		t.Run(part.name, func(t *testing.T) {
			inner := *s
			inner.t = t
			part.run(&inner, out)
		})
	}
}

// outsideAddresses: load balancers have the node's address, one Service a port;
// external addresses lead here; where nobody answers, the client is told at once.
func outsideAddresses(s *space, out *neighbour) {
	s.comesToSay(10*time.Second, []string{"balanced LoadBalancer", machineAddress + " 81:", "external ClusterIP", "198.51.100.7 82/TCP",
		"alias ExternalName <none> local.outside.svc.cluster.local"}, "get", "svc")
	s.says([]string{"LoadBalancer Ingress: " + machineAddress + " (VIP)", "EnsuredLoadBalancer"}, "describe", "svc", "balanced")
	s.says([]string{"second LoadBalancer", "<pending> 81:"}, "get", "svc", "second")
	s.says([]string{"SyncLoadBalancerFailed", "port 81/TCP of the nodes is in use by the load balancer of service outside/balanced"}, "describe", "svc", "second")
	for _, address := range []string{machineAddress + ":81", "198.51.100.7:82", machineAddress + ":" + s.nodePort("local")} {
		eventually(s.t, 5*time.Second, func() error {
			body, err := out.get(address, "/")
			return errors.Join(err, expect(body, "this is web-"))
		})
	}
	for _, address := range []string{machineAddress + ":83", machineAddress + ":" + s.nodePort("nobody")} {
		eventually(s.t, 5*time.Second, func() error {
			start := time.Now()
			if _, err := out.dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) || time.Since(start) > time.Second {
				return fmt.Errorf("%s, where nobody serves: %v after %s, want a refusal at once", address, err, time.Since(start))
			}
			return nil
		})
	}
}

// nodePort is the first one of a Service.
func (s *space) nodePort(service string) string {
	s.t.Helper()
	return s.k("get", "svc", service, "-o", "jsonpath={.spec.ports[0].nodePort}")
}

// outsideClients: what pods see of a client, and whether it stays with one.
func outsideClients(s *space, out *neighbour) {
	ask := func(service, path string) string {
		body, err := out.get(machineAddress+":"+s.nodePort(service), path)
		if err != nil {
			s.t.Errorf("%s: %v", service, err)
		}
		return body
	}
	if _, client, _ := strings.Cut(ask("local", "/client"), " "); client != neighbourAddress {
		s.t.Errorf("with externalTrafficPolicy Local the pod sees %s, want the client's own address", client)
	}
	if _, client, _ := strings.Cut(ask("balanced", "/client"), " "); client == neighbourAddress {
		s.t.Errorf("with externalTrafficPolicy Cluster the pod sees the client's own address")
	}
	answers := func() map[string]bool {
		all := map[string]bool{}
		for range 12 {
			all[ask("sticky", "/")] = true
		}
		return all
	}
	if got := answers(); len(got) != 1 {
		s.t.Errorf("with affinity one client reaches %v, want one pod", got)
	}
	s.k("patch", "svc", "sticky", "-p", `{"spec":{"sessionAffinity":"None"}}`)
	eventually(s.t, 5*time.Second, func() error {
		if got := answers(); len(got) != 2 {
			return fmt.Errorf("without affinity one client reaches %v, want both pods", got)
		}
		return nil
	})
	if got := s.k("exec", "named", "--", "wget", "-qO-", "http://local"); !strings.HasPrefix(got, "this is web-") {
		s.t.Errorf("internalTrafficPolicy Local, from a pod of the node: %q", got)
	}
}

// outsideHost: ports of the host are one pod's each.
func outsideHost(s *space, out *neighbour) {
	for address, want := range map[string]string{machineAddress + ":8081": "this is ported", machineAddress + ":9091": "this is "} {
		if got, err := out.get(address, "/"); err != nil || !strings.HasPrefix(got, want) {
			s.t.Errorf("%s: %q, %v, want %q", address, got, err, want)
		}
	}
	s.says([]string{"clash 0/1 Pending"}, "get", "pod", "clash")
	s.says([]string{"0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. " +
		"no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."}, "describe", "pod", "clash")
	s.k("delete", "pod", "ported", "--now")
	s.k("wait", "--for=condition=Ready", "pod/clash", "--timeout=20s")
	eventually(s.t, 5*time.Second, func() error {
		got, err := out.get(machineAddress+":8081", "/")
		return errors.Join(err, expect(got, "this is clash"))
	})
	if got := s.k("get", "pod", "hosted", "-o", "jsonpath={.status.podIP} {.status.hostIP}"); got != machineAddress+" "+machineAddress {
		s.t.Errorf("the pod in the host's network has the addresses %s", got)
	}
}

// outsideNames: hosts and resolv.conf as pods ask for them.
func outsideNames(s *space, out *neighbour) {
	cat := func(pod, file string) string {
		return strings.Join(strings.Fields(s.k("exec", pod, "--", "cat", file)), " ")
	}
	if got := cat("named", "/etc/hosts"); !strings.HasSuffix(got, "# Entries added by HostAliases. 192.0.2.2 neighbour neighbour.example") {
		s.t.Errorf("hosts %q", got)
	}
	for pod, want := range map[string]string{
		"named":  "search outside.svc.cluster.local nameserver 10.142.0.10 options ndots:3 edns0",
		"hosted": "search outside.svc.cluster.local svc.cluster.local cluster.local nameserver 10.142.0.10 options ndots:5",
	} {
		if got := cat(pod, "/etc/resolv.conf"); !strings.HasPrefix(got, want) {
			s.t.Errorf("resolv.conf of %s: %q, want %q", pod, got, want)
		}
	}
	if got := cat("plain", "/etc/resolv.conf"); strings.Contains(got, "cluster.local") {
		s.t.Errorf("dnsPolicy Default has the cluster's domains: %q", got)
	}
	if got := s.k("exec", "hosted", "--", "wget", "-qO-", "http://alias/"); !strings.HasPrefix(got, "this is web-") {
		s.t.Errorf("an external name from the host's network: %q", got)
	}
}

// outsideUDP: a client that sends from one socket all the time reaches the pods
// there are, not the ones there were.
func outsideUDP(s *space, out *neighbour) {
	c, err := out.dial("udp", net.JoinHostPort(machineAddress, "7"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	first, err := exchange(c)
	if err != nil || !strings.HasPrefix(first, "udp web-") {
		s.t.Fatalf("UDP: %q, %v", first, err)
	}
	s.k("delete", "pod", strings.TrimPrefix(first, "udp "), "--wait=false")
	eventually(s.t, 10*time.Second, func() error {
		got, err := exchange(c)
		if err == nil && (got == first || !strings.HasPrefix(got, "udp web-")) {
			err = fmt.Errorf("the answer is %q, want another pod's", got)
		}
		return err
	})
	s.k("scale", "deployment/web", "--replicas=0")
	eventually(s.t, 10*time.Second, func() error {
		if got, err := exchange(c); !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("without pods: %q, %v, want a refusal", got, err)
		}
		return nil
	})
}
