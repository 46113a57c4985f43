package volume

import (
	"context"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Tokens are renewed, as the kubelet does, after 80 % of their life or a day.
const (
	defaultTokenLife = 3600 // seconds
	renewAfter       = 0.8
	oldestToken      = 24 * time.Hour
)

// tokenKey tells the tokens apart that pods want.
type tokenKey struct {
	podUID, audience string
	seconds          int64
}

type token struct {
	text  string
	renew time.Time
}

// tokenCache keeps the pods' service account tokens until they must be renewed.
type tokenCache struct {
	verbs object.Verbs
	now   func() time.Time

	mu     sync.Mutex
	tokens map[tokenKey]token // guarded by mu
}

// get returns a token for a pod, bound to it.
func (c *tokenCache) get(ctx context.Context, pod *corev1.Pod, s *corev1.ServiceAccountTokenProjection) (string, error) {
	key := tokenKey{string(pod.UID), s.Audience, or(s.ExpirationSeconds, defaultTokenLife)}
	now := c.now()
	c.mu.Lock()
	old := c.tokens[key]
	c.mu.Unlock()
	if old.text != "" && now.Before(old.renew) {
		return old.text, nil
	}
	request := &authenticationv1.TokenRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Spec.ServiceAccountName},
		Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: &key.seconds,
			BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
		},
	}
	if s.Audience != "" {
		request.Spec.Audiences = []string{s.Audience}
	}
	made, err := c.verbs.Create(ctx, builtin.ServiceAccounts.Resource, request, object.WriteOptions{Subresource: "token"})
	if err != nil {
		return "", err
	}
	answer, ok := made.(*authenticationv1.TokenRequest)
	if !ok || answer.Status.Token == "" {
		return "", fmt.Errorf("service account %s/%s: no token in the answer", pod.Namespace, pod.Spec.ServiceAccountName)
	}
	life := answer.Status.ExpirationTimestamp.Sub(now)
	fresh := token{answer.Status.Token, now.Add(min(time.Duration(float64(life)*renewAfter), oldestToken))}
	c.mu.Lock()
	c.tokens[key] = fresh
	c.mu.Unlock()
	return fresh.text, nil
}

// forget drops a pod's tokens.
func (c *tokenCache) forget(podUID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.tokens {
		if key.podUID == podUID {
			delete(c.tokens, key)
		}
	}
}
