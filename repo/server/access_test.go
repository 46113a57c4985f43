package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/bcrypt"

	"github.com/seed38700745/pkg/repo/server"
)

func writeUsers(t *testing.T, file string, users map[string]string) {
	t.Helper()
	var text strings.Builder
	for name, password := range users {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(name + ":" + string(hash) + "\n")
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// askAs sends a request with a password or, without a user, a token.
func askAs(t *testing.T, method, url, user, secret string, body []byte) (*http.Response, string) {
	t.Helper()
	if user == "" && secret != "" {
		return ask(t, method, url, body, "Authorization", "Bearer "+secret)
	}
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		r.SetBasicAuth(user, secret)
	}
	return ask(t, method, url, body, "Authorization", r.Header.Get("Authorization"))
}

func TestPasswords(t *testing.T) {
	dir := t.TempDir()
	users, rules, audit := filepath.Join(dir, "users"), filepath.Join(dir, "rules"), filepath.Join(dir, "audit")
	writeUsers(t, users, map[string]string{"ann": "secret", "bob": "geheim"})
	const text = `
- {who: anonymous, repository: "", can: [pull]}
- {who: "*", repository: "**", can: [pull]}
- {who: ann, repository: "team/*", can: [push, delete]}
- {who: bob, repository: "", can: [push]}
`
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := server.Config{AuditLog: audit}
	c.Access.Htpasswd, c.Access.Rules = users, rules
	base, _ := start(t, c)
	archive := pack(t, "a", "1.0.0", nil)
	steps := []struct {
		method, path, user, password string
		status                       int
	}{
		{"POST", "/api/charts", "", "", 401},
		{"POST", "/api/charts", "bob", "wrong", 401},
		{"POST", "/api/charts", "nobody", "secret", 401},
		{"POST", "/api/charts", "ann", "secret", 403},
		{"POST", "/api/charts", "bob", "geheim", 201},
		{"DELETE", "/api/charts/a/1.0.0", "bob", "geheim", 403},
		{"GET", "/index.yaml", "", "", 200},
		{"GET", "/index.yaml", "bob", "wrong", 401},
		{"POST", "/api/team/x/charts", "bob", "geheim", 403},
		{"POST", "/api/team/x/charts", "ann", "secret", 201},
		{"GET", "/team/x/index.yaml", "", "", 401},
		{"GET", "/team/x/charts/a-1.0.0.tgz", "", "", 401},
		{"GET", "/team/x/-/a", "", "", 401},
		{"GET", "/v2/team/x/a/manifests/1.0.0", "", "", 401},
		{"GET", "/v2/team/x/charts/a/manifests/1.0.0", "", "", 401},
		{"GET", "/team/x/index.yaml", "bob", "geheim", 200},
		{"GET", "/v2/", "", "", 401},
		{"GET", "/v2/", "bob", "geheim", 200},
		{"DELETE", "/api/team/x/charts/a/1.0.0", "ann", "secret", 200},
	}
	for _, s := range steps {
		w, body := askAs(t, s.method, base+s.path, s.user, s.password, archive)
		if w.StatusCode != s.status {
			t.Errorf("%s %s as %q: %s, want %d: %s", s.method, s.path, s.user, w.Status, s.status, body)
		}
		if w.StatusCode == 401 && w.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no challenge", s.path)
		}
	}
	if w, body := askAs(t, "GET", base+"/", "", "", nil); strings.Contains(body, "team") {
		t.Errorf("the list shows what the user may not see: %s", w.Status)
	}
	log, err := os.ReadFile(audit)
	if want := `"user":"ann"`; err != nil || !strings.Contains(string(log), want) || strings.Count(string(log), "\n") != 3 {
		t.Errorf("audit log (%v):\n%s", err, log)
	}

	// A change of the file counts soon.
	writeUsers(t, users, map[string]string{"bob": "another-password"})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		w, _ := askAs(t, "GET", base+"/team/x/index.yaml", "ann", "secret", nil)
		if w.StatusCode == http.StatusUnauthorized {
			break
		}
		if time.Now().After(end) {
			t.Fatal("ann still gets in")
		}
	}
}

