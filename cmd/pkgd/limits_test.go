package main

import (
	"strings"
	"time"
)

// limited: what a namespace's LimitRange and ResourceQuota allow.
func limited(s *space) {
	s.apply(`
apiVersion: v1
kind: LimitRange
metadata: {name: sizes}
spec:
  limits:
  - {type: Container, default: {cpu: 200m, memory: 64Mi}, defaultRequest: {cpu: 50m, memory: 32Mi}, max: {memory: 1Gi}}
---
{apiVersion: v1, kind: ResourceQuota, metadata: {name: team}, spec: {hard: {pods: "2", requests.memory: 128Mi, limits.memory: 1Gi, services.nodeports: "0"}}}
`)
	s.says([]string{"Type Resource Min Max Default Request Default Limit Max Limit/Request Ratio", "Container memory - 1Gi 32Mi 64Mi -"}, "describe", "limits", "sizes")
	s.k("create", "deployment", "d", "--image=standin:1", "--replicas=3", "--", "standin", "stress")
	s.comesToSay(20*time.Second, []string{"d 2/3 2 2"}, "get", "deployment", "d")
	s.comesToSay(5*time.Second, []string{"FailedCreate", `is forbidden: exceeded quota: team, requested: pods=1, used: pods=2, limited: pods=2`}, "describe", "replicaset")
	s.says([]string{"ReplicaFailure True FailedCreate"}, "describe", "deployment", "d")
	s.comesToSay(5*time.Second, []string{"team pods: 2/2, requests.memory: 64Mi/128Mi, services.nodeports: 0/0 limits.memory: 128Mi/1Gi"}, "get", "quota")
	s.says([]string{"Resource Used Hard", "pods 2 2", "requests.memory 64Mi 128Mi"}, "describe", "quota", "team")
	s.says([]string{"LimitRanger plugin set: cpu, memory request for container standin; cpu, memory limit for container standin",
		"cpu: 200m memory: 64Mi Requests: cpu: 50m memory: 32Mi"}, "describe", "pods", "-l", "app=d")
	s.refuses([]string{`services "web" is forbidden: exceeded quota: team, requested: services.nodeports=1, used: services.nodeports=0, limited: services.nodeports=0`},
		"create", "service", "nodeport", "web", "--tcp=80")
	s.refuses([]string{`pods "big" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi`}, "run", "big", "--image=standin:1",
		`--overrides={"spec":{"containers":[{"name":"big","image":"standin:1","resources":{"limits":{"memory":"2Gi"}}}]}}`)
	s.k("patch", "quota", "team", "-p", `{"spec":{"hard":{"pods":"4","requests.memory":"256Mi"}}}`)
	s.k("scale", "deployment/d", "--replicas=4") // the replica set tries again at once, not after its backoff
	s.k("rollout", "status", "deployment/d", "--timeout=90s")
	pod := strings.Fields(s.k("get", "pods", "-o", "name"))[0]
	// The second is where machines with the older control groups have it.
	if got := strings.TrimSpace(s.k("exec", pod, "--", "sh", "-c", "cd /sys/fs/cgroup; cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes")); got != "67108864" {
		s.t.Errorf("the container's memory limit is %s, want the default of 64Mi", got)
	}
}
