//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/engine"
)

// templateCapabilities are Helm's defaults or, to validate, those of the cluster, which
// then is to check the manifests.
func (a *app) templateCapabilities(ctx context.Context, o *templateOptions) (*engine.Capabilities, manifestCheck, error) {
	if !o.validate {
		return engine.DefaultCapabilities(), nil, nil
	}
	c, err := a.connect()
	if err != nil {
		return nil, nil, err
	}
	r, err := c.releases(a, "template")
	if err != nil {
		return nil, nil, err
	}
	caps, err := r.Capabilities(ctx)
	return caps, func(ctx context.Context, manifests []engine.Manifest) error {
		return validateManifests(ctx, c, manifests)
	}, err
}

// validateManifests asks the cluster whether it would take manifests, by applying them
// as a dry run with strict field validation. All that it refuses is in the error.
func validateManifests(ctx context.Context, c *connection, manifests []engine.Manifest) error {
	var refused []string
	for _, m := range manifests {
		err := validateManifest(ctx, c, m)
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		if err != nil {
			refused = append(refused, fmt.Sprintf("%s: %v", m.Name, err))
		}
	}
	if len(refused) == 0 {
		return nil
	}
	return fmt.Errorf("the cluster refuses %d of %d objects:\n  %s", len(refused), len(manifests), strings.Join(refused, "\n  "))
}

func validateManifest(ctx context.Context, c *connection, m engine.Manifest) error {
	data, err := yaml.YAMLToJSON([]byte(m.Content))
	if err != nil || string(data) == "null" {
		return err
	}
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(data); err != nil {
		return err
	}
	gvk := o.GroupVersionKind()
	kind, err := c.kube.Kind(ctx, gvk)
	if err != nil {
		return err
	}
	key := object.Key{Name: o.GetName()}
	if kind.Namespaced {
		if key.Namespace = o.GetNamespace(); key.Namespace == "" {
			key.Namespace = c.namespace
		}
	}
	_, err = c.At(gvk.Version).Patch(ctx, kind.Resource, key, types.ApplyPatchType, data, object.WriteOptions{
		FieldManager: "pkg", Force: true, DryRun: true, FieldValidation: "Strict",
	})
	if apierrors.IsNotFound(err) { // its namespace, which the chart or the user makes first
		return nil
	}
	return err
}
