package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/seed38700745/pkg/cluster/api/wire"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
)

// createSubresource acts on an existing object.
func (s *Server) createSubresource(ctx context.Context, k *kind.Kind, key object.Key, o object.Object, w object.WriteOptions) (object.Object, error) {
	switch body := o.(type) {
	case *corev1.Binding:
		return s.bind(ctx, k, key, body, w)
	case *policyv1.Eviction:
		return s.evict(ctx, k, key, body, w)
	case *authenticationv1.TokenRequest:
		return s.issueToken(ctx, key, body)
	}
	return nil, apierrors.NewMethodNotSupported(k.Resource(), "create "+w.Subresource)
}

// subresourceBody is an empty object of what POST to a subresource takes; nil
// if there is no such thing.
func subresourceBody(gr object.Resource, name string) object.Object {
	switch {
	case gr == pods && name == "binding":
		return &corev1.Binding{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Binding"}}
	case gr == pods && name == "eviction":
		return &policyv1.Eviction{TypeMeta: metav1.TypeMeta{APIVersion: "policy/v1", Kind: "Eviction"}}
	case gr == serviceAccounts && name == "token":
		return &authenticationv1.TokenRequest{TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "TokenRequest"}}
	}
	return nil
}

// bind gives a pod its node, which the scheduler does once.
func (s *Server) bind(ctx context.Context, k *kind.Kind, key object.Key, b *corev1.Binding, w object.WriteOptions) (object.Object, error) {
	if b.Target.Kind != "" && b.Target.Kind != "Node" {
		return nil, apierrors.NewInvalid(schema.GroupKind{Kind: "Binding"}, key.Name, field.ErrorList{
			field.NotSupported(field.NewPath("target", "kind"), b.Target.Kind, []string{"Node", "<empty>"})})
	}
	if b.Target.Name == "" {
		return nil, apierrors.NewInvalid(schema.GroupKind{Kind: "Binding"}, key.Name, field.ErrorList{
			field.Required(field.NewPath("target", "name"), "")})
	}
	// As in Kubernetes, nobody comes to own the fields that binding sets.
	opts := write{served: kind.Served{Kind: k}, WriteOptions: w, fields: keepFields, retry: true}
	opts.Subresource = "binding"
	_, err := s.modify(ctx, opts, key, func(old object.Object) (object.Object, error) {
		pod := old.DeepCopyObject().(*corev1.Pod)
		switch {
		case b.UID != "" && b.UID != pod.UID:
			return nil, apierrors.NewConflict(pods, key.Name, fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", b.UID, pod.UID))
		case pod.DeletionTimestamp != nil:
			return nil, apierrors.NewConflict(pods, key.Name, fmt.Errorf("pod %s is being deleted, cannot be assigned to a host", pod.Name))
		case pod.Spec.NodeName != "":
			return nil, apierrors.NewConflict(pods, key.Name, fmt.Errorf("pod %v is already assigned to node %q", pod.Name, pod.Spec.NodeName))
		case len(pod.Spec.SchedulingGates) > 0:
			return nil, apierrors.NewConflict(pods, key.Name, fmt.Errorf("pod %v has non-empty .spec.schedulingGates", pod.Name))
		}
		pod.Spec.NodeName = b.Target.Name
		for name, v := range b.Annotations {
			if pod.Annotations == nil {
				pod.Annotations = map[string]string{}
			}
			pod.Annotations[name] = v
		}
		setCondition(pod, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: s.stamp(), ObservedGeneration: pod.Generation})
		return pod, nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

func setCondition(pod *corev1.Pod, c corev1.PodCondition) {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == c.Type {
			pod.Status.Conditions[i] = c
			return
		}
	}
	pod.Status.Conditions = append(pod.Status.Conditions, c)
}

// issueToken makes a token for the service account key.
func (s *Server) issueToken(ctx context.Context, key object.Key, req *authenticationv1.TokenRequest) (object.Object, error) {
	if s.IssueToken == nil {
		return nil, apierrors.NewMethodNotSupported(serviceAccounts, "token")
	}
	o, err := s.Store.Get(serviceAccounts, key)
	if err != nil {
		return nil, storeError(err, serviceAccounts, key.Name)
	}
	sa := o.(*corev1.ServiceAccount)
	out, err := s.IssueToken(ctx, sa, req)
	if err != nil {
		return nil, asStatus(err)
	}
	return out, nil
}

// scaleOf shows an object's scale.
func scaleOf(k *kind.Kind, o object.Object) *autoscalingv1.Scale {
	spec, status, selector := k.Scale.Get(o)
	return &autoscalingv1.Scale{
		TypeMeta: metav1.TypeMeta{APIVersion: "autoscaling/v1", Kind: "Scale"},
		ObjectMeta: metav1.ObjectMeta{
			Name: o.GetName(), Namespace: o.GetNamespace(), UID: o.GetUID(),
			ResourceVersion: o.GetResourceVersion(), CreationTimestamp: o.GetCreationTimestamp(),
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: spec},
		Status: autoscalingv1.ScaleStatus{Replicas: status, Selector: selector},
	}
}

func (s *Server) updateScale(ctx context.Context, w write, key object.Key, o object.Object) (object.Object, error) {
	in, ok := o.(*autoscalingv1.Scale)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("expected a Scale, got a %T", o))
	}
	return s.changeScale(ctx, w, key, func(*autoscalingv1.Scale) (*autoscalingv1.Scale, error) { return in, nil })
}

