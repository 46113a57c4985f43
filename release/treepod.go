package release

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/seed38700745/pkg/cluster/object"
)

// pod adds a pod's state, its containers and its claims.
func (f *forest) pod(b *Branch, u *unstructured.Unstructured) {
	o := fieldsOf(u)
	b.Cause = ""
	if u.GetDeletionTimestamp() != nil {
		b.Phase, b.Cause = Waiting, "is ending"
	} else if status, reason, text := o.condition("PodScheduled"); status == "False" {
		b.Cause = strings.TrimSuffix(reason+": "+text, ": ")
	} else if reason := o.text("status", "reason"); reason != "" {
		b.Cause = strings.TrimSuffix(reason+": "+o.text("status", "message"), ": ")
	}
	warning := f.warnings[u.GetUID()]
	for _, list := range []struct{ status, spec string }{{"initContainerStatuses", "initContainers"}, {"containerStatuses", "containers"}} {
		isInit := list.spec == "initContainers"
		for _, c := range o.maps("status", list.status) {
			k := containerBranch(o, c, list.spec)
			if isInit && k.Phase == Ready && !c.running() {
				continue // it has done its work
			}
			if last := c.sub("lastState", "terminated"); k.Phase != Ready && c.running() && last != nil && last.num(0, "exitCode") != 0 {
				k.Cause += "; before: " + explainExit(o, c, last)
			} else if k.Phase != Ready && c.running() && warning != "" {
				k.Cause += ": " + warning
			}
			b.Children = append(b.Children, k)
		}
	}
	for _, v := range o.maps("spec", "volumes") {
		name := v.text("persistentVolumeClaim", "claimName")
		if v.sub("ephemeral") != nil {
			name = u.GetName() + "-" + v.text("name")
		}
		if name == "" {
			continue
		}
		claim := f.claims[object.Key{Namespace: u.GetNamespace(), Name: name}]
		if claim == nil {
			b.Children = append(b.Children, &Branch{Name: "PersistentVolumeClaim/" + name, Phase: Failed, Cause: "is not there"})
		} else if f.objects[refOf(claim)] == nil { // else it is an object of the release itself
			b.Children = append(b.Children, f.branch(claim))
		}
	}
	if b.Phase != Ready && b.Cause == "" && firstCause(b.Children) == "" {
		b.Cause = warning
	}
}

// containerBranch is one container by its status; spec names the list of its
// specification.
func containerBranch(pod, c fields, spec string) *Branch {
	isInit := spec == "initContainers"
	name := "container "
	if isInit {
		name = "init container "
	}
	b := &Branch{Name: name + c.text("name"), Phase: Ready, Facts: []string{shortImage(c.text("image"))}}
	if b.Cause = explainContainer(pod, c, isInit); b.Cause != "" {
		b.Phase = Waiting
		if ended := c.sub("state", "terminated"); ended != nil && ended.num(0, "exitCode") == 0 {
			b.Phase = Ready // done
			b.Facts, b.Cause = append(b.Facts, "done"), ""
		}
	}
	for _, s := range pod.maps("spec", spec) {
		if limit := s.text("resources", "limits", "memory"); s.text("name") == c.text("name") && limit != "" {
			b.Facts = append(b.Facts, "memory limit "+limit)
		}
	}
	if n := c.num(0, "restartCount"); n > 0 {
		text := fmt.Sprintf("%d %s", n, plural(n, "restart"))
		if last := c.sub("lastState", "terminated"); last != nil && b.Phase == Ready {
			text += ", the last one after " + explainExit(pod, c, last)
		}
		b.Facts = append(b.Facts, text)
	}
	if started, err := time.Parse(time.RFC3339, c.text("state", "running", "startedAt")); err == nil {
		b.Created = started
	}
	return b
}

// shortImage leaves out what every image of the default registry has.
func shortImage(name string) string {
	name = strings.TrimPrefix(name, "docker.io/")
	return strings.TrimPrefix(name, "library/")
}

// service adds where a Service answers and who stands behind it.
func (f *forest) service(b *Branch, u *unstructured.Unstructured) {
	o := fieldsOf(u)
	if o.text("spec", "type") == "ExternalName" || o.sub("spec", "selector") == nil {
		return
	}
	var ready []string
	others := 0
	for _, s := range f.slices[object.KeyOf(u)] {
		slice := fieldsOf(s)
		for _, e := range slice.maps("endpoints") {
			addresses, _, _ := unstructured.NestedStringSlice(e, "addresses")
			if is, found, _ := unstructured.NestedBool(e, "conditions", "ready"); found && !is {
				others++
				continue
			}
			ready = append(ready, addresses...)
		}
	}
	const most = 3
	switch n := len(ready); {
	case n == 0 && others == 0:
		b.Phase, b.Cause = Waiting, "no pod has its labels"
	case n == 0:
		b.Phase, b.Cause = Waiting, fmt.Sprintf("none of its %d %s is ready", others, plural(int64(others), "pod"))
	default:
		text := "to " + strings.Join(ready[:min(n, most)], ", ")
		if n > most {
			text += fmt.Sprintf(" and %d more", n-most)
		}
		if others > 0 {
			text += fmt.Sprintf(" (%d not ready)", others)
		}
		b.Facts = append(b.Facts, text)
	}
}
