package validate

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Role checks a role.
func Role(r *rbacv1.Role) field.ErrorList { return rules(r.Rules, true) }

// ClusterRole checks a cluster role.
func ClusterRole(r *rbacv1.ClusterRole) field.ErrorList {
	errs := rules(r.Rules, false)
	if r.AggregationRule == nil {
		return errs
	}
	at := field.NewPath("aggregationRule", "clusterRoleSelectors")
	if len(r.AggregationRule.ClusterRoleSelectors) == 0 {
		return append(errs, field.Required(at, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
	}
	for i := range r.AggregationRule.ClusterRoleSelectors {
		errs = append(errs, labelSelector(at.Index(i), &r.AggregationRule.ClusterRoleSelectors[i])...)
	}
	return errs
}

func rules(list []rbacv1.PolicyRule, namespaced bool) errors {
	var errs errors
	for i, r := range list {
		at := field.NewPath("rules").Index(i)
		if len(r.Verbs) == 0 {
			errs = append(errs, field.Required(at.Child("verbs"), "verbs must contain at least one value"))
		}
		if len(r.NonResourceURLs) > 0 {
			if namespaced {
				errs = append(errs, field.Invalid(at.Child("nonResourceURLs"), r.NonResourceURLs, "namespaced rules cannot apply to non-resource URLs"))
			}
			if len(r.APIGroups) > 0 || len(r.Resources) > 0 || len(r.ResourceNames) > 0 {
				errs = append(errs, field.Invalid(at.Child("nonResourceURLs"), r.NonResourceURLs,
					"rules cannot apply to both regular resources and non-resource URLs"))
			}
			continue
		}
		if len(r.APIGroups) == 0 {
			errs = append(errs, field.Required(at.Child("apiGroups"), "resource rules must supply at least one api group"))
		}
		if len(r.Resources) == 0 {
			errs = append(errs, field.Required(at.Child("resources"), "resource rules must supply at least one resource"))
		}
	}
	return errs
}

// RoleBinding checks a role binding.
func RoleBinding(b *rbacv1.RoleBinding) field.ErrorList {
	return append(roleRef(b.RoleRef, "Role", "ClusterRole"), subjects(b.Subjects, true)...)
}

// ClusterRoleBinding checks a cluster role binding.
func ClusterRoleBinding(b *rbacv1.ClusterRoleBinding) field.ErrorList {
	return append(roleRef(b.RoleRef, "ClusterRole"), subjects(b.Subjects, false)...)
}

func roleRef(r rbacv1.RoleRef, kinds ...string) errors {
	p := field.NewPath("roleRef")
	var errs errors
	if r.APIGroup != rbacv1.GroupName {
		errs = append(errs, field.NotSupported(p.Child("apiGroup"), r.APIGroup, []string{rbacv1.GroupName}))
	}
	found := false
	for _, k := range kinds {
		found = found || r.Kind == k
	}
	if !found {
		errs = append(errs, field.NotSupported(p.Child("kind"), r.Kind, kinds))
	}
	if r.Name == "" {
		return append(errs, field.Required(p.Child("name"), ""))
	}
	return append(errs, each(p.Child("name"), r.Name, path.ValidatePathSegmentName(r.Name, false))...)
}

// subjects checks whom a binding is for. In a namespace, a service account
// without one is of that namespace.
func subjects(list []rbacv1.Subject, namespaced bool) errors {
	var errs errors
	for i, s := range list {
		at := field.NewPath("subjects").Index(i)
		errs = append(errs, required(at.Child("name"), s.Name)...)
		switch s.Kind {
		case rbacv1.ServiceAccountKind:
			if s.Name != "" {
				errs = append(errs, dnsSubdomain(at.Child("name"), s.Name)...)
			}
			if s.APIGroup != "" {
				errs = append(errs, field.NotSupported(at.Child("apiGroup"), s.APIGroup, []string{""}))
			}
			if !namespaced {
				errs = append(errs, required(at.Child("namespace"), s.Namespace)...)
			}
		case rbacv1.UserKind, rbacv1.GroupKind:
			if s.APIGroup != rbacv1.GroupName {
				errs = append(errs, field.NotSupported(at.Child("apiGroup"), s.APIGroup, []string{rbacv1.GroupName}))
			}
		default:
			errs = append(errs, field.NotSupported(at.Child("kind"), s.Kind,
				[]string{rbacv1.ServiceAccountKind, rbacv1.UserKind, rbacv1.GroupKind}))
		}
	}
	return errs
}

// RoleBindingUpdate checks a change: a binding stays with its role.
func RoleBindingUpdate(b, old *rbacv1.RoleBinding) field.ErrorList {
	return sameRole(b.RoleRef, old.RoleRef)
}

// ClusterRoleBindingUpdate checks a change: a binding stays with its role.
func ClusterRoleBindingUpdate(b, old *rbacv1.ClusterRoleBinding) field.ErrorList {
	return sameRole(b.RoleRef, old.RoleRef)
}

func sameRole(r, old rbacv1.RoleRef) errors {
	if r != old {
		return errors{field.Invalid(field.NewPath("roleRef"), r, "cannot change roleRef")}
	}
	return nil
}
