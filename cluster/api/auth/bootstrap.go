package auth

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	rbac "k8s.io/component-helpers/auth/rbac/validation"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

const (
	bootstrapLabel  = "kubernetes.io/bootstrapping"
	autoupdate      = rbacv1.AutoUpdateAnnotationKey
	bootstrapWriter = "pkg-bootstrap"
	// bootstrapWrites is how many roles are written at once: the store makes
	// one durable commit of writes that arrive together.
	bootstrapWrites = 16
)

// EnsureRoles writes the roles and bindings of BootstrapRoles that are missing,
// and adds rules and subjects that existing ones lack. It removes nothing, and
// leaves alone what is annotated
// rbac.authorization.kubernetes.io/autoupdate: "false", and the rules of
// aggregated roles, which a controller keeps. The namespace kube-system must
// exist.
func EnsureRoles(ctx context.Context, v object.Verbs) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(bootstrapWrites)
	for _, o := range BootstrapRoles() {
		g.Go(func() error {
			if err := ensure(gctx, v, o); err != nil {
				return fmt.Errorf("bootstrap role %s: %w", object.KeyOf(o), err)
			}
			return nil
		})
	}
	return g.Wait()
}

func ensure(ctx context.Context, v object.Verbs, want object.Object) error {
	r := bootstrapResource(want)
	have, err := v.Get(ctx, r, object.KeyOf(want))
	if apierrors.IsNotFound(err) {
		_, err = v.Create(ctx, r, want, object.WriteOptions{FieldManager: bootstrapWriter})
		return err
	}
	if err != nil || have.GetAnnotations()[autoupdate] == "false" {
		return err
	}
	next, ok := have.DeepCopyObject().(object.Object)
	if !ok || !complete(next, want) {
		return nil
	}
	_, err = v.Update(ctx, r, next, object.WriteOptions{FieldManager: bootstrapWriter})
	return err
}

func bootstrapResource(o object.Object) object.Resource {
	switch o.(type) {
	case *rbacv1.Role:
		return builtin.Roles.Resource
	case *rbacv1.RoleBinding:
		return builtin.RoleBindings.Resource
	case *rbacv1.ClusterRoleBinding:
		return builtin.ClusterRoleBindings.Resource
	}
	return builtin.ClusterRoles.Resource
}

// complete adds to have what want has more, and tells whether there was
// something.
func complete(have, want object.Object) bool {
	switch h := have.(type) {
	case *rbacv1.ClusterRole:
		w, ok := want.(*rbacv1.ClusterRole)
		if !ok || w.AggregationRule != nil {
			return false // its rules are the controller's
		}
		return completeRules(&h.Rules, w.Rules)
	case *rbacv1.Role:
		w, ok := want.(*rbacv1.Role)
		return ok && completeRules(&h.Rules, w.Rules)
	case *rbacv1.ClusterRoleBinding:
		w, ok := want.(*rbacv1.ClusterRoleBinding)
		return ok && completeSubjects(&h.Subjects, w.Subjects)
	case *rbacv1.RoleBinding:
		w, ok := want.(*rbacv1.RoleBinding)
		return ok && completeSubjects(&h.Subjects, w.Subjects)
	}
	return false
}

func completeRules(have *[]rbacv1.PolicyRule, want []rbacv1.PolicyRule) bool {
	if equality.Semantic.DeepEqual(*have, want) {
		return false // as nearly always; Covers takes milliseconds for the large roles
	}
	ok, missing := rbac.Covers(*have, want)
	*have = append(*have, compact(missing)...)
	return !ok
}

func completeSubjects(have *[]rbacv1.Subject, want []rbacv1.Subject) bool {
	changed := false
	for _, w := range want {
		found := false
		for _, h := range *have {
			found = found || h == w
		}
		if !found {
			*have, changed = append(*have, w), true
		}
	}
	return changed
}

// bootstrapMeta is the metadata of everything that EnsureRoles writes.
func bootstrapMeta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name,
		Labels: map[string]string{bootstrapLabel: "rbac-defaults"}, Annotations: map[string]string{autoupdate: "true"}}
}
