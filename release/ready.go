package release

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Phase is how far an object is on its way.
type Phase int

// Phases. Failed is one that the object does not leave by itself.
const (
	Waiting Phase = iota
	Ready
	Failed
)

// State is what there is to say about an object that is waited for.
type State struct {
	Object  Ref
	Phase   Phase
	Message string // "0 of 1 pods ready: pod mysql-0: container mysql: ContainerCreating"
	// Event is the last one about the object or its pods, "Started: Started container
	// mysql"; "" of what is ready.
	Event string
}

// String is "StatefulSet/mysql: 0 of 1 pods ready".
func (s State) String() string {
	if s.Message == "" {
		return s.Object.String()
	}
	return s.Object.String() + ": " + s.Message
}

// goal is what waiting is for.
type goal int

const (
	// goalReady: objects serve; Jobs and finished Pods only have to exist.
	goalReady goal = iota
	// goalJobs: as goalReady, and Jobs are complete.
	goalJobs
	// goalComplete: Jobs and Pods ran to their end, as hooks do.
	goalComplete
)

// assess applies the rules of readiness to one object. They follow kstatus and,
// where that knows nothing of a kind, Helm. It is a pure function.
func assess(u *unstructured.Unstructured, g goal) (Phase, string) {
	if u.GetDeletionTimestamp() != nil {
		return Waiting, "is being deleted"
	}
	gvk := u.GroupVersionKind()
	o := fieldsOf(u)
	switch gvk.GroupKind().String() {
	case "Deployment.apps":
		return assessDeployment(o)
	case "StatefulSet.apps":
		return assessStatefulSet(o)
	case "DaemonSet.apps":
		return assessDaemonSet(o)
	case "ReplicaSet.apps", "ReplicationController":
		if p, text := o.observed(); p != Ready {
			return p, text
		}
		return counted(o.num(0, "status", "readyReplicas"), o.num(1, "spec", "replicas"), "pods ready")
	case "Pod":
		return assessPod(o, g)
	case "Job.batch":
		return assessJob(o, g)
	case "PersistentVolumeClaim":
		if phase := o.text("status", "phase"); phase != "Bound" {
			return Waiting, "not bound to a volume yet"
		}
		return Ready, ""
	case "Service":
		return assessService(o)
	case "Namespace":
		if phase := o.text("status", "phase"); phase == "Terminating" {
			return Waiting, "is being deleted"
		}
		return Ready, ""
	case "CustomResourceDefinition.apiextensions.k8s.io":
		if status, _, text := o.condition("NamesAccepted"); status == "False" {
			return Failed, "names not accepted: " + text
		}
		return o.needs("Established")
	case "APIService.apiregistration.k8s.io":
		return o.needs("Available")
	}
	if builtInGroup(gvk.Group) {
		return Ready, ""
	}
	return assessCustom(o)
}

// builtInGroup tells Kubernetes' own groups, whose other kinds are ready when they
// exist.
func builtInGroup(group string) bool {
	switch group {
	case "", "apps", "batch", "autoscaling", "policy", "extensions":
		return true
	}
	return strings.HasSuffix(group, ".k8s.io")
}

func assessDeployment(o fields) (Phase, string) {
	if paused, _, _ := unstructured.NestedBool(o, "spec", "paused"); paused {
		return Ready, ""
	}
	if p, text := o.observed(); p != Ready {
		return p, text
	}
	if status, reason, text := o.condition("Progressing"); status == "False" && reason == "ProgressDeadlineExceeded" {
		return Failed, text
	}
	want := o.num(1, "spec", "replicas")
	updated, all := o.num(0, "status", "updatedReplicas"), o.num(0, "status", "replicas")
	if updated < want {
		return Waiting, fmt.Sprintf("%d of %d pods updated", updated, want)
	}
	if all > updated {
		return Waiting, fmt.Sprintf("%d old %s still there", all-updated, plural(all-updated, "pod"))
	}
	return counted(o.num(0, "status", "availableReplicas"), want, "pods available")
}

func assessStatefulSet(o fields) (Phase, string) {
	if p, text := o.observed(); p != Ready {
		return p, text
	}
	want := o.num(1, "spec", "replicas")
	if p, text := counted(o.num(0, "status", "readyReplicas"), want, "pods ready"); p != Ready {
		return p, text
	}
	if o.text("spec", "updateStrategy", "type") == "OnDelete" {
		return Ready, ""
	}
	if partition := o.num(0, "spec", "updateStrategy", "rollingUpdate", "partition"); partition > 0 {
		return counted(o.num(0, "status", "updatedReplicas"), max(want-partition, 0), "pods updated")
	}
	if current, update := o.text("status", "currentRevision"), o.text("status", "updateRevision"); current != update {
		return Waiting, fmt.Sprintf("%d of %d pods updated", o.num(0, "status", "updatedReplicas"), want)
	}
	return Ready, ""
}

