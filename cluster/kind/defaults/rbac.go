package defaults

import (
	rbacv1 "k8s.io/api/rbac/v1"
)

// RoleBinding defaults the API groups of references.
func RoleBinding(b *rbacv1.RoleBinding) {
	set(&b.RoleRef.APIGroup, rbacv1.GroupName)
	subjects(b.Subjects)
}

// ClusterRoleBinding defaults the API groups of references.
func ClusterRoleBinding(b *rbacv1.ClusterRoleBinding) {
	set(&b.RoleRef.APIGroup, rbacv1.GroupName)
	subjects(b.Subjects)
}

// subjects: service accounts are in the core group, which is "".
func subjects(list []rbacv1.Subject) {
	for i := range list {
		if k := list[i].Kind; k == rbacv1.UserKind || k == rbacv1.GroupKind {
			set(&list[i].APIGroup, rbacv1.GroupName)
		}
	}
}
