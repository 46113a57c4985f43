package kind

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"

	"github.com/seed38700745/pkg/cluster/kind/defaults"
	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

// The names of RBAC, such as "system:node", need only be a path segment.

func role() *Kind {
	k := defineNamespaced[rbacv1.Role, rbacv1.RoleList](rbacv1.SchemeGroupVersion, "Role", "roles")
	k.Acted = true
	k.ValidateName = path.ValidatePathSegmentName
	k.Columns, k.Row = createdTable()
	k.Validate = check(validate.Role)
	return k
}

func roleBinding() *Kind {
	k := defineNamespaced[rbacv1.RoleBinding, rbacv1.RoleBindingList](rbacv1.SchemeGroupVersion, "RoleBinding", "rolebindings")
	k.Acted = true
	k.ValidateName = path.ValidatePathSegmentName
	k.Default = on(defaults.RoleBinding)
	k.Columns, k.Row = table.RoleBindingColumns(), row(table.RoleBindingRow)
	k.Validate = check(validate.RoleBinding)
	k.ValidateUpdate = checkBoth(validate.RoleBindingUpdate)
	return k
}

func clusterRole() *Kind {
	k := define[rbacv1.ClusterRole, rbacv1.ClusterRoleList](rbacv1.SchemeGroupVersion, "ClusterRole", "clusterroles")
	k.Acted = true
	k.ValidateName = path.ValidatePathSegmentName
	k.Columns, k.Row = createdTable()
	k.Validate = check(validate.ClusterRole)
	return k
}

func clusterRoleBinding() *Kind {
	k := define[rbacv1.ClusterRoleBinding, rbacv1.ClusterRoleBindingList](
		rbacv1.SchemeGroupVersion, "ClusterRoleBinding", "clusterrolebindings")
	k.Acted = true
	k.ValidateName = path.ValidatePathSegmentName
	k.Default = on(defaults.ClusterRoleBinding)
	k.Columns, k.Row = table.ClusterRoleBindingColumns(), row(table.ClusterRoleBindingRow)
	k.Validate = check(validate.ClusterRoleBinding)
	k.ValidateUpdate = checkBoth(validate.ClusterRoleBindingUpdate)
	return k
}
