package table

import (
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
)

// RoleBindingColumns are the columns of role bindings.
func RoleBindingColumns() Columns {
	return bindingColumns(rbacv1.RoleBinding{}.SwaggerDoc()["roleRef"], "roleBinding")
}

// ClusterRoleBindingColumns are the columns of cluster role bindings.
func ClusterRoleBindingColumns() Columns {
	return bindingColumns(rbacv1.ClusterRoleBinding{}.SwaggerDoc()["roleRef"], "clusterRoleBinding")
}

func bindingColumns(role, kind string) Columns {
	return Columns{
		nameColumn(),
		text("Role", role),
		ageColumn(),
		wide(text("Users", "Users in the "+kind)),
		wide(text("Groups", "Groups in the "+kind)),
		wide(text("ServiceAccounts", "ServiceAccounts in the "+kind)),
	}
}

// RoleBindingRow shows a role binding.
func RoleBindingRow(b *rbacv1.RoleBinding, now time.Time) []any {
	return append([]any{b.Name, roleRef(b.RoleRef), age(b.CreationTimestamp, now)}, subjects(b.Subjects)...)
}

// ClusterRoleBindingRow shows a cluster role binding.
func ClusterRoleBindingRow(b *rbacv1.ClusterRoleBinding, now time.Time) []any {
	return append([]any{b.Name, roleRef(b.RoleRef), age(b.CreationTimestamp, now)}, subjects(b.Subjects)...)
}

func roleRef(r rbacv1.RoleRef) string { return r.Kind + "/" + r.Name }

// subjects are the cells for users, groups and service accounts.
func subjects(list []rbacv1.Subject) []any {
	var users, groups, accounts []string
	for _, s := range list {
		switch s.Kind {
		case rbacv1.UserKind:
			users = append(users, s.Name)
		case rbacv1.GroupKind:
			groups = append(groups, s.Name)
		case rbacv1.ServiceAccountKind:
			accounts = append(accounts, s.Namespace+"/"+s.Name)
		}
	}
	return []any{strings.Join(users, ", "), strings.Join(groups, ", "), strings.Join(accounts, ", ")}
}
