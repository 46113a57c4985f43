package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

const kubernetesAudience = "https://kubernetes.default.svc.cluster.local"

// office is a Tokens with a clock, a service account dev/bot, its pod "web-0"
// on node n1, a pod of another account, and a secret.
type office struct {
	*Tokens
	memory *memory
	sa     *corev1.ServiceAccount
	clock  time.Time
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "dev", Name: name} }
	o.sa = &corev1.ServiceAccount{ObjectMeta: meta("bot")}
	o.memory = newMemory(t, map[object.Resource][]object.Object{
		builtin.ServiceAccounts.Resource: {o.sa},
		builtin.Pods.Resource: {
			&corev1.Pod{ObjectMeta: meta("web-0"), Spec: corev1.PodSpec{ServiceAccountName: "bot", NodeName: "n1"}},
			&corev1.Pod{ObjectMeta: meta("other"), Spec: corev1.PodSpec{ServiceAccountName: "default"}},
		},
		builtin.Secrets.Resource: {&corev1.Secret{ObjectMeta: meta("s")}},
		builtin.Nodes.Resource:   {&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}},
	})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if o.Tokens, err = NewTokens(key, o.memory, "cluster.local", func() time.Time { return o.clock }); err != nil {
		t.Fatal(err)
	}
	return o
}

// request builds a TokenRequest; seconds 0 and pod "" leave them out.
func request(seconds int64, kind, name string, audiences ...string) *authenticationv1.TokenRequest {
	tr := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	if seconds != 0 {
		tr.Spec.ExpirationSeconds = &seconds
	}
	if kind != "" {
		tr.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{Kind: kind, APIVersion: "v1", Name: name}
	}
	return tr
}

func (o *office) issue(t *testing.T, tr *authenticationv1.TokenRequest) authenticationv1.TokenRequestStatus {
	t.Helper()
	got, err := o.Issue(t.Context(), o.sa, tr)
	if err != nil {
		t.Fatal(err)
	}
	return got.Status
}

