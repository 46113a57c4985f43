package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// tokenLife is how long an issued token is good; clients ask again on their own.
const tokenLife = 5 * time.Minute

// grant is one of the rights in a token, in the shape of docker's token flow.
type grant struct {
	Type    string   `json:"type"` // "repository", or ChartMuseum's "artifact-repository"
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// covers tells whether a grant gives a right. A "repository" is one name in the
// registry, an "artifact-repository" a tenant or a pattern of tenants: the two are
// kept apart, as an image may be called what another tenant is.
func (g grant) covers(t Target, right Right) bool {
	if g.Name == "" || !slices.Contains(g.Actions, string(right)) && !slices.Contains(g.Actions, "*") {
		return false
	}
	return g.Type == "repository" && g.Name == t.Image || g.Type == "artifact-repository" && matches(g.Name, t.Tenant)
}

// lists tells whether a grant is for the registry's list of repositories.
func (g grant) lists() bool { return g.Type == "registry" && g.Name == "catalog" }

type claims struct {
	jwt.RegisteredClaims
	Access []grant `json:"access"`
}

// tokens checks tokens, and issues them when it has a key for that.
type tokens struct {
	keys   []any
	sign   *ecdsa.PrivateKey // nil: none are issued
	parser func(now time.Time) *jwt.Parser
	public string
}

func openTokens(c Config) (*tokens, error) {
	t := &tokens{public: c.Service}
	for _, file := range c.Keys {
		key, err := readKey(file)
		if err != nil {
			return nil, err
		}
		t.keys = append(t.keys, key)
	}
	if c.SigningKey != "" {
		data, err := os.ReadFile(c.SigningKey)
		if err != nil {
			return nil, err
		}
		if t.sign, err = jwt.ParseECPrivateKeyFromPEM(data); err != nil {
			return nil, fmt.Errorf("key %s: %w", c.SigningKey, err)
		}
		if t.sign.Curve != elliptic.P256() {
			return nil, fmt.Errorf("key %s: of curve %s, not P-256", c.SigningKey, t.sign.Curve.Params().Name)
		}
	} else if c.Htpasswd != "" && c.Realm == "" {
		var err error
		if t.sign, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	}
	if t.sign != nil {
		t.keys = append(t.keys, &t.sign.PublicKey)
	}
	t.parser = func(now time.Time) *jwt.Parser {
		return jwt.NewParser(
			jwt.WithValidMethods([]string{"RS256", "ES256"}), // never "none", never HMAC with a public key
			jwt.WithExpirationRequired(), jwt.WithLeeway(30*time.Second),
			jwt.WithTimeFunc(func() time.Time { return now }),
		)
	}
	return t, nil
}

func readKey(file string) (any, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if key, err := jwt.ParseRSAPublicKeyFromPEM(data); err == nil {
		return key, nil
	}
	key, err := jwt.ParseECPublicKeyFromPEM(data)
	if err != nil {
		return nil, fmt.Errorf("key %s: neither an RSA nor an EC public key in PEM", file)
	}
	return key, nil
}

// parse returns the user that a token names.
func (t *tokens) parse(text string, now time.Time) (User, error) {
	err := errBadCredentials
	for _, key := range t.keys {
		var c claims
		if _, err = t.parser(now).ParseWithClaims(text, &c, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
			continue
		}
		if len(c.Audience) > 0 && !slices.Contains(c.Audience, t.public) {
			return User{}, errBadCredentials
		}
		own := t.sign != nil && key == any(&t.sign.PublicKey)
		name := c.Subject
		if name == "" && !own { // one issued here is anonymous then
			name = "token"
		}
		return User{Name: name, token: true, grants: c.Access, lists: own && slices.ContainsFunc(c.Access, grant.lists)}, nil
	}
	return User{}, err
}

// Issues tells whether there is a token server at /token.
func (a *Access) Issues() bool { return a.tokens != nil && a.tokens.sign != nil }

// ServeToken is docker's token flow (distribution's auth/token specification): a
// client with a password, or none, gets a token with those of the rights it asks
// for that it has.
func (a *Access) ServeToken(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		// OAuth2's way, which containerd tries first: it then does as is done here.
		w.Header().Set("Allow", http.MethodGet)
		writeJSON(w, http.StatusMethodNotAllowed, map[string]any{"error": "method not allowed"})
		return
	}
	u, err := a.Identify(r)
	if err != nil || u.token {
		w.Header().Set("WWW-Authenticate", `Basic realm="pkg", charset="UTF-8"`)
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "wrong user name or password"})
		return
	}
	now := time.Now()
	c := claims{RegisteredClaims: jwt.RegisteredClaims{
		Subject: u.Name, Audience: jwt.ClaimStrings{a.tokens.public},
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(tokenLife)),
	}, Access: []grant{}}
	for _, scope := range r.URL.Query()["scope"] {
		for _, one := range strings.Fields(scope) {
			if g, ok := a.scope(u, one); ok {
				c.Access = append(c.Access, g)
			}
		}
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodES256, c).SignedString(a.tokens.sign)
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, map[string]any{"error": "no token could be signed"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"token": text, "access_token": text, "expires_in": int(tokenLife.Seconds()), "issued_at": now.UTC().Format(time.RFC3339),
	})
}

func writeJSON(w http.ResponseWriter, status int, v map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}

// scope reads "repository:org/repo/mysql:pull,push" and keeps what the user may.
func (a *Access) scope(u User, text string) (grant, bool) {
	kind, rest, _ := strings.Cut(text, ":")
	at := strings.LastIndex(rest, ":")
	if text == "registry:catalog:*" {
		return grant{Type: kind, Name: "catalog", Actions: []string{"*"}}, true
	}
	if kind != "repository" || at < 0 {
		return grant{}, false
	}
	g := grant{Type: kind, Name: rest[:at]}
	t := Target{Image: g.Name}
	if i := strings.LastIndex(g.Name, "/"); i >= 0 {
		t.Tenant = g.Name[:i]
	}
	for _, action := range strings.Split(rest[at+1:], ",") {
		if a.may(u, t, Right(action)) {
			g.Actions = append(g.Actions, action)
		}
	}
	return g, len(g.Actions) > 0
}
