package auth

import (
	"context"
	"fmt"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Lifetimes of tokens, all Kubernetes' own.
const (
	defaultLifetime = time.Hour
	minLifetime     = 10 * time.Minute
	maxLifetime     = 1 << 32 // seconds
	// A pod's token for the API that was asked for exactly this long is what
	// the kubelet mounts. It lives extendedLifetime, for clients that never
	// read the file again, and says in warnafter when it should be renewed.
	mountedLifetime  = time.Hour + 7*time.Second
	extendedLifetime = 365 * 24 * time.Hour
)

// Issue answers a TokenRequest for sa: it returns a copy of tr with the token
// in its status. Errors: Invalid, NotFound or Conflict (the object to bind
// to), BadRequest.
func (t *Tokens) Issue(ctx context.Context, sa *corev1.ServiceAccount, tr *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	tr = tr.DeepCopy()
	if tr.Spec.ExpirationSeconds == nil {
		seconds := int64(defaultLifetime / time.Second)
		tr.Spec.ExpirationSeconds = &seconds
	}
	if len(tr.Spec.Audiences) == 0 {
		tr.Spec.Audiences = []string{t.issuer}
	}
	if errs := validateRequest(&tr.Spec); len(errs) > 0 {
		return nil, apierrors.NewInvalid(authenticationv1.SchemeGroupVersion.WithKind("TokenRequest").GroupKind(), sa.Name, errs)
	}
	bound := boundClaim{Namespace: sa.Namespace, Account: *ref(sa)}
	if b := tr.Spec.BoundObjectRef; b != nil {
		if err := t.bind(ctx, &bound, sa, b); err != nil {
			return nil, err
		}
	}
	now := t.now()
	lifetime := time.Duration(*tr.Spec.ExpirationSeconds) * time.Second
	end := now.Add(lifetime)
	if lifetime == mountedLifetime && bound.Pod != nil && slices.Equal(tr.Spec.Audiences, []string{t.issuer}) {
		bound.WarnAfter = end.Unix()
		end = now.Add(extendedLifetime)
	}
	token, err := t.signer.sign(claims{
		Audience:  tr.Spec.Audiences,
		Expiry:    end.Unix(),
		IssuedAt:  now.Unix(),
		Issuer:    t.issuer,
		ID:        string(uuid.NewUUID()),
		Bound:     bound,
		NotBefore: now.Unix(),
		Subject:   accountUser(sa.Namespace, sa.Name),
	})
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("signing a token: %w", err))
	}
	tr.Name, tr.Namespace = sa.Name, sa.Namespace
	tr.CreationTimestamp = metav1.NewTime(now)
	// The client is told the lifetime it asked for, so that it renews in time.
	tr.Status = authenticationv1.TokenRequestStatus{Token: token, ExpirationTimestamp: metav1.NewTime(now.Add(lifetime).Truncate(time.Second))}
	return tr, nil
}

func validateRequest(s *authenticationv1.TokenRequestSpec) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec").Child("expirationSeconds")
	if *s.ExpirationSeconds < int64(minLifetime/time.Second) {
		errs = append(errs, field.Invalid(path, *s.ExpirationSeconds, "may not specify a duration less than 10 minutes"))
	}
	if *s.ExpirationSeconds > maxLifetime {
		errs = append(errs, field.Invalid(path, *s.ExpirationSeconds, "may not specify a duration larger than 2^32 seconds"))
	}
	return errs
}

// bind looks up what the token shall be bound to and adds it to claim.
func (t *Tokens) bind(ctx context.Context, claim *boundClaim, sa *corev1.ServiceAccount, b *authenticationv1.BoundObjectReference) error {
	var found metav1.Object
	switch b.APIVersion + " " + b.Kind {
	case "v1 Pod":
		pod, err := builtin.Pods.Get(ctx, t.verbs, sa.Namespace, b.Name)
		if err != nil {
			return err
		}
		if pod.Spec.ServiceAccountName != sa.Name {
			return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token for serviceaccount %q to pod running with different serviceaccount name.", sa.Name))
		}
		claim.Pod, claim.Node = ref(pod), t.podNode(ctx, pod)
		found = pod
	case "v1 Secret":
		secret, err := builtin.Secrets.Get(ctx, t.verbs, sa.Namespace, b.Name)
		if err != nil {
			return err
		}
		claim.Secret, found = ref(secret), secret
	case "v1 Node":
		node, err := builtin.Nodes.Get(ctx, t.verbs, "", b.Name)
		if err != nil {
			return err
		}
		claim.Node, found = ref(node), node
	default:
		return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s, Kind=%s", b.APIVersion, b.Kind))
	}
	return sameUID(found, b.UID)
}

// sameUID reports a Conflict unless uid is empty or o's.
func sameUID(o metav1.Object, uid types.UID) error {
	if uid == "" || uid == o.GetUID() {
		return nil
	}
	return apierrors.NewConflict(authenticationv1.Resource("tokenrequests"), o.GetName(), fmt.Errorf(
		"the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", uid))
}
