package manifest

import (
	"encoding/json"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/object"
)

// world is what the documents bring into being together.
type world struct {
	objects []located
	pods    []podTemplate
	names   map[name]bool
	// foreign objects may make pods and Secrets that nobody sees here.
	foreign bool
}

// located is an object with its place in the input.
type located struct {
	place
	object.Object
}

type name struct{ kind, namespace, name string }

// podTemplate is a Pod, or what one is made from.
type podTemplate struct {
	place
	owner     string // "Deployment web"
	namespace string
	labels    labels.Set
	path      string // of spec in the owner, "spec.template.spec"
	spec      *corev1.PodSpec
	claims    map[string]bool // names of volumes that a StatefulSet's claims replace
}

func newWorld() *world { return &world{names: map[name]bool{}} }

// add takes note of an object that the cluster understands.
func (w *world) add(p place, o object.Object) {
	w.objects = append(w.objects, located{p, o})
	w.names[name{kindOf(o), o.GetNamespace(), o.GetName()}] = true
	pod := func(t *corev1.PodTemplateSpec, path string) {
		if t != nil {
			w.pods = append(w.pods, podTemplate{p, kindOf(o) + " " + o.GetName(), o.GetNamespace(), t.Labels, path, &t.Spec, nil})
		}
	}
	switch o := o.(type) {
	case *corev1.Pod:
		pod(&corev1.PodTemplateSpec{ObjectMeta: o.ObjectMeta, Spec: o.Spec}, "spec")
	case *corev1.ReplicationController:
		pod(o.Spec.Template, "spec.template.spec")
	case *corev1.PodTemplate:
		pod(&o.Template, "template.spec")
	case *appsv1.Deployment:
		pod(&o.Spec.Template, "spec.template.spec")
	case *appsv1.ReplicaSet:
		pod(&o.Spec.Template, "spec.template.spec")
	case *appsv1.DaemonSet:
		pod(&o.Spec.Template, "spec.template.spec")
	case *appsv1.StatefulSet:
		t := o.Spec.Template
		t.Labels = maps.Clone(t.Labels)
		if t.Labels == nil {
			t.Labels = map[string]string{}
		}
		for _, given := range []string{appsv1.StatefulSetPodNameLabel, appsv1.PodIndexLabel} {
			t.Labels[given] = anyValue // set by the controller, on each pod another
		}
		pod(&t, "spec.template.spec")
		claims := map[string]bool{}
		for _, claim := range o.Spec.VolumeClaimTemplates {
			claims[claim.Name] = true
		}
		w.pods[len(w.pods)-1].claims = claims
	case *batchv1.Job:
		pod(&o.Spec.Template, "spec.template.spec")
	case *batchv1.CronJob:
		pod(&o.Spec.JobTemplate.Spec.Template, "spec.jobTemplate.spec.template.spec")
	}
}

// anyValue stands for a label whose value only the cluster knows.
const anyValue = "*"

// addForeign takes note of an object of a kind that is not known, or that cannot be
// read: it may bring what it names as a Secret or a workload.
func (w *world) addForeign(doc []byte, namespace string) {
	var o struct {
		Kind     string
		Metadata metav1.ObjectMeta
		Spec     json.RawMessage
	}
	if json.Unmarshal(doc, &o) != nil {
		return
	}
	w.foreign = true
	if o.Metadata.Namespace != "" {
		namespace = o.Metadata.Namespace
	}
	w.names[name{o.Kind, namespace, o.Metadata.Name}] = true
	for _, made := range []string{"Secret", "ConfigMap"} { // SealedSecret and its like
		w.names[name{made, namespace, o.Metadata.Name}] = true
	}
	var spec any
	if json.Unmarshal(o.Spec, &spec) == nil {
		w.addNamed(spec, namespace)
	}
}

// addNamed notes the Secrets that a custom resource names: cert-manager's
// spec.secretName, External Secrets' spec.target.name.
func (w *world) addNamed(v any, namespace string) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if text, ok := value.(string); ok && (key == "secretName" || key == "name") {
				w.names[name{"Secret", namespace, text}] = true
			}
			w.addNamed(value, namespace)
		}
	case []any:
		for _, value := range v {
			w.addNamed(value, namespace)
		}
	}
}

// has tells whether the documents make an object.
func (w *world) has(kind, namespace, n string) bool { return w.names[name{kind, namespace, n}] }

// selected returns the pod templates of a namespace that a selector takes.
func (w *world) selected(namespace string, s labels.Selector) []podTemplate {
	var out []podTemplate
	for _, p := range w.pods {
		if p.namespace == namespace && s.Matches(p.labelsFor(s)) {
			out = append(out, p)
		}
	}
	return out
}

// labelsFor is the template's labels, with whatever value the selector wants for
// those that the cluster sets.
func (p podTemplate) labelsFor(s labels.Selector) labels.Set {
	requirements, _ := s.Requirements()
	out := p.labels
	for _, r := range requirements {
		if out[r.Key()] != anyValue {
			continue
		}
		if values := r.Values().UnsortedList(); len(values) > 0 {
			out = labels.Merge(out, labels.Set{r.Key(): values[0]})
		}
	}
	return out
}
