package auth

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
)

// aggregateLabel marks ClusterRoles whose rules join role admin, edit or view.
const aggregateLabel = "rbac.authorization.k8s.io/aggregate-to-"

// Verbs that the shipped roles give together.
func read() []string { return []string{"get", "list", "watch"} }
func write() []string {
	return []string{"create", "delete", "deletecollection", "patch", "update"}
}
func readWrite() []string { return append(write(), read()...) }

// BootstrapRoles returns the roles and bindings that Kubernetes ships, as far
// as something here or in charts refers to them. Contents are Kubernetes' own
// (plugin/pkg/auth/authorizer/rbac/bootstrappolicy), with one difference:
// who is not authenticated may read the health endpoints only, not /version.
func BootstrapRoles() []object.Object {
	all := []object.Object{
		clusterRole("cluster-admin", everything()...),
		aggregate("admin", slices.Concat(editRules(), viewRules(), adminRules())),
		into("admin", aggregate("edit", slices.Concat(editRules(), viewRules()))),
		into("edit", aggregate("view", viewRules())),
		into("admin", clusterRole("system:aggregate-to-admin", adminRules()...)),
		into("edit", clusterRole("system:aggregate-to-edit", editRules()...)),
		into("view", clusterRole("system:aggregate-to-view", viewRules()...)),
		clusterRole("system:discovery", urls("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/")),
		clusterRole("system:public-info-viewer", urls("/healthz", "/livez", "/readyz", "/version", "/version/")),
		clusterRole("pkg.internal:health-viewer", urls("/healthz", "/livez", "/readyz")),
		clusterRole("system:monitoring", urls("/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*")),
		clusterRole("system:service-account-issuer-discovery", urls(ConfigurationPath, ConfigurationPath+"/", KeysPath, KeysPath+"/")),
		clusterRole("system:basic-user",
			rule([]string{"create"}, "authorization.k8s.io", "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
			rule([]string{"create"}, "authentication.k8s.io", "selfsubjectreviews")),
		clusterRole("system:auth-delegator",
			rule([]string{"create"}, "authentication.k8s.io", "tokenreviews"),
			rule([]string{"create"}, "authorization.k8s.io", "subjectaccessreviews")),
		clusterRole("system:kubelet-api-admin",
			rule(read(), "", "nodes"),
			rule([]string{"proxy"}, "", "nodes"),
			rule([]string{"*"}, "", "nodes/configz", "nodes/healthz", "nodes/log", "nodes/metrics", "nodes/pods", "nodes/proxy", "nodes/stats")),
		clusterRole("system:node", nodeRules()...),
		clusterRole("system:persistent-volume-provisioner",
			rule([]string{"create", "delete", "get", "list", "watch"}, "", "persistentvolumes"),
			rule([]string{"get", "list", "update", "watch"}, "", "persistentvolumeclaims"),
			rule(read(), "storage.k8s.io", "storageclasses"),
			rule([]string{"watch"}, "", "events"),
			rule([]string{"create", "patch", "update"}, "", "events")),
	}
	for _, b := range []struct {
		role     string
		subjects []rbacv1.Subject
	}{
		{"cluster-admin", groups(mastersGroup)},
		{"system:discovery", groups(authenticatedGroup)},
		{"system:basic-user", groups(authenticatedGroup)},
		{"system:public-info-viewer", groups(authenticatedGroup)},
		{"pkg.internal:health-viewer", groups(unauthenticatedGroup)},
		{"system:monitoring", groups("system:monitoring")},
		{"system:service-account-issuer-discovery", groups(accountsGroup)},
	} {
		all = append(all, &rbacv1.ClusterRoleBinding{ObjectMeta: bootstrapMeta("", b.role), Subjects: b.subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacGroup, Kind: "ClusterRole", Name: b.role}})
	}
	reader := rule(read(), "", "configmaps")
	reader.ResourceNames = []string{"extension-apiserver-authentication"}
	return append(all, &rbacv1.Role{ObjectMeta: bootstrapMeta("kube-system", "extension-apiserver-authentication-reader"), Rules: []rbacv1.PolicyRule{reader}})
}

func clusterRole(name string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: bootstrapMeta("", name), Rules: rules}
}

// aggregate is a role made of those labelled for it. rules are what that comes
// to with the roles here, in the controller's order: it finds nothing to do.
func aggregate(name string, rules []rbacv1.PolicyRule) *rbacv1.ClusterRole {
	r := clusterRole(name, rules...)
	r.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{
		{MatchLabels: map[string]string{aggregateLabel + name: "true"}}}}
	return r
}

