package auth

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// aggregator is the field manager of aggregated rules, Kubernetes' name.
const aggregator = "clusterrole-aggregation-controller"

// Aggregate writes the rules of every ClusterRole that has an aggregationRule:
// those of the ClusterRoles whose labels it selects. Roles that aggregate each
// other (edit into admin) settle within one call.
func Aggregate(ctx context.Context, v object.Verbs) error {
	for changed := true; changed; {
		changed = false
		roles, err := builtin.ClusterRoles.List(ctx, v, object.ListOptions{})
		if err != nil {
			return fmt.Errorf("cluster role aggregation: %w", err)
		}
		for _, r := range roles {
			if r.AggregationRule == nil {
				continue
			}
			rules, err := aggregated(r, roles)
			if err != nil {
				return fmt.Errorf("cluster role %s: %w", r.Name, err)
			}
			if equality.Semantic.DeepEqual(rules, r.Rules) {
				continue
			}
			next := r.DeepCopy()
			next.Rules = rules
			_, err = builtin.ClusterRoles.Update(ctx, v, next, object.WriteOptions{FieldManager: aggregator})
			if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				return fmt.Errorf("cluster role %s: %w", r.Name, err)
			}
			changed = true
		}
	}
	return nil
}

// aggregated computes the rules of role r from all roles (sorted by name),
// each rule once.
func aggregated(r *rbacv1.ClusterRole, roles []*rbacv1.ClusterRole) ([]rbacv1.PolicyRule, error) {
	var rules []rbacv1.PolicyRule
	for i := range r.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&r.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			return nil, fmt.Errorf("aggregationRule: %w", err)
		}
		for _, other := range roles {
			if other.Name == r.Name || !selector.Matches(labels.Set(other.Labels)) {
				continue
			}
			for _, rule := range other.Rules {
				if !containsRule(rules, rule) {
					rules = append(rules, rule)
				}
			}
		}
	}
	return rules, nil
}

func containsRule(rules []rbacv1.PolicyRule, r rbacv1.PolicyRule) bool {
	for i := range rules {
		if equality.Semantic.DeepEqual(rules[i], r) {
			return true
		}
	}
	return false
}

// RunAggregation keeps aggregated roles up to date until ctx ends. Errors of
// single rounds go to report, which may be nil; the next change tries again.
func RunAggregation(ctx context.Context, v object.Verbs, report func(error)) error {
	synced := false
	round := func() {
		if err := Aggregate(ctx, v); err != nil && ctx.Err() == nil && report != nil {
			report(err)
		}
	}
	return builtin.ClusterRoles.Follow(ctx, v, object.WatchOptions{},
		func(*rbacv1.ClusterRole, bool) {
			if synced {
				round()
			}
		},
		func() {
			synced = true
			round()
		})
}
