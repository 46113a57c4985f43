package controller

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// namespaceDefaults gives every namespace the ServiceAccount "default" and the
// cluster's certificate authority.
type namespaceDefaults struct{ *Set }

// Names of what every namespace has.
const (
	defaultAccount = "default"
	rootCAConfig   = "kube-root-ca.crt"
	rootCAKey      = "ca.crt"
)

func newNamespaceDefaults(s *Set) *namespaceDefaults { return &namespaceDefaults{s} }

func (c *namespaceDefaults) loop() *loop {
	named := func(name string) func(change) []object.Key {
		return func(ch change) []object.Key {
			if ch.latest().GetName() != name {
				return nil
			}
			return []object.Key{{Name: ch.latest().GetNamespace()}}
		}
	}
	return &loop{
		name:    "namespacedefaults",
		workers: 2,
		sources: []source{
			self(builtin.Namespaces.Resource),
			{builtin.ServiceAccounts.Resource, named(defaultAccount)},
			{builtin.ConfigMaps.Resource, named(rootCAConfig)},
		},
		reconcile: c.reconcile,
	}
}

func (c *namespaceDefaults) reconcile(ctx context.Context, k object.Key) (time.Duration, error) {
	ns, err := builtin.Namespaces.Get(ctx, c.verbs, "", k.Name)
	if err != nil || ns.DeletionTimestamp != nil {
		return 0, ignoreNotFound(err)
	}
	if _, ok, err := present(builtin.ServiceAccounts.Get(ctx, c.verbs, k.Name, defaultAccount)); err != nil {
		return 0, err
	} else if !ok {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: k.Name, Name: defaultAccount}}
		if _, err := builtin.ServiceAccounts.Create(ctx, c.verbs, account, write()); err != nil && !apierrors.IsAlreadyExists(err) && !namespaceGoing(err) {
			return 0, fmt.Errorf("create service account: %w", err)
		}
	}
	return 0, c.ensureRootCA(ctx, k.Name)
}

func (c *namespaceDefaults) ensureRootCA(ctx context.Context, ns string) error {
	if len(c.cfg.RootCA) == 0 {
		return nil
	}
	data := map[string]string{rootCAKey: string(c.cfg.RootCA)}
	have, ok, err := present(builtin.ConfigMaps.Get(ctx, c.verbs, ns, rootCAConfig))
	switch {
	case err != nil:
		return err
	case !ok:
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: rootCAConfig, Annotations: map[string]string{
			"kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as " +
				"the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."}}, Data: data}
		if _, err = builtin.ConfigMaps.Create(ctx, c.verbs, m, write()); apierrors.IsAlreadyExists(err) || namespaceGoing(err) {
			err = nil
		}
	case !maps.Equal(have.Data, data):
		changed := have.DeepCopy()
		changed.Data = data
		_, err = builtin.ConfigMaps.Update(ctx, c.verbs, changed, write())
	}
	return ignoreNotFound(err)
}
