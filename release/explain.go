package release

import (
	"fmt"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// explainPod says in one line why a pod is not ready; "" if it is.
func explainPod(pod *unstructured.Unstructured, warning string) string {
	o := fieldsOf(pod)
	name := "pod " + pod.GetName() + ": "
	if pod.GetDeletionTimestamp() != nil {
		return name + "is ending"
	}
	if ready, _, _ := o.condition("Ready"); ready == "True" {
		return ""
	}
	if status, reason, text := o.condition("PodScheduled"); status == "False" {
		return name + strings.TrimSuffix(reason+": "+text, ": ")
	}
	for _, list := range []string{"initContainerStatuses", "containerStatuses"} {
		for _, c := range o.maps("status", list) {
			if text := explainContainer(o, c, list == "initContainerStatuses"); text != "" {
				if c.running() && warning != "" {
					text += ": " + warning
				}
				return name + "container " + c.text("name") + ": " + text
			}
		}
	}
	if reason := o.text("status", "reason"); reason != "" {
		return name + strings.TrimSuffix(reason+": "+o.text("status", "message"), ": ")
	}
	phase := o.text("status", "phase")
	if phase == "Succeeded" {
		return ""
	}
	if warning != "" {
		return name + warning
	}
	return name + phase
}

// explainContainer says what holds one container up; "" if nothing does.
func explainContainer(pod, c fields, isInit bool) string {
	if waiting := c.sub("state", "waiting"); waiting != nil {
		text := waiting.text("reason")
		if last := c.sub("lastState", "terminated"); last != nil && text == "CrashLoopBackOff" {
			return fmt.Sprintf("%s after %d restarts: %s", text, c.num(0, "restartCount"), explainExit(pod, c, last))
		}
		if message := waiting.text("message"); message != "" {
			text += ": " + message
		}
		return text
	}
	if ended := c.sub("state", "terminated"); ended != nil {
		if ended.num(0, "exitCode") == 0 {
			if isInit {
				return ""
			}
			return "ended"
		}
		return explainExit(pod, c, ended)
	}
	if !c.flag("ready") && !isInit {
		return "running, not ready yet"
	}
	if isInit && c.running() && !c.flag("ready") {
		return "initializing"
	}
	return ""
}

func (o fields) running() bool { return o.sub("state", "running") != nil }

// explainExit words how a container ended: "OOMKilled, limit 64Mi", "exit code 1".
func explainExit(pod, c, ended fields) string {
	reason := ended.text("reason")
	switch reason {
	case "OOMKilled":
		for _, list := range []string{"containers", "initContainers"} {
			for _, spec := range pod.maps("spec", list) {
				if limit := spec.text("resources", "limits", "memory"); spec.text("name") == c.text("name") && limit != "" {
					return reason + ", limit " + limit
				}
			}
		}
		return reason
	case "", "Error", "Completed":
		reason = fmt.Sprintf("exit code %d", ended.num(0, "exitCode"))
	}
	return strings.TrimSuffix(reason+": "+strings.TrimSpace(ended.text("message")), ": ")
}

func (o fields) sub(path ...string) fields {
	v, _, err := unstructured.NestedFieldNoCopy(o, path...)
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil
	}
	return m
}

func (o fields) flag(path ...string) bool {
	b, _, _ := unstructured.NestedBool(o, path...)
	return b
}

// crashed lists the containers of a pod that ended badly, with the number of the
// restart, so that each end is reported once.
func crashed(pod *unstructured.Unstructured) []crash {
	var out []crash
	o := fieldsOf(pod)
	for _, list := range []string{"initContainerStatuses", "containerStatuses"} {
		for _, c := range o.maps("status", list) {
			restarts := c.num(0, "restartCount")
			switch ended, last := c.sub("state", "terminated"), c.sub("lastState", "terminated"); {
			case ended != nil && ended.num(0, "exitCode") != 0:
				out = append(out, crash{c.text("name"), restarts, false, explainExit(o, c, ended)})
			case last != nil && last.num(0, "exitCode") != 0:
				// The instance that ended is the one before, unless none has
				// started since.
				out = append(out, crash{c.text("name"), restarts, c.running(), explainExit(o, c, last)})
			}
		}
	}
	return out
}

// crash is one bad end of a container.
type crash struct {
	container string
	restarts  int64
	previous  bool // its log is that of the instance before
	how       string
}

// podSelector returns the selector of a workload's pods, or nil for other kinds.
func podSelector(u *unstructured.Unstructured) labels.Selector {
	o := fieldsOf(u)
	var want map[string]string
	switch u.GroupVersionKind().GroupKind().String() {
	case "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "ReplicaSet.apps":
		want, _, _ = unstructured.NestedStringMap(o, "spec", "selector", "matchLabels")
	case "ReplicationController":
		want, _, _ = unstructured.NestedStringMap(o, "spec", "selector")
	case "Job.batch":
		return labels.Set{"batch.kubernetes.io/job-name": u.GetName()}.AsSelector()
	}
	if len(want) == 0 {
		return nil
	}
	return labels.SelectorFromSet(want)
}

// newestFirst orders pods so that the one whose trouble says most comes first: old
// ones are about to go.
func newestFirst(all []*unstructured.Unstructured) {
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i].GetCreationTimestamp(), all[j].GetCreationTimestamp()
		if !a.Equal(&b) {
			return b.Before(&a)
		}
		return all[i].GetName() < all[j].GetName()
	})
}
