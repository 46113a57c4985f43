package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Authorizer decides by RBAC. Every decision reads the present roles and
// bindings, so a change holds for the next request.
type Authorizer struct {
	verbs object.Verbs
}

// NewAuthorizer returns an authorizer over the roles and bindings in v.
func NewAuthorizer(v object.Verbs) *Authorizer { return &Authorizer{verbs: v} }

// Authorize tells whether a is allowed. reason names the binding that allows
// it, or says what is wrong with bindings that might have (a role that does
// not exist). err is set only when the rules cannot be read.
func (z *Authorizer) Authorize(ctx context.Context, a Attributes) (allowed bool, reason string, err error) {
	if a.User.master() {
		return true, "", nil
	}
	var broken []string
	err = z.visit(ctx, a.User, a.Namespace, func(g grant) bool {
		if g.err != nil {
			broken = append(broken, g.err.Error())
			return true
		}
		if slices.ContainsFunc(g.rules, func(r rbacv1.PolicyRule) bool { return allows(&r, &a) }) {
			allowed, reason = true, "RBAC: allowed by "+g.binding
			return false
		}
		return true
	})
	if err != nil {
		return false, "", err
	}
	if !allowed && len(broken) > 0 {
		reason = "RBAC: " + strings.Join(broken, ", ")
	}
	return allowed, reason, nil
}

// Rules returns all rules that u has in a namespace and cluster-wide. Bindings
// whose role does not exist give none.
func (z *Authorizer) Rules(ctx context.Context, u User, namespace string) ([]rbacv1.PolicyRule, error) {
	if u.master() {
		return everything(), nil
	}
	var rules []rbacv1.PolicyRule
	err := z.visit(ctx, u, namespace, func(g grant) bool {
		rules = append(rules, g.rules...)
		return true
	})
	return rules, err
}

// grant is one binding that applies to a user.
type grant struct {
	binding string // for the reason: ClusterRoleBinding "x" of ClusterRole "y" to User "z"
	rules   []rbacv1.PolicyRule
	err     error // the role does not exist
}

// visit calls f for every binding that applies to u in a namespace (and
// cluster-wide), until it returns false.
func (z *Authorizer) visit(ctx context.Context, u User, namespace string, f func(grant) bool) error {
	bindings, err := builtin.ClusterRoleBindings.List(ctx, z.verbs, object.ListOptions{})
	if err != nil {
		return fmt.Errorf("reading cluster role bindings: %w", err)
	}
	for _, b := range bindings {
		if s := match(b.Subjects, u, ""); s != nil && !f(z.grant(ctx, "ClusterRoleBinding", b.Name, "", b.RoleRef, s)) {
			return nil
		}
	}
	if namespace == "" {
		return nil
	}
	local, err := builtin.RoleBindings.List(ctx, z.verbs, object.ListOptions{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("reading role bindings: %w", err)
	}
	for _, b := range local {
		if s := match(b.Subjects, u, namespace); s != nil && !f(z.grant(ctx, "RoleBinding", b.Name, namespace, b.RoleRef, s)) {
			return nil
		}
	}
	return nil
}

func (z *Authorizer) grant(ctx context.Context, kind, name, namespace string, ref rbacv1.RoleRef, s *rbacv1.Subject) grant {
	if namespace != "" {
		name += "/" + namespace
	}
	subject := s.Name
	if s.Namespace != "" {
		subject += "/" + s.Namespace
	}
	g := grant{binding: fmt.Sprintf("%s %q of %s %q to %s %q", kind, name, ref.Kind, ref.Name, s.Kind, subject)}
	g.rules, g.err = z.roleRules(ctx, ref, namespace)
	return g
}

// roleRules returns the rules of a referenced role. Errors: NotFound.
func (z *Authorizer) roleRules(ctx context.Context, ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error) {
	switch ref.Kind {
	case "ClusterRole":
		r, err := builtin.ClusterRoles.Get(ctx, z.verbs, "", ref.Name)
		if err != nil {
			return nil, err
		}
		return r.Rules, nil
	case "Role":
		r, err := builtin.Roles.Get(ctx, z.verbs, namespace, ref.Name)
		if err != nil {
			return nil, err
		}
		return r.Rules, nil
	}
	return nil, apierrors.NewBadRequest(fmt.Sprintf("unsupported role reference kind: %q", ref.Kind))
}

// match returns the first of the subjects that is u. namespace is the
// binding's, which service accounts without one are of.
func match(subjects []rbacv1.Subject, u User, namespace string) *rbacv1.Subject {
	for i := range subjects {
		s := &subjects[i]
		switch s.Kind {
		case rbacv1.UserKind:
			if s.Name == u.Name {
				return s
			}
		case rbacv1.GroupKind:
			if slices.Contains(u.Groups, s.Name) {
				return s
			}
		case rbacv1.ServiceAccountKind:
			ns := s.Namespace
			if ns == "" {
				ns = namespace
			}
			if ns != "" && u.Name == accountUser(ns, s.Name) {
				return s
			}
		}
	}
	return nil
}

// allows tells whether one rule allows what a asks for.
func allows(r *rbacv1.PolicyRule, a *Attributes) bool {
	if !has(r.Verbs, a.Verb) {
		return false
	}
	if !a.ResourceRequest {
		return slices.ContainsFunc(r.NonResourceURLs, func(u string) bool {
			prefix, all := strings.CutSuffix(u, "*")
			return u == a.Path || all && strings.HasPrefix(a.Path, prefix)
		})
	}
	return has(r.APIGroups, a.Group) && hasResource(r.Resources, a.Resource, a.Subresource) &&
		(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, a.Name))
}

// has tells whether a list of a rule contains s or everything.
func has(list []string, s string) bool {
	return slices.Contains(list, s) || slices.Contains(list, "*")
}

// hasResource matches "pods", "pods/log", "*/scale" and "*".
func hasResource(list []string, resource, subresource string) bool {
	if subresource == "" {
		return has(list, resource)
	}
	return has(list, resource+"/"+subresource) || slices.Contains(list, "*/"+subresource)
}
