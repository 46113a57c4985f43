package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Authenticator finds out who makes a request.
type Authenticator struct {
	// Tokens checks bearer tokens; nil means that none is accepted.
	Tokens *Tokens
}

// Authenticate returns the user of r: of its client certificate, which the TLS
// configuration must have verified, else of its bearer token, else anonymous.
// Errors: Unauthorized, for a credential that is not valid; such a request is
// never treated as anonymous.
func (a *Authenticator) Authenticate(r *http.Request) (User, error) {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		leaf := r.TLS.VerifiedChains[0][0]
		if leaf.Subject.CommonName == "" {
			return User{}, apierrors.NewUnauthorized("Unauthorized")
		}
		sum := sha256.Sum256(leaf.Raw)
		return User{
			Name:   leaf.Subject.CommonName,
			Groups: append(append([]string{}, leaf.Subject.Organization...), authenticatedGroup),
			Extra:  map[string][]string{credentialExtra: {"X509SHA256=" + hex.EncodeToString(sum[:])}},
		}, nil
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !strings.EqualFold(scheme, "bearer") || strings.TrimSpace(token) == "" {
		return Anonymous(), nil
	}
	if a.Tokens == nil {
		return User{}, apierrors.NewUnauthorized("Unauthorized")
	}
	u, _, err := a.Tokens.Verify(r.Context(), strings.TrimSpace(token), nil)
	if err != nil {
		return User{}, fmt.Errorf("%w: %w", err, apierrors.NewUnauthorized("Unauthorized"))
	}
	return u, nil
}
