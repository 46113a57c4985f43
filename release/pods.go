package release

import (
	"context"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/object"
)

// Pods tells which pods are a release's: those that its workloads select, and Pods
// of its own. Hooks' pods are none of them.
type Pods struct {
	Namespaces []string // where they may be, sorted
	rules      []podRule
}

// podRule is one workload.
type podRule struct {
	namespace string
	name      string          // of a Pod
	selector  labels.Selector // of a workload
	jobs      *regexp.Regexp  // of a CronJob: the names of its Jobs
}

// jobNameLabel is what pods of a Job have.
const jobNameLabel = "batch.kubernetes.io/job-name"

// Pods reads a release's manifest.
func (r *Releases) Pods(ctx context.Context, rel *Release) (*Pods, error) {
	items, err := load(ctx, r.Cluster, rel.Namespace, rel.Manifest, func(*Item, error) {})
	if err != nil {
		return nil, err
	}
	p := &Pods{}
	for _, i := range items {
		rule := podRule{namespace: i.Namespace}
		switch {
		case i.Kind == "Pod" && i.Group == "":
			rule.name = i.Name
		case i.Kind == "CronJob" && i.Group == "batch":
			rule.jobs = regexp.MustCompile("^" + regexp.QuoteMeta(i.Name) + "-[0-9]+$")
		default:
			if rule.selector = podSelector(i.Body); rule.selector == nil {
				continue
			}
		}
		p.rules = append(p.rules, rule)
		if !slices.Contains(p.Namespaces, i.Namespace) {
			p.Namespaces = append(p.Namespaces, i.Namespace)
		}
	}
	slices.Sort(p.Namespaces)
	return p, nil
}

// Has tells whether a pod belongs to the release.
func (p *Pods) Has(o object.Object) bool {
	if _, ok := o.(*unstructured.Unstructured); !ok {
		return false
	}
	set := labels.Set(o.GetLabels())
	return slices.ContainsFunc(p.rules, func(r podRule) bool {
		switch {
		case r.namespace != o.GetNamespace():
			return false
		case r.name != "":
			return r.name == o.GetName()
		case r.jobs != nil:
			return r.jobs.MatchString(set[jobNameLabel])
		}
		return r.selector.Matches(set)
	})
}
