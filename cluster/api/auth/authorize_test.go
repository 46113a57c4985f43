package auth

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// world has the shipped roles and some bindings of users jane (edit in "dev"),
// sam (view everywhere), service account dev/bot (role "bits" in "dev") and
// lost (a role that does not exist).
func world(t *testing.T) (*memory, *Authorizer) {
	t.Helper()
	m := newMemory(t, map[object.Resource][]object.Object{
		builtin.Roles.Resource: {&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "dev", Name: "bits"}, Rules: []rbacv1.PolicyRule{
			{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods/log"}},
			{Verbs: []string{"update"}, APIGroups: []string{"*"}, Resources: []string{"*/scale"}},
			{Verbs: []string{"get", "update"}, APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"mine"}},
		}}},
		builtin.RoleBindings.Resource: {
			localBinding("edit", "ClusterRole", "edit", rbacv1.Subject{Kind: "User", Name: "jane"}),
			localBinding("bits", "Role", "bits", rbacv1.Subject{Kind: "ServiceAccount", Name: "bot"}),
			localBinding("lost", "Role", "missing", rbacv1.Subject{Kind: "User", Name: "lost"}),
		},
		builtin.ClusterRoleBindings.Resource: {&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "viewers"},
			Subjects: []rbacv1.Subject{{Kind: "Group", Name: "watchers"}}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "view"}}},
	})
	if err := EnsureRoles(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	return m, NewAuthorizer(m)
}

func localBinding(name, kind, role string, s ...rbacv1.Subject) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "dev", Name: name}, Subjects: s, RoleRef: rbacv1.RoleRef{Kind: kind, Name: role}}
}

func user(name string, groups ...string) User {
	return User{Name: name, Groups: append(groups, authenticatedGroup)}
}

// ask writes a request as "verb group/resource[/subresource] namespace/name",
// or "verb /path".
func ask(u User, request string) Attributes {
	f := strings.Fields(request)
	if strings.HasPrefix(f[1], "/") {
		return Attributes{User: u, Verb: f[0], Path: f[1]}
	}
	a := Attributes{User: u, Verb: f[0], ResourceRequest: true}
	parts := strings.SplitN(f[1], "/", 3)
	if parts[0] != "core" {
		a.Group = parts[0]
	}
	a.Resource = parts[1]
	if len(parts) > 2 {
		a.Subresource = parts[2]
	}
	if len(f) > 2 {
		a.Namespace, a.Name, _ = strings.Cut(f[2], "/")
	}
	return a
}

func TestAuthorize(t *testing.T) {
	_, z := world(t)
	bot := user("system:serviceaccount:dev:bot", accountGroups("dev")...)
	tests := []struct {
		who     User
		request string
		want    bool
	}{
		{user("root", "system:masters"), "delete core/nodes /n1", true},
		{user("jane"), "create apps/deployments dev/", true},
		{user("jane"), "list core/pods dev/", true}, // edit aggregates view
		{user("jane"), "create core/pods/exec dev/p", true},
		{user("jane"), "create apps/deployments prod/", false},
		{user("jane"), "create rbac.authorization.k8s.io/roles dev/", false}, // admin only
		{user("jane"), "list core/nodes", false},
		{user("sam", "watchers"), "list core/pods", true},
		{user("sam", "watchers"), "get core/pods/log any/p", true},
		{user("sam", "watchers"), "get core/secrets any/s", false},
		{user("sam", "watchers"), "create core/pods any/p", false},
		{bot, "get core/pods/log dev/p", true},
		{bot, "get core/pods dev/p", false},
		{bot, "update apps/deployments/scale dev/d", true},
		{bot, "update apps/deployments dev/d", false},
		{bot, "get core/configmaps dev/mine", true},
		{bot, "get core/configmaps dev/other", false},
		{bot, "list core/configmaps dev/", false},
		{user("system:serviceaccount:prod:bot"), "get core/pods/log dev/p", false}, // the binding's own namespace counts
		{user("anybody"), "get /apis/apps/v1", true},
		{user("anybody"), "get /version", true},
		{user("anybody"), "get /metrics", false},
		{user("anybody"), "create authorization.k8s.io/selfsubjectaccessreviews", true},
		{Anonymous(), "get /healthz", true},
		{Anonymous(), "get /readyz", true},
		{Anonymous(), "get /version", false},
		{Anonymous(), "get /api", false},
		{Anonymous(), "list core/pods dev/", false},
		{user("", accountsGroup), "get /openid/v1/jwks", true},
	}
	for _, test := range tests {
		got, reason, err := z.Authorize(t.Context(), ask(test.who, test.request))
		if err != nil || got != test.want {
			t.Errorf("%s: %s: %v (%s, %v), want %v", test.who.Name, test.request, got, reason, err, test.want)
		}
		if got && !test.who.master() && !strings.HasPrefix(reason, "RBAC: allowed by ") {
			t.Errorf("%s: %s: reason %q", test.who.Name, test.request, reason)
		}
	}
}

