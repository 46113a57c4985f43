package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// Delete removes an object or marks it; see object.Verbs.
func (s *Server) Delete(ctx context.Context, r object.Resource, key object.Key, o object.DeleteOptions) (object.Object, error) {
	k, ok := s.Kinds.ForResource(r)
	if !ok {
		return nil, notServed()
	}
	out, _, err := s.delete(ctx, k, key, o)
	return out, err
}

// delete also tells whether the object is gone at once.
func (s *Server) delete(ctx context.Context, k *kind.Kind, key object.Key, o object.DeleteOptions) (out object.Object, gone bool, err error) {
	gr := k.Resource()
	if gr == namespaces && slices.Contains([]string{"default", "kube-system", "kube-public"}, key.Name) {
		return nil, false, apierrors.NewForbidden(gr, key.Name, errors.New("this namespace may not be deleted"))
	}
	for try := 1; ; try++ {
		old, err := s.Store.Get(gr, key)
		if err != nil {
			return nil, false, storeError(err, gr, key.Name)
		}
		if err := checkPreconditions(gr, old, o.Preconditions); err != nil {
			return nil, false, err
		}
		marked := s.markDeleted(k, old, o)
		wr := store.Write{Verb: store.Update, Resource: gr, Key: key, Object: marked, UID: old.GetUID(), Volatile: k.Volatile, Lazy: k.Lazy}
		if wr.Revision, err = strconv.ParseInt(old.GetResourceVersion(), 10, 64); err != nil {
			return nil, false, apierrors.NewInternalError(err)
		}
		if gone = finished(marked); gone {
			wr.Verb, wr.Object = store.Delete, nil
		} else if same(marked, old) {
			return old, false, nil
		}
		if o.DryRun {
			return marked, gone, nil
		}
		out, err := s.Store.Write(ctx, wr)
		if errors.Is(err, store.ErrConflict) && try < maxTries {
			continue
		}
		if err != nil {
			return nil, false, storeError(err, gr, key.Name)
		}
		s.afterWrite(out, old, gone)
		return out, gone, nil
	}
}

func checkPreconditions(gr object.Resource, old object.Object, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	if p.UID != nil && *p.UID != old.GetUID() {
		return apierrors.NewConflict(gr, old.GetName(), fmt.Errorf("the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", *p.UID, old.GetUID()))
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != old.GetResourceVersion() {
		return apierrors.NewConflict(gr, old.GetName(), fmt.Errorf("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might have been modified", *p.ResourceVersion, old.GetResourceVersion()))
	}
	return nil
}

// markDeleted returns old as a delete leaves it: with the finalizers that the
// propagation asks for, a deletionTimestamp, and the grace period (rules of
// apiserver: registry/rest/delete.go, registry/generic/registry/store.go).
func (s *Server) markDeleted(k *kind.Kind, old object.Object, o object.DeleteOptions) object.Object {
	out := old.DeepCopyObject().(object.Object)
	out.SetFinalizers(deletionFinalizers(k, old.GetFinalizers(), o.Propagation))
	grace := gracePeriod(out, o.GracePeriodSeconds)
	now := s.stamp()
	if at := out.GetDeletionTimestamp(); at != nil {
		had := out.GetDeletionGracePeriodSeconds()
		if had == nil || *had == 0 || o.GracePeriodSeconds == nil || grace >= *had {
			return out // a grace period can only be shortened
		}
		start := at.Add(-time.Duration(*had) * time.Second)
		end := metav1.NewTime(start.Add(time.Duration(grace) * time.Second))
		if end.Before(&now) {
			end = now
			if grace != 0 {
				grace = 1
			}
		}
		out.SetDeletionTimestamp(&end)
		out.SetDeletionGracePeriodSeconds(&grace)
		return out
	}
	end := metav1.NewTime(now.Add(time.Duration(grace) * time.Second))
	out.SetDeletionTimestamp(&end)
	out.SetDeletionGracePeriodSeconds(&grace)
	if out.GetGeneration() > 0 {
		out.SetGeneration(out.GetGeneration() + 1)
	}
	if ns, ok := out.(*corev1.Namespace); ok {
		ns.Status.Phase = corev1.NamespaceTerminating
	}
	return out
}

// gracePeriod is how many seconds an object may live on. Only pods that run
// somewhere need any.
func gracePeriod(o object.Object, asked *int64) int64 {
	pod, ok := o.(*corev1.Pod)
	if !ok || pod.Spec.NodeName == "" || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return 0
	}
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		grace = *pod.Spec.TerminationGracePeriodSeconds
	}
	if asked != nil {
		grace = *asked
	}
	if grace < 0 { // means at once, but gracefully
		return 1
	}
	return grace
}

// deletionFinalizers are an object's finalizers for the garbage collector's
// sake, after the propagation policy.
func deletionFinalizers(k *kind.Kind, have []string, policy *metav1.DeletionPropagation) []string {
	p := k.DefaultPropagation
	if policy != nil {
		p = *policy
	} else if slices.Contains(have, metav1.FinalizerOrphanDependents) || slices.Contains(have, metav1.FinalizerDeleteDependents) {
		return have
	}
	out := slices.DeleteFunc(slices.Clone(have), func(f string) bool {
		return f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents
	})
	switch p {
	case metav1.DeletePropagationOrphan:
		out = append(out, metav1.FinalizerOrphanDependents)
	case metav1.DeletePropagationForeground:
		out = append(out, metav1.FinalizerDeleteDependents)
	}
	return out
}

// deleteCollection deletes all that the options select, and returns it.
func (s *Server) deleteCollection(ctx context.Context, k *kind.Kind, l object.ListOptions, o object.DeleteOptions) (*object.List, error) {
	page, err := s.List(ctx, k.Resource(), l)
	if err != nil {
		return nil, err
	}
	out := &object.List{ResourceVersion: page.ResourceVersion, Continue: page.Continue, Remaining: page.Remaining}
	for _, x := range page.Items {
		each := o
		uid := x.GetUID()
		each.Preconditions = &metav1.Preconditions{UID: &uid}
		left, _, err := s.delete(ctx, k, object.KeyOf(x), each)
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			continue // somebody else was faster
		}
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, left)
	}
	return out, nil
}