func payload(t *testing.T, token string) map[string]any {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestIssuedTokenNamesItsHolder(t *testing.T) {
	o := newOffice(t)
	status := o.issue(t, request(0, "Pod", "web-0"))
	if want := o.clock.Add(time.Hour); !status.ExpirationTimestamp.Time.Equal(want) {
		t.Errorf("expires %v, want %v", status.ExpirationTimestamp, want)
	}
	p := payload(t, status.Token)
	if p["iss"] != kubernetesAudience || p["sub"] != "system:serviceaccount:dev:bot" || p["exp"] != float64(o.clock.Add(time.Hour).Unix()) {
		t.Errorf("claims %v", p)
	}
	u, audiences, err := o.Verify(t.Context(), status.Token, nil)
	if err != nil {
		t.Fatal(err)
	}
	if u.Name != "system:serviceaccount:dev:bot" || u.UID != string(o.sa.UID) || !slices.Equal(audiences, []string{kubernetesAudience}) ||
		!slices.Equal(u.Groups, []string{"system:serviceaccounts", "system:serviceaccounts:dev", "system:authenticated"}) {
		t.Errorf("user %+v, audiences %v", u, audiences)
	}
	for key, want := range map[string]string{podNameExtra: "web-0", podUIDExtra: "uid-pods-web-0", nodeNameExtra: "n1", nodeUIDExtra: "uid-nodes-n1"} {
		if !slices.Equal(u.Extra[key], []string{want}) {
			t.Errorf("%s is %v, want %s", key, u.Extra[key], want)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	o := newOffice(t)
	wrongUID := request(0, "Pod", "web-0")
	wrongUID.Spec.BoundObjectRef.UID = "old"
	tests := []struct {
		name  string
		tr    *authenticationv1.TokenRequest
		check func(error) bool
	}{
		{"too short", request(599, "", ""), apierrors.IsInvalid},
		{"too long", request(1<<32+1, "", ""), apierrors.IsInvalid},
		{"other account's pod", request(0, "Pod", "other"), apierrors.IsBadRequest},
		{"missing pod", request(0, "Pod", "none"), apierrors.IsNotFound},
		{"replaced pod", wrongUID, apierrors.IsConflict},
		{"bad kind", request(0, "ConfigMap", "s"), apierrors.IsBadRequest},
	}
	for _, test := range tests {
		if _, err := o.Issue(t.Context(), o.sa, test.tr); !test.check(err) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestMountedTokenIsExtended(t *testing.T) {
	o := newOffice(t)
	status := o.issue(t, request(3607, "Pod", "web-0"))
	if want := o.clock.Add(3607 * time.Second); !status.ExpirationTimestamp.Time.Equal(want) {
		t.Errorf("told %v, want %v", status.ExpirationTimestamp, want)
	}
	bound, _ := payload(t, status.Token)["kubernetes.io"].(map[string]any)
	if bound["warnafter"] != float64(o.clock.Unix()+3607) {
		t.Errorf("warnafter %v", bound["warnafter"])
	}
	o.clock = o.clock.Add(30 * 24 * time.Hour)
	if _, _, err := o.Verify(t.Context(), status.Token, nil); err != nil {
		t.Errorf("after a month: %v", err)
	}
	plain := o.issue(t, request(3607, "", ""))
	if _, ok := payload(t, plain.Token)["kubernetes.io"].(map[string]any)["warnafter"]; ok {
		t.Error("a token without pod is extended")
	}
}

func TestVerifyRefuses(t *testing.T) {
	tests := []struct {
		name   string
		tr     *authenticationv1.TokenRequest
		change func(o *office, token string) string
		want   string
	}{
		{"expired", request(600, "", ""), func(o *office, s string) string { o.clock = o.clock.Add(600 * time.Second); return s }, "expired"},
		{"early", request(0, "", ""), func(o *office, s string) string { o.clock = o.clock.Add(-time.Second); return s }, "not valid yet"},
		{"audience", request(0, "", "", "vault"), func(_ *office, s string) string { return s }, "target audiences"},
		{"garbage", request(0, "", ""), func(*office, string) string { return "abc" }, "not a service account token"},
		{"no algorithm", request(0, "", ""), func(_ *office, s string) string {
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(s, ".")[1] + "."
		}, "somebody else"},
		{"changed claims", request(0, "", ""), func(_ *office, s string) string {
			p := strings.Split(s, ".")
			return p[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"root"}`)) + "." + p[2]
		}, "signature"},
		{"other issuer's key", request(0, "", ""), func(*office, string) string {
			other := newOffice(t)
			return other.issue(t, request(0, "", "")).Token
		}, "somebody else"},
		{"account gone", request(0, "", ""), func(o *office, s string) string {
			o.memory.drop(builtin.ServiceAccounts.Resource, object.KeyOf(o.sa))
			return s
		}, "service account bot of the token is gone"},
		{"account replaced", request(0, "", ""), func(o *office, s string) string {
			o.memory.put(builtin.ServiceAccounts.Resource, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "dev", Name: "bot", UID: "new"}})
			return s
		}, "replaced"},
		{"pod gone", request(0, "Pod", "web-0"), func(o *office, s string) string {
			o.memory.drop(builtin.Pods.Resource, object.Key{Namespace: "dev", Name: "web-0"})
			return s
		}, "pod web-0 of the token is gone"},
		{"pod deleted for over a minute", request(0, "Pod", "web-0"), func(o *office, s string) string {
			at := metav1.NewTime(o.clock)
			o.memory.all[builtin.Pods.Resource][object.Key{Namespace: "dev", Name: "web-0"}].SetDeletionTimestamp(&at)
			if _, _, err := o.Verify(t.Context(), s, nil); err != nil {
				t.Errorf("at once after the deletion: %v", err)
			}
			o.clock = o.clock.Add(61 * time.Second)
			return s
		}, "being deleted"},
		{"secret gone", request(0, "Secret", "s"), func(o *office, s string) string {
			o.memory.drop(builtin.Secrets.Resource, object.Key{Namespace: "dev", Name: "s"})
			return s
		}, "secret s of the token is gone"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOffice(t)
			token := test.change(o, o.issue(t, test.tr).Token)
			if _, _, err := o.Verify(t.Context(), token, nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestDiscovery checks a token with nothing but the published key.
func TestDiscovery(t *testing.T) {
	o := newOffice(t)
	w := httptest.NewRecorder()
	o.Configuration(w, nil)
	var c configuration
	if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil || c.Issuer != kubernetesAudience || c.KeysURI != kubernetesAudience+"/openid/v1/jwks" {
		t.Errorf("configuration %s, %v", w.Body, err)
	}
	w = httptest.NewRecorder()
	o.Keys(w, nil)
	var set struct{ Keys []jwk }
	if err := json.Unmarshal(w.Body.Bytes(), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("keys %s, %v", w.Body, err)
	}
	point := []byte{4} // an uncompressed point: 4, x, y
	for _, half := range []string{set.Keys[0].X, set.Keys[0].Y} {
		b, err := base64.RawURLEncoding.DecodeString(half)
		if err != nil {
			t.Fatal(err)
		}
		point = append(point, b...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	public := &signer{id: set.Keys[0].ID, key: &ecdsa.PrivateKey{PublicKey: *key}}
	if err := public.verify(o.issue(t, request(0, "", "")).Token, &claims{}); err != nil {
		t.Errorf("the published key does not fit: %v", err)
	}
}

func TestAuthenticate(t *testing.T) {
	o := newOffice(t)
	a := &Authenticator{Tokens: o.Tokens}
	leaf := &x509.Certificate{Raw: []byte("x"), Subject: pkix.Name{CommonName: "jane", Organization: []string{"dev"}}}
	with := func(header string, chains ...[]*x509.Certificate) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/api", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		r.TLS = &tls.ConnectionState{VerifiedChains: chains, PeerCertificates: []*x509.Certificate{leaf}}
		return r
	}
	tests := []struct {
		name    string
		r       *http.Request
		want    string
		refused bool
	}{
		{"nobody", with(""), "system:anonymous", false},
		{"unverified certificate", with(""), "system:anonymous", false},
		{"certificate", with("", []*x509.Certificate{leaf}), "jane", false},
		{"token", with("Bearer " + o.issue(t, request(0, "", "")).Token), "system:serviceaccount:dev:bot", false},
		{"bad token", with("bearer abc"), "", true},
		{"basic", with("Basic YTpi"), "system:anonymous", false},
	}
	for _, test := range tests {
		u, err := a.Authenticate(test.r)
		if apierrors.IsUnauthorized(err) != test.refused || u.Name != test.want {
			t.Errorf("%s: %q, %v", test.name, u.Name, err)
		}
		if test.want == "jane" && !slices.Equal(u.Groups, []string{"dev", "system:authenticated"}) {
			t.Errorf("groups %v", u.Groups)
		}
	}
}

func TestReviews(t *testing.T) {
	_, z := world(t)
	o := newOffice(t)
	v := &Reviewer{Authorizer: z, Tokens: o.Tokens}
	jane := user("jane")
	pods := &authorizationv1.ResourceAttributes{Namespace: "dev", Verb: "list", Resource: "pods"}
	nodes := &authorizationv1.ResourceAttributes{Verb: "list", Resource: "nodes"}
	review := func(u User, in object.Object) any {
		t.Helper()
		out, err := v.Review(t.Context(), u, in)
		if err != nil {
			t.Fatalf("%T: %v", in, err)
		}
		return out
	}
	for _, test := range []struct {
		attributes *authorizationv1.ResourceAttributes
		want       bool
	}{{pods, true}, {nodes, false}} {
		self := review(jane, &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: test.attributes}})
		if got := self.(*authorizationv1.SelfSubjectAccessReview).Status; got.Allowed != test.want {
			t.Errorf("self %v: %+v", test.attributes.Resource, got)
		}
		other := review(Anonymous(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "jane", ResourceAttributes: test.attributes}})
		if got := other.(*authorizationv1.SubjectAccessReview).Status; got.Allowed != test.want {
			t.Errorf("subject %v: %+v", test.attributes.Resource, got)
		}
	}
	rules := review(jane, &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "dev"}}).(*authorizationv1.SelfSubjectRulesReview)
	if len(rules.Status.ResourceRules) < 10 || len(rules.Status.NonResourceRules) < 1 || rules.Status.Incomplete {
		t.Errorf("rules %+v", rules.Status)
	}
	who := review(jane, &authenticationv1.SelfSubjectReview{}).(*authenticationv1.SelfSubjectReview)
	if who.Status.UserInfo.Username != "jane" {
		t.Errorf("who am i: %+v", who.Status)
	}
	token := o.issue(t, request(0, "", "", "vault")).Token
	good := review(jane, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{"vault", "x"}}}).(*authenticationv1.TokenReview)
	if !good.Status.Authenticated || good.Status.User.Username != "system:serviceaccount:dev:bot" || !slices.Equal(good.Status.Audiences, []string{"vault"}) {
		t.Errorf("token: %+v", good.Status)
	}
	bad := review(jane, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}).(*authenticationv1.TokenReview)
	if bad.Status.Authenticated || bad.Status.Error == "" {
		t.Errorf("token for another audience: %+v", bad.Status)
	}
	if _, err := v.Review(t.Context(), jane, &authorizationv1.SelfSubjectAccessReview{}); !apierrors.IsInvalid(err) {
		t.Errorf("empty review: %v", err)
	}
	local := &authorizationv1.LocalSubjectAccessReview{ObjectMeta: metav1.ObjectMeta{Namespace: "prod"}, Spec: authorizationv1.SubjectAccessReviewSpec{User: "jane", ResourceAttributes: pods}}
	if _, err := v.Review(t.Context(), jane, local); !apierrors.IsInvalid(err) {
		t.Errorf("review of another namespace: %v", err)
	}
}