func TestForbiddenSaysWhy(t *testing.T) {
	_, z := world(t)
	a := ask(user("lost"), "get apps/deployments/scale dev/web")
	allowed, reason, err := z.Authorize(t.Context(), a)
	if allowed || err != nil {
		t.Fatal(allowed, err)
	}
	want := `deployments.apps "web" is forbidden: User "lost" cannot get resource "deployments/scale" in API group "apps" in the namespace "dev": RBAC: roles.rbac.authorization.k8s.io "missing" not found`
	if got := Forbidden(a, reason).Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = `forbidden: User "system:anonymous" cannot get path "/metrics"`
	if got := Forbidden(ask(Anonymous(), "get /metrics"), "").Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEnsureRolesRepairsAndKeeps(t *testing.T) {
	m, _ := world(t)
	ctx := t.Context()
	before := m.writes
	if err := EnsureRoles(ctx, m); err != nil {
		t.Fatal(err)
	}
	if m.writes != before {
		t.Errorf("%d writes although nothing changed", m.writes-before)
	}
	discovery, err := builtin.ClusterRoles.Get(ctx, m, "", "system:discovery")
	if err != nil {
		t.Fatal(err)
	}
	discovery.Rules = []rbacv1.PolicyRule{urls("/mine")}
	basic, err := builtin.ClusterRoles.Get(ctx, m, "", "system:basic-user")
	if err != nil {
		t.Fatal(err)
	}
	basic.Rules, basic.Annotations[autoupdate] = nil, "false"
	if err := EnsureRoles(ctx, m); err != nil {
		t.Fatal(err)
	}
	discovery, _ = builtin.ClusterRoles.Get(ctx, m, "", "system:discovery")
	if len(discovery.Rules) < 2 || discovery.Rules[0].NonResourceURLs[0] != "/mine" {
		t.Errorf("discovery has %v", discovery.Rules)
	}
	basic, _ = builtin.ClusterRoles.Get(ctx, m, "", "system:basic-user")
	if len(basic.Rules) != 0 {
		t.Error("a role that is not to be updated was")
	}
}

// TestAggregatedRolesAreComplete: the shipped roles that aggregate have the
// rules of those they select, so that the controller finds nothing to do.
func TestAggregatedRolesAreComplete(t *testing.T) {
	var roles []*rbacv1.ClusterRole
	for _, o := range BootstrapRoles() {
		if r, ok := o.(*rbacv1.ClusterRole); ok {
			roles = append(roles, r)
		}
	}
	slices.SortFunc(roles, func(a, b *rbacv1.ClusterRole) int { return strings.Compare(a.Name, b.Name) })
	for _, r := range roles {
		if r.AggregationRule == nil {
			continue
		}
		var want []rbacv1.PolicyRule
		for _, other := range roles {
			if other.Labels[aggregateLabel+r.Name] == "true" {
				want = append(want, other.Rules...)
			}
		}
		if diff := cmp.Diff(want, r.Rules); diff != "" || len(want) == 0 {
			t.Errorf("%s: %s", r.Name, diff)
		}
	}
}

func TestEscalation(t *testing.T) {
	m, z := world(t)
	m.put(builtin.Roles.Resource, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "dev", Name: "escalator"},
		Rules: []rbacv1.PolicyRule{rule([]string{"escalate"}, rbacGroup, "roles"), rule([]string{"bind"}, rbacGroup, "clusterroles")}})
	m.put(builtin.RoleBindings.Resource, localBinding("escalator", "Role", "escalator", rbacv1.Subject{Kind: "User", Name: "eve"}))
	role := func(rules ...rbacv1.PolicyRule) *rbacv1.Role {
		return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "dev", Name: "r"}, Rules: rules}
	}
	secrets, nodes := rule([]string{"get", "list"}, "", "secrets"), rule([]string{"get", "delete"}, "", "nodes")
	whole := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "all"}, AggregationRule: &rbacv1.AggregationRule{}}
	tests := []struct {
		name   string
		who    User
		o, old object.Object
		want   string // part of the error; "" means allowed
	}{
		{"held", user("jane"), role(secrets), nil, ""},
		{"not held", user("jane"), role(secrets, nodes), nil,
			`roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:` +
				"\n" + `{APIGroups:[""], Resources:["nodes"], Verbs:["get" "delete"]}`},
		{"unchanged", user("jane"), role(nodes), role(nodes), ""},
		{"grown", user("jane"), role(secrets, nodes), role(secrets), "not currently held"},
		{"master", user("root", "system:masters"), role(nodes), nil, ""},
		{"may escalate", user("eve"), role(nodes), nil, ""},
		{"aggregation", user("jane"), whole, nil, "must have cluster-admin privileges to use an aggregationRule"},
		{"bind held", user("jane"), localBinding("b", "ClusterRole", "view"), nil, ""},
		{"bind more", user("jane"), localBinding("b", "ClusterRole", "cluster-admin"), nil, `rolebindings.rbac.authorization.k8s.io "b" is forbidden: user "jane"`},
		{"may bind", user("eve"), localBinding("b", "ClusterRole", "cluster-admin"), nil, ""},
		{"no such role", user("jane"), localBinding("b", "Role", "none"), nil, `"none" not found`},
		{"same binding", user("jane"), localBinding("b", "ClusterRole", "cluster-admin"), localBinding("b", "ClusterRole", "cluster-admin"), ""},
		{"new subject", user("jane"), localBinding("b", "ClusterRole", "cluster-admin", rbacv1.Subject{Kind: "User", Name: "jane"}), localBinding("b", "ClusterRole", "cluster-admin"), "not currently held"},
	}
	for _, test := range tests {
		err := z.CheckEscalation(t.Context(), test.who, test.o, test.old)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got %v\nwant %s", test.name, err, test.want)
		}
	}
}