// into labels a role for one that aggregates.
func into(to string, r *rbacv1.ClusterRole) *rbacv1.ClusterRole {
	r.Labels[aggregateLabel+to] = "true"
	return r
}

func groups(name string) []rbacv1.Subject {
	return []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacGroup, Name: name}}
}

func rule(verbs []string, group string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: verbs, APIGroups: []string{group}, Resources: resources}
}

func urls(paths ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: paths}
}

func adminRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule([]string{"create"}, "authorization.k8s.io", "localsubjectaccessreviews"),
		rule(readWrite(), rbacGroup, "rolebindings", "roles"),
	}
}

func editRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule(read(), "", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"),
		rule([]string{"impersonate"}, "", "serviceaccounts"),
		rule(write(), "", "pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"),
		rule([]string{"create"}, "", "pods/eviction"),
		rule(write(), "", "configmaps", "events", "persistentvolumeclaims", "replicationcontrollers", "replicationcontrollers/scale",
			"secrets", "serviceaccounts", "services", "services/proxy"),
		rule([]string{"create"}, "", "serviceaccounts/token"),
		rule(write(), "apps", "daemonsets", "deployments", "deployments/rollback", "deployments/scale", "replicasets", "replicasets/scale",
			"statefulsets", "statefulsets/scale"),
		rule(write(), "autoscaling", "horizontalpodautoscalers"),
		rule(write(), "batch", "cronjobs", "jobs"),
		rule(write(), "policy", "poddisruptionbudgets"),
		rule(write(), "networking.k8s.io", "ingresses", "networkpolicies"),
		rule(readWrite(), "coordination.k8s.io", "leases"),
	}
}

func viewRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule(read(), "", "configmaps", "endpoints", "persistentvolumeclaims", "persistentvolumeclaims/status", "pods",
			"replicationcontrollers", "replicationcontrollers/scale", "serviceaccounts", "services", "services/status"),
		rule(read(), "", "bindings", "events", "limitranges", "namespaces/status", "pods/log", "pods/status",
			"replicationcontrollers/status", "resourcequotas", "resourcequotas/status"),
		rule(read(), "", "namespaces"),
		rule(read(), "discovery.k8s.io", "endpointslices"),
		rule(read(), "apps", "controllerrevisions", "daemonsets", "daemonsets/status", "deployments", "deployments/scale", "deployments/status",
			"replicasets", "replicasets/scale", "replicasets/status", "statefulsets", "statefulsets/scale", "statefulsets/status"),
		rule(read(), "autoscaling", "horizontalpodautoscalers", "horizontalpodautoscalers/status"),
		rule(read(), "batch", "cronjobs", "cronjobs/status", "jobs", "jobs/status"),
		rule(read(), "policy", "poddisruptionbudgets", "poddisruptionbudgets/status"),
		rule(read(), "networking.k8s.io", "ingresses", "ingresses/status", "networkpolicies"),
		rule(read(), "metrics.k8s.io", "pods"),
	}
}

// nodeRules are what a node's agent needs. Nobody has them by default, as in
// Kubernetes: they would let each node read every Secret.
func nodeRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		rule([]string{"create"}, "authentication.k8s.io", "tokenreviews"),
		rule([]string{"create"}, "authorization.k8s.io", "localsubjectaccessreviews", "subjectaccessreviews"),
		rule(read(), "", "services"),
		rule([]string{"create", "get", "list", "watch"}, "", "nodes"),
		rule([]string{"patch", "update"}, "", "nodes", "nodes/status"),
		rule([]string{"create", "patch", "update"}, "", "events"),
		rule(append(read(), "create", "delete"), "", "pods"),
		rule([]string{"patch", "update"}, "", "pods/status"),
		rule([]string{"create"}, "", "pods/eviction"),
		rule(read(), "", "configmaps", "secrets"),
		rule([]string{"get"}, "", "persistentvolumeclaims", "persistentvolumes"),
		rule([]string{"create"}, "", "serviceaccounts/token"),
		rule([]string{"get"}, "", "serviceaccounts"),
		rule(append(read(), "create", "delete", "patch", "update"), "coordination.k8s.io", "leases"),
		rule(read(), "discovery.k8s.io", "endpointslices"),
		rule(read(), "node.k8s.io", "runtimeclasses"),
	}
}
