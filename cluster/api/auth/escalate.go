package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	rbac "k8s.io/component-helpers/auth/rbac/validation"

	"github.com/seed38700745/pkg/cluster/object"
)

// CheckEscalation refuses writes of roles and bindings that would give away
// more than u itself may do. old is the stored object of an update, or nil.
// Objects of other kinds pass. Errors: Forbidden, in Kubernetes' wording;
// NotFound, when a binding's role does not exist and u may not bind it.
func (z *Authorizer) CheckEscalation(ctx context.Context, u User, o, old object.Object) error {
	if u.master() {
		return nil
	}
	switch o := o.(type) {
	case *rbacv1.Role:
		if before, ok := old.(*rbacv1.Role); ok && equality.Semantic.DeepEqual(o.Rules, before.Rules) {
			return nil
		}
		return z.checkRole(ctx, u, "roles", o.Namespace, o.Name, o.Rules)
	case *rbacv1.ClusterRole:
		before, ok := old.(*rbacv1.ClusterRole)
		sameRule := ok && equality.Semantic.DeepEqual(o.AggregationRule, before.AggregationRule)
		if ok && sameRule && equality.Semantic.DeepEqual(o.Rules, before.Rules) {
			return nil
		}
		if o.AggregationRule != nil && !sameRule {
			// Whoever labels roles later decides what this one allows.
			if err := z.covers(ctx, u, "", everything()); err != nil {
				return apierrors.NewForbidden(rbacv1.Resource("clusterroles"), o.Name, errors.New("must have cluster-admin privileges to use an aggregationRule"))
			}
		}
		return z.checkRole(ctx, u, "clusterroles", "", o.Name, o.Rules)
	case *rbacv1.RoleBinding:
		if before, ok := old.(*rbacv1.RoleBinding); ok && o.RoleRef == before.RoleRef && slices.Equal(o.Subjects, before.Subjects) {
			return nil
		}
		return z.checkBinding(ctx, u, "rolebindings", o.Namespace, o.Name, o.RoleRef)
	case *rbacv1.ClusterRoleBinding:
		if before, ok := old.(*rbacv1.ClusterRoleBinding); ok && o.RoleRef == before.RoleRef && slices.Equal(o.Subjects, before.Subjects) {
			return nil
		}
		return z.checkBinding(ctx, u, "clusterrolebindings", "", o.Name, o.RoleRef)
	}
	return nil
}

// checkRole allows u to write rules when it holds them or may escalate.
func (z *Authorizer) checkRole(ctx context.Context, u User, resource, namespace, name string, rules []rbacv1.PolicyRule) error {
	may, _, err := z.Authorize(ctx, Attributes{User: u, Verb: "escalate", Group: rbacGroup, Version: "v1",
		Resource: resource, Namespace: namespace, Name: name, ResourceRequest: true})
	if err != nil || may {
		return err
	}
	if err := z.covers(ctx, u, namespace, rules); err != nil {
		return apierrors.NewForbidden(rbacv1.Resource(resource), name, err)
	}
	return nil
}

// checkBinding allows u to bind a role when it holds the role's rules or may
// bind the role.
func (z *Authorizer) checkBinding(ctx context.Context, u User, resource, namespace, name string, ref rbacv1.RoleRef) error {
	role := strings.ToLower(ref.Kind) + "s"
	may, _, err := z.Authorize(ctx, Attributes{User: u, Verb: "bind", Group: rbacGroup, Version: "v1",
		Resource: role, Namespace: namespace, Name: ref.Name, ResourceRequest: true})
	if err != nil || may {
		return err
	}
	rules, err := z.roleRules(ctx, ref, namespace)
	if err != nil {
		return err
	}
	if err := z.covers(ctx, u, namespace, rules); err != nil {
		return apierrors.NewForbidden(rbacv1.Resource(resource), name, err)
	}
	return nil
}

// covers reports which of the wanted rules u does not hold.
func (z *Authorizer) covers(ctx context.Context, u User, namespace string, wanted []rbacv1.PolicyRule) error {
	held, err := z.Rules(ctx, u, namespace)
	if err != nil {
		return err
	}
	ok, missing := rbac.Covers(held, wanted)
	if ok {
		return nil
	}
	lines := map[string]bool{}
	for _, r := range compact(missing) {
		lines[describe(r)] = true
	}
	sorted := make([]string, 0, len(lines))
	for l := range lines {
		sorted = append(sorted, l)
	}
	slices.Sort(sorted)
	return fmt.Errorf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s", u.Name, u.Groups, strings.Join(sorted, "\n"))
}

// compact joins rules of one group, resource and name that differ in verbs.
func compact(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for _, r := range rules {
		i := slices.IndexFunc(out, func(o rbacv1.PolicyRule) bool {
			return slices.Equal(o.APIGroups, r.APIGroups) && slices.Equal(o.Resources, r.Resources) &&
				slices.Equal(o.ResourceNames, r.ResourceNames) && slices.Equal(o.NonResourceURLs, r.NonResourceURLs)
		})
		if i < 0 {
			out = append(out, *r.DeepCopy())
		} else {
			out[i].Verbs = append(out[i].Verbs, r.Verbs...)
		}
	}
	return out
}

// describe prints a rule as Kubernetes does in messages.
func describe(r rbacv1.PolicyRule) string {
	var parts []string
	for _, p := range []struct {
		name string
		list []string
	}{{"APIGroups", r.APIGroups}, {"Resources", r.Resources}, {"NonResourceURLs", r.NonResourceURLs}, {"ResourceNames", r.ResourceNames}, {"Verbs", r.Verbs}} {
		if len(p.list) > 0 {
			parts = append(parts, fmt.Sprintf("%s:%q", p.name, p.list))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// everything is what cluster-admin allows.
func everything() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}},
		{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}},
	}
}