// changeScale writes the replicas that change returns for the present scale.
func (s *Server) changeScale(ctx context.Context, w write, key object.Key, change func(now *autoscalingv1.Scale) (*autoscalingv1.Scale, error)) (object.Object, error) {
	k := w.served.Kind
	if k.Scale == nil {
		return nil, notServed()
	}
	w.Subresource, w.retry = "scale", true
	out, err := s.modify(ctx, w, key, func(old object.Object) (object.Object, error) {
		in, err := change(scaleOf(k, old))
		if err != nil {
			return nil, err
		}
		if in.Spec.Replicas < 0 {
			return nil, apierrors.NewInvalid(autoscalingv1.SchemeGroupVersion.WithKind("Scale").GroupKind(), key.Name, field.ErrorList{
				field.Invalid(field.NewPath("spec", "replicas"), in.Spec.Replicas, "must be greater than or equal to 0")})
		}
		o := old.DeepCopyObject().(object.Object)
		if in.ResourceVersion != "" {
			o.SetResourceVersion(in.ResourceVersion)
		}
		if in.UID != "" {
			o.SetUID(in.UID)
		}
		k.Scale.Set(o, in.Spec.Replicas)
		return o, nil
	})
	if err != nil {
		return nil, err
	}
	return scaleOf(k, out), nil
}

// patchScale applies a patch to the scale alone.
func (s *Server) patchScale(ctx context.Context, w write, key object.Key, t types.PatchType, p []byte) (object.Object, error) {
	return s.changeScale(ctx, w, key, func(now *autoscalingv1.Scale) (*autoscalingv1.Scale, error) {
		before, err := json.Marshal(now)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		if t == types.ApplyYAMLPatchType { // replicas is all there is to apply
			content, _, err := wire.DecodeMap(p, false)
			if err != nil {
				return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding YAML: %v", err))
			}
			n, ok, _ := unstructured.NestedInt64(content, "spec", "replicas")
			if !ok {
				return nil, apierrors.NewBadRequest("spec.replicas is missing")
			}
			t, p = types.MergePatchType, []byte(`{"spec":{"replicas":`+strconv.FormatInt(n, 10)+`}}`)
		}
		after, problems, err := applyPatch(w, before, t, p, now)
		if err != nil {
			return nil, err
		}
		var out autoscalingv1.Scale
		more, err := wire.Decode(after, wire.JSON, w.strict(), &out)
		if err != nil {
			return nil, invalidPatch(after, err)
		}
		if err := s.report(w.WriteOptions, append(problems, more...)); err != nil {
			return nil, invalidPatch(after, err)
		}
		return &out, nil
	})
}
