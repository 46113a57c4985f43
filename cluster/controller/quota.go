package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
	"github.com/seed38700745/pkg/cluster/object/quota"
)

// quotaRecheck is how often a quota is counted again that limits objects of
// kinds whose changes are not followed.
const quotaRecheck = time.Minute

// quotas fills the status of ResourceQuotas, which users read; the API counts for
// itself when it refuses what goes beyond one. Its keys are namespaces.
type quotas struct{ *Set }

func newQuotas(s *Set) *quotas { return &quotas{s} }

func (c *quotas) loop() *loop {
	l := &loop{name: "resourcequota", reconcile: c.reconcile, sources: []source{
		{builtin.ResourceQuotas.Resource, func(ch change) []object.Key { return namespaceKey(ch) }},
	}}
	for _, r := range followedByQuotas() {
		l.sources = append(l.sources, source{r, func(ch change) []object.Key {
			if ch.old != nil && ch.new != nil && equality.Semantic.DeepEqual(quota.Usage(r, ch.old), quota.Usage(r, ch.new)) {
				return nil
			}
			return namespaceKey(ch)
		}})
	}
	return l
}

// followedByQuotas are the kinds whose changes are seen at once.
func followedByQuotas() []object.Resource {
	return []object.Resource{
		builtin.Pods.Resource, builtin.Services.Resource, builtin.PersistentVolumeClaims.Resource, builtin.ConfigMaps.Resource,
		builtin.Secrets.Resource, builtin.ReplicationControllers.Resource, builtin.Deployments.Resource,
		builtin.ReplicaSets.Resource, builtin.StatefulSets.Resource, builtin.Jobs.Resource, builtin.CronJobs.Resource,
	}
}

func namespaceKey(ch change) []object.Key {
	return []object.Key{{Name: ch.latest().GetNamespace()}}
}

func (c *quotas) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	all, err := builtin.ResourceQuotas.List(ctx, c.verbs, object.ListOptions{Namespace: k.Name})
	if err != nil {
		return 0, fmt.Errorf("list quotas of namespace %s: %w", k.Name, err)
	}
	again := time.Duration(0)
	followed := map[object.Resource]bool{builtin.ResourceQuotas.Resource: true}
	for _, r := range followedByQuotas() {
		followed[r] = true
	}
	for _, q := range all {
		resources := map[object.Resource]bool{}
		for name := range q.Spec.Hard {
			r := quota.Resource(name)
			resources[r] = true
			if !followed[r] {
				again = quotaRecheck
			}
		}
		var objects []counted
		for r := range resources {
			l, err := c.verbs.List(ctx, r, object.ListOptions{Namespace: k.Name})
			if err != nil {
				continue // a kind that the cluster does not have (yet)
			}
			for _, o := range l.Items {
				objects = append(objects, counted{r, o})
			}
		}
		status := quotaStatus(q, objects)
		if equality.Semantic.DeepEqual(status, q.Status) {
			continue
		}
		changed := q.DeepCopy()
		changed.Status = status
		if _, err := builtin.ResourceQuotas.UpdateStatus(ctx, c.verbs, changed, write()); ignoreNotFound(err) != nil {
			return 0, fmt.Errorf("status of quota %s: %w", object.KeyOf(q), err)
		}
	}
	return again, nil
}

// counted is an object that may use something of a quota.
type counted struct {
	resource object.Resource
	object   object.Object
}

// quotaStatus counts what is used of a quota, 0 of what nobody uses. Pure.
func quotaStatus(q *corev1.ResourceQuota, objects []counted) corev1.ResourceQuotaStatus {
	sum := corev1.ResourceList{}
	for _, o := range objects {
		if quota.Covers(q, o.resource, o.object) {
			quota.Add(sum, quota.Usage(o.resource, o.object))
		}
	}
	s := corev1.ResourceQuotaStatus{Hard: q.Spec.Hard.DeepCopy(), Used: corev1.ResourceList{}}
	for name, hard := range q.Spec.Hard {
		used := sum[name]
		if used.IsZero() {
			used = hard.DeepCopy() // in the format of the limit: 0, 0Mi
			used.Sub(hard)
		}
		s.Used[name] = used
	}
	return s
}
