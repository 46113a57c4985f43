package auth

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// deletedLeeway is how long a token lives on after the deletion of what it is
// bound to began: its holder may need it to shut down. Kubernetes' value.
const deletedLeeway = 60 * time.Second

// Tokens issues and checks service account tokens. It is safe for concurrent
// use.
type Tokens struct {
	signer *signer
	verbs  object.Verbs
	issuer string
	now    func() time.Time
}

// NewTokens returns the issuer of a cluster with a domain ("cluster.local").
// Bound objects are read through v. now may be nil.
func NewTokens(key *ecdsa.PrivateKey, v object.Verbs, domain string, now func() time.Time) (*Tokens, error) {
	s, err := newSigner(key)
	if err != nil {
		return nil, err
	}
	if now == nil {
		now = time.Now
	}
	return &Tokens{signer: s, verbs: v, issuer: "https://kubernetes.default.svc." + domain, now: now}, nil
}

// claims are what a token says (RFC 7519 and Kubernetes' private claim).
type claims struct {
	Audience  audience   `json:"aud"`
	Expiry    int64      `json:"exp"` // Unix seconds, like the others
	IssuedAt  int64      `json:"iat"`
	Issuer    string     `json:"iss"`
	ID        string     `json:"jti"`
	Bound     boundClaim `json:"kubernetes.io"`
	NotBefore int64      `json:"nbf"`
	Subject   string     `json:"sub"`
}

// boundClaim says for whom the token is.
type boundClaim struct {
	Namespace string    `json:"namespace"`
	Node      *refClaim `json:"node,omitempty"`
	Pod       *refClaim `json:"pod,omitempty"`
	Secret    *refClaim `json:"secret,omitempty"`
	Account   refClaim  `json:"serviceaccount"`
	WarnAfter int64     `json:"warnafter,omitempty"`
}

type refClaim struct {
	Name string    `json:"name"`
	UID  types.UID `json:"uid"`
}

// audience is a list that JWTs may also write as one string.
type audience []string

func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// Verify checks a token: its signature, issuer, times, audience, and that the
// service account and the object it is bound to still exist. audiences are
// those that the caller answers for; none means the API itself. It returns the
// user and which of the audiences the token is for.
func (t *Tokens) Verify(ctx context.Context, token string, audiences []string) (User, []string, error) {
	var c claims
	if err := t.signer.verify(token, &c); err != nil {
		return User{}, nil, err
	}
	if c.Issuer != t.issuer {
		return User{}, nil, fmt.Errorf("the token is of another issuer (%q)", c.Issuer)
	}
	now := t.now().Unix()
	if now >= c.Expiry {
		return User{}, nil, errors.New("service account token has expired")
	}
	if now < c.NotBefore {
		return User{}, nil, errors.New("service account token is not valid yet")
	}
	if len(audiences) == 0 {
		audiences = []string{t.issuer}
	}
	var both []string
	for _, a := range audiences {
		if slices.Contains(c.Audience, a) {
			both = append(both, a)
		}
	}
	if len(both) == 0 {
		return User{}, nil, fmt.Errorf("token audiences %q is invalid for the target audiences %q", c.Audience, audiences)
	}
	if err := t.checkBound(ctx, c.Bound); err != nil {
		return User{}, nil, err
	}
	return c.user(), both, nil
}

// checkBound tells whether what the token is bound to is still there.
func (t *Tokens) checkBound(ctx context.Context, b boundClaim) error {
	account, err := builtin.ServiceAccounts.Get(ctx, t.verbs, b.Namespace, b.Account.Name)
	if err := t.alive(account, err, "service account", b.Account); err != nil {
		return err
	}
	if b.Pod != nil {
		pod, err := builtin.Pods.Get(ctx, t.verbs, b.Namespace, b.Pod.Name)
		if err := t.alive(pod, err, "pod", *b.Pod); err != nil {
			return err
		}
	}
	if b.Secret != nil {
		secret, err := builtin.Secrets.Get(ctx, t.verbs, b.Namespace, b.Secret.Name)
		if err := t.alive(secret, err, "secret", *b.Secret); err != nil {
			return err
		}
	}
	if b.Node != nil && b.Pod == nil { // with a pod, the node is information only
		node, err := builtin.Nodes.Get(ctx, t.verbs, "", b.Node.Name)
		if err := t.alive(node, err, "node", *b.Node); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tokens) alive(o metav1.Object, err error, kind string, ref refClaim) error {
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s %s of the token is gone", kind, ref.Name)
	case err != nil:
		return fmt.Errorf("%s %s of the token: %w", kind, ref.Name, err)
	case o.GetUID() != ref.UID:
		return fmt.Errorf("%s %s of the token was replaced", kind, ref.Name)
	case o.GetDeletionTimestamp() != nil && o.GetDeletionTimestamp().Add(deletedLeeway).Before(t.now()):
		return fmt.Errorf("%s %s of the token is being deleted", kind, ref.Name)
	}
	return nil
}

// user is who holds a valid token.
func (c *claims) user() User {
	u := User{
		Name:   accountUser(c.Bound.Namespace, c.Bound.Account.Name),
		UID:    string(c.Bound.Account.UID),
		Groups: append(accountGroups(c.Bound.Namespace), authenticatedGroup),
		Extra:  map[string][]string{credentialExtra: {"JTI=" + c.ID}},
	}
	if c.Bound.Pod != nil {
		u.Extra[podNameExtra], u.Extra[podUIDExtra] = []string{c.Bound.Pod.Name}, []string{string(c.Bound.Pod.UID)}
	}
	if c.Bound.Node != nil {
		u.Extra[nodeNameExtra] = []string{c.Bound.Node.Name}
		if c.Bound.Node.UID != "" {
			u.Extra[nodeUIDExtra] = []string{string(c.Bound.Node.UID)}
		}
	}
	return u
}

func ref(o metav1.Object) *refClaim { return &refClaim{Name: o.GetName(), UID: o.GetUID()} }

// podNode is the node of a pod as far as it is known.
func (t *Tokens) podNode(ctx context.Context, pod *corev1.Pod) *refClaim {
	if pod.Spec.NodeName == "" {
		return nil
	}
	node, err := builtin.Nodes.Get(ctx, t.verbs, "", pod.Spec.NodeName)
	if err != nil {
		return &refClaim{Name: pod.Spec.NodeName}
	}
	return ref(node)
}