func writePEM(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTokens(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := func(key any) string {
		der, err := x509.MarshalPKIXPublicKey(key)
		return writePEM(t, "PUBLIC KEY", der, err)
	}
	c := server.Config{}
	c.Access.Keys = []string{public(&rsaKey.PublicKey), public(&ecKey.PublicKey)}
	c.Access.Realm = "https://tokens.example/get"
	base, _ := start(t, c)
	sign := func(method jwt.SigningMethod, key any, life time.Duration, kind, name string, actions ...string) string {
		t.Helper()
		text, err := jwt.NewWithClaims(method, jwt.MapClaims{
			"sub": "robot", "exp": time.Now().Add(life).Unix(), "aud": "pkg",
			"access": []map[string]any{{"type": kind, "name": name, "actions": actions}},
		}).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	const tenant = "artifact-repository"
	cases := []struct {
		name, token string
		status      int
	}{
		{"none", "", 401},
		{"noise", "abc", 401},
		{"RS256", sign(jwt.SigningMethodRS256, rsaKey, time.Hour, tenant, "org/repo", "push"), 201},
		{"ES256", sign(jwt.SigningMethodES256, ecKey, time.Hour, tenant, "org/*", "*"), 409},
		{"expired", sign(jwt.SigningMethodES256, ecKey, -time.Hour, tenant, "org/repo", "push"), 401},
		{"other right", sign(jwt.SigningMethodES256, ecKey, time.Hour, tenant, "org/repo", "pull"), 401},
		{"other tenant", sign(jwt.SigningMethodES256, ecKey, time.Hour, tenant, "org/other", "push"), 401},
		{"an image of the tenant's name", sign(jwt.SigningMethodES256, ecKey, time.Hour, "repository", "org/repo", "push"), 401},
		{"other method", sign(jwt.SigningMethodRS512, rsaKey, time.Hour, tenant, "org/repo", "push"), 401},
		{"no signature", sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, time.Hour, tenant, "org/repo", "push"), 401},
		{"HMAC", sign(jwt.SigningMethodHS256, []byte("x"), time.Hour, tenant, "org/repo", "push"), 401},
	}
	archive := pack(t, "a", "1.0.0", nil)
	for _, tc := range cases {
		w, body := askAs(t, "POST", base+"/api/org/repo/charts", "", tc.token, archive)
		if w.StatusCode != tc.status {
			t.Errorf("%s: %s, want %d: %s", tc.name, w.Status, tc.status, body)
		}
	}
	w, _ := ask(t, "POST", base+"/v2/org/repo/a/blobs/uploads/", nil)
	if got, want := w.Header.Get("WWW-Authenticate"), `Bearer realm="https://tokens.example/get",service="pkg",scope="repository:org/repo/a:pull,push"`; got != want {
		t.Errorf("challenge %s, want %s", got, want)
	}
}

// TestTokenFlow signs in with a password at /token, as docker does.
func TestTokenFlow(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	c := server.Config{}
	c.Access.SigningKey = writePEM(t, "EC PRIVATE KEY", der, err)
	c.Access.Htpasswd = filepath.Join(t.TempDir(), "users")
	writeUsers(t, c.Access.Htpasswd, map[string]string{"ann": "secret"})
	base, _ := start(t, c)
	token := func(user, password string) string {
		t.Helper()
		w, body := askAs(t, "GET", base+"/token?service=pkg&scope=repository:org/repo/a:pull,push", user, password, nil)
		wantStatus(t, w, body, http.StatusOK)
		var answer struct{ Token string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatal(err)
		}
		return answer.Token
	}
	for _, tc := range []struct {
		token, path string
		status      int
	}{
		{token("ann", "secret"), "/v2/org/repo/a/blobs/uploads/", 202},
		{token("ann", "secret"), "/v2/org/repo/b/blobs/uploads/", 401},
		{token("", ""), "/v2/org/repo/a/blobs/uploads/", 401},
	} {
		if w, body := askAs(t, "POST", base+tc.path, "", tc.token, nil); w.StatusCode != tc.status {
			t.Errorf("%s: %s, want %d: %s", tc.path, w.Status, tc.status, body)
		}
	}
	if w, _ := askAs(t, "GET", base+"/token", "ann", "wrong", nil); w.StatusCode != http.StatusUnauthorized {
		t.Errorf("wrong password: %s", w.Status)
	}
}

func TestSelfMadeTLS(t *testing.T) {
	c := server.Config{Data: t.TempDir(), TLSSelfMade: true}
	base, _ := start(t, c)
	pemData, err := os.ReadFile(filepath.Join(c.Data, ".pkg", "tls.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pemData)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	w, err := (&http.Client{Transport: transport}).Get(base + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	wantStatus(t, w, "", http.StatusOK)
}

func TestRateLimit(t *testing.T) {
	base, _ := start(t, server.Config{Rate: 1})
	refused := 0
	for range 10 {
		if w, _ := ask(t, "GET", base+"/health", nil); w.StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused < 4 || refused > 6 {
		t.Errorf("%d of 10 requests were refused, want about 6", refused)
	}
}