func TestImpersonate(t *testing.T) {
	_, z := world(t)
	root := user("root", "system:masters")
	h := http.Header{}
	h.Set("Impersonate-User", "system:serviceaccount:dev:bot")
	h.Set("Impersonate-Extra-Scopes%2fx", "view")
	got, err := z.Impersonate(t.Context(), root, h)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"system:serviceaccounts", "system:serviceaccounts:dev", "system:authenticated"}
	if got.Name != "system:serviceaccount:dev:bot" || !slices.Equal(got.Groups, want) || got.Extra["scopes/x"][0] != "view" {
		t.Errorf("got %+v", got)
	}
	if len(h) != 0 {
		t.Errorf("headers stay: %v", h)
	}
	h = http.Header{"Impersonate-User": {"system:serviceaccount:dev:bot"}}
	if _, err := z.Impersonate(t.Context(), user("jane"), h); err != nil { // edit may, in its namespace
		t.Errorf("jane: %v", err)
	}
	h = http.Header{"Impersonate-User": {"root"}, "Impersonate-Group": {"system:masters"}}
	if _, err := z.Impersonate(t.Context(), user("jane"), h); !apierrors.IsForbidden(err) {
		t.Errorf("jane as root: %v", err)
	}
	if _, err := z.Impersonate(t.Context(), root, http.Header{"Impersonate-Group": {"x"}}); !apierrors.IsBadRequest(err) {
		t.Errorf("group without user: %v", err)
	}
	if got, err := z.Impersonate(t.Context(), root, http.Header{}); err != nil || got.Name != "root" {
		t.Errorf("without headers: %v, %v", got, err)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	m := &memory{all: map[object.Resource]map[object.Key]object.Object{}}
	if err := EnsureRoles(context.Background(), m); err != nil {
		b.Fatal(err)
	}
	z := NewAuthorizer(m)
	a := ask(user("anybody"), "get /apis/apps")
	for b.Loop() {
		if ok, _, err := z.Authorize(context.Background(), a); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
