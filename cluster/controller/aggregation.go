package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// aggregator is the field manager of aggregated rules, as in Kubernetes.
const aggregator = "clusterrole-aggregation-controller"

// aggregation fills in the rules of ClusterRoles that are made of others:
// those that an aggregationRule's selectors choose.
type aggregation struct{ *Set }

func newAggregation(s *Set) *aggregation { return &aggregation{s} }

func (c *aggregation) loop() *loop {
	return &loop{
		name: "aggregation",
		sources: []source{{builtin.ClusterRoles.Resource, func(change) []object.Key {
			all, err := builtin.ClusterRoles.List(context.Background(), c.verbs, object.ListOptions{})
			if err != nil {
				return nil
			}
			var keys []object.Key
			for _, r := range all {
				if r.AggregationRule != nil {
					keys = append(keys, object.KeyOf(r))
				}
			}
			return keys
		}}},
		reconcile: c.reconcile,
	}
}

func (c *aggregation) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	role, err := builtin.ClusterRoles.Get(ctx, c.verbs, "", k.Name)
	if err != nil || role.AggregationRule == nil {
		return 0, ignoreNotFound(err)
	}
	all, err := builtin.ClusterRoles.List(ctx, c.verbs, object.ListOptions{})
	if err != nil {
		return 0, fmt.Errorf("list cluster roles: %w", err)
	}
	rules := aggregated(role, all)
	if equality.Semantic.DeepEqual(rules, role.Rules) {
		return 0, nil
	}
	changed := role.DeepCopy()
	changed.Rules = rules
	_, err = builtin.ClusterRoles.Update(ctx, c.verbs, changed, object.WriteOptions{FieldManager: aggregator})
	return 0, ignoreNotFound(err)
}

// aggregated joins the rules of the chosen roles, by name, each once. Pure.
func aggregated(role *rbacv1.ClusterRole, all []*rbacv1.ClusterRole) []rbacv1.PolicyRule {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b *rbacv1.ClusterRole) int { return cmp.Compare(a.Name, b.Name) })
	var rules []rbacv1.PolicyRule
	for _, s := range role.AggregationRule.ClusterRoleSelectors {
		selector := selectorOf(&s)
		for _, r := range all {
			if r.Name == role.Name || !selector.Matches(labels.Set(r.Labels)) {
				continue
			}
			for _, rule := range r.Rules {
				if !slices.ContainsFunc(rules, func(have rbacv1.PolicyRule) bool { return equality.Semantic.DeepEqual(have, rule) }) {
					rules = append(rules, rule)
				}
			}
		}
	}
	return rules
}