func assessDaemonSet(o fields) (Phase, string) {
	if p, text := o.observed(); p != Ready {
		return p, text
	}
	want := o.num(0, "status", "desiredNumberScheduled")
	if o.text("spec", "updateStrategy", "type") != "OnDelete" {
		if p, text := counted(o.num(0, "status", "updatedNumberScheduled"), want, "pods updated"); p != Ready {
			return p, text
		}
	}
	return counted(o.num(0, "status", "numberAvailable"), want, "pods available")
}

func assessPod(o fields, g goal) (Phase, string) {
	phase := o.text("status", "phase")
	switch {
	case phase == "Succeeded":
		return Ready, ""
	case phase == "Failed":
		return Failed, "failed"
	case g == goalComplete:
		return Waiting, "running"
	}
	if status, _, _ := o.condition("Ready"); status == "True" {
		return Ready, ""
	}
	return Waiting, "not ready"
}

func assessJob(o fields, g goal) (Phase, string) {
	if status, reason, text := o.condition("Failed"); status == "True" {
		return Failed, strings.TrimSuffix("failed: "+reason+": "+text, ": ")
	}
	if status, _, _ := o.condition("Complete"); status == "True" || g == goalReady {
		return Ready, ""
	}
	return Waiting, fmt.Sprintf("%d of %d completed", o.num(0, "status", "succeeded"), o.num(1, "spec", "completions"))
}

func assessService(o fields) (Phase, string) {
	switch o.text("spec", "type") {
	case "ExternalName":
		return Ready, ""
	case "LoadBalancer":
		ingress, _, _ := unstructured.NestedSlice(o, "status", "loadBalancer", "ingress")
		external, _, _ := unstructured.NestedSlice(o, "spec", "externalIPs")
		if len(ingress) == 0 && len(external) == 0 {
			return Waiting, "no load balancer has given it an address"
		}
	}
	if o.text("spec", "clusterIP") == "" {
		return Waiting, "no cluster address yet"
	}
	return Ready, ""
}

// assessCustom goes by the conditions that custom resources commonly have
// (kstatus' rules): Stalled, Reconciling, Ready. Without any, existing is enough.
func assessCustom(o fields) (Phase, string) {
	if _, found, _ := unstructured.NestedInt64(o, "status", "observedGeneration"); found {
		if p, text := o.observed(); p != Ready {
			return p, text
		}
	}
	if status, reason, text := o.condition("Stalled"); status == "True" {
		return Failed, strings.TrimSuffix(reason+": "+text, ": ")
	}
	if status, reason, text := o.condition("Reconciling"); status == "True" {
		return Waiting, strings.TrimSuffix(reason+": "+text, ": ")
	}
	for _, name := range []string{"Ready", "Available"} {
		if status, reason, text := o.condition(name); status != "" {
			if status == "True" {
				return Ready, ""
			}
			return Waiting, strings.TrimSuffix(reason+": "+text, ": ")
		}
	}
	return Ready, ""
}

func counted(have, want int64, what string) (Phase, string) {
	if have >= want {
		return Ready, ""
	}
	return Waiting, fmt.Sprintf("%d of %d %s", have, want, what)
}

func plural(n int64, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// fields reads an object's content.
type fields map[string]any

func fieldsOf(u *unstructured.Unstructured) fields { return u.Object }

func (o fields) text(path ...string) string {
	s, _, _ := unstructured.NestedString(o, path...)
	return s
}

func (o fields) num(missing int64, path ...string) int64 {
	n, found, err := unstructured.NestedInt64(o, path...)
	if !found || err != nil {
		return missing
	}
	return n
}

// observed is Ready when the controller has seen the object's last change.
func (o fields) observed() (Phase, string) {
	if o.num(0, "status", "observedGeneration") < o.num(0, "metadata", "generation") {
		return Waiting, "its controller has not seen it yet"
	}
	return Ready, ""
}

// condition returns one of status.conditions, or "".
func (o fields) condition(name string) (status, reason, message string) {
	for _, c := range o.maps("status", "conditions") {
		if c.text("type") == name {
			return c.text("status"), c.text("reason"), c.text("message")
		}
	}
	return "", "", ""
}

func (o fields) needs(condition string) (Phase, string) {
	status, _, text := o.condition(condition)
	if status == "True" {
		return Ready, ""
	}
	return Waiting, strings.TrimSuffix("not "+strings.ToLower(condition)+": "+text, ": ")
}

// table returns a table, shared with the object; nil if there is none.
func (o fields) table(path ...string) fields {
	v, _, err := unstructured.NestedFieldNoCopy(o, path...)
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil
	}
	return m
}

// names tells whether a list of texts has one.
func (o fields) names(list, text string) bool {
	v, _, err := unstructured.NestedFieldNoCopy(o, list)
	all, _ := v.([]any)
	return err == nil && slices.Contains(all, any(text))
}

// maps returns a list of tables, shared with the object.
func (o fields) maps(path ...string) []fields {
	v, _, err := unstructured.NestedFieldNoCopy(o, path...)
	list, ok := v.([]any)
	if err != nil || !ok {
		return nil
	}
	var out []fields
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}
