package auth_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
	"github.com/seed38700745/pkg/cluster/pki"
	"github.com/seed38700745/pkg/cluster/store"
)

// secured is an API with real certificates, tokens and RBAC.
type secured struct {
	t     *testing.T
	pki   *pki.PKI
	url   string
	admin string // a kubeconfig's path
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	if _, err := exec.LookPath("kubectl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no kubectl on this machine")
	}
	p, err := pki.Open(t.TempDir(), pki.Options{})
	if err != nil {
		t.Fatal(err)
	}
	kinds := kind.NewRegistry(kind.All())
	db, err := store.Open(filepath.Join(t.TempDir(), "db"), store.Options{Codec: api.NewCodec(kinds)})
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(t, p, db, kinds)
	for _, name := range []string{"default", "kube-system"} {
		if _, err := builtin.Namespaces.Create(t.Context(), server, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, object.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := auth.EnsureRoles(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l, p.Server()) }() // ends with the test
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, db.Close()); err != nil {
			t.Error(err)
		}
	})
	s := &secured{t: t, pki: p, url: "https://" + l.Addr().String()}
	cert, key, err := p.Admin()
	if err != nil {
		t.Fatal(err)
	}
	s.admin = s.kubeconfig(cert, key)
	return s
}

func newServer(t *testing.T, p *pki.PKI, db store.Store, kinds *kind.Registry) *api.Server {
	t.Helper()
	var (
		server   *api.Server
		tokens   *auth.Tokens
		reviewer *auth.Reviewer
	)
	review := func(ctx context.Context, u auth.User, o object.Object) (object.Object, error) {
		out, err := reviewer.Review(ctx, u, o)
		if err != nil {
			return nil, err
		}
		return out.(object.Object), nil
	}
	server, err := api.New(api.Config{Store: db, Kinds: kinds,
		Authenticate: func(r *http.Request) (auth.User, error) {
			return (&auth.Authenticator{Tokens: tokens}).Authenticate(r)
		},
		Impersonate: func(ctx context.Context, u auth.User, h http.Header) (auth.User, error) {
			return reviewer.Authorizer.Impersonate(ctx, u, h)
		},
		Authorize: func(ctx context.Context, a auth.Attributes) (bool, string, error) {
			return reviewer.Authorizer.Authorize(ctx, a)
		},
		CheckWrite: func(ctx context.Context, u auth.User, o, old object.Object) error {
			return reviewer.Authorizer.CheckEscalation(ctx, u, o, old)
		},
		IssueToken: func(ctx context.Context, sa *corev1.ServiceAccount, tr *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
			return tokens.Issue(ctx, sa, tr)
		},
		Virtual: []api.Virtual{
			{GVK: authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview"), Plural: "selfsubjectaccessreviews", Create: review,
				New: func() object.Object { return &authorizationv1.SelfSubjectAccessReview{} }},
			{GVK: authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectRulesReview"), Plural: "selfsubjectrulesreviews", Create: review,
				New: func() object.Object { return &authorizationv1.SelfSubjectRulesReview{} }},
			{GVK: authenticationv1.SchemeGroupVersion.WithKind("SelfSubjectReview"), Plural: "selfsubjectreviews", Create: review,
				New: func() object.Object { return &authenticationv1.SelfSubjectReview{} }},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if tokens, err = auth.NewTokens(p.SigningKey(), server, "cluster.local", nil); err != nil {
		t.Fatal(err)
	}
	reviewer = &auth.Reviewer{Authorizer: auth.NewAuthorizer(server), Tokens: tokens}
	return server
}

func (s *secured) kubeconfig(cert, key []byte) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, pki.Kubeconfig(s.url, s.pki.CA(), cert, key), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// run runs kubectl and returns all it prints.
func (s *secured) run(config, args string) (string, error) {
	cmd := exec.CommandContext(s.t.Context(), "kubectl", strings.Fields(args)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+config, "HOME="+filepath.Dir(config))
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// want checks that kubectl succeeds or (fails set) does not, and says text.
func (s *secured) want(config, args string, fails bool, text string) {
	s.t.Helper()
	out, err := s.run(config, args)
	if (err != nil) != fails || !strings.Contains(out, text) {
		s.t.Errorf("kubectl %s: %v\n%s\nwant %q", args, err, out, text)
	}
}

func TestKubectl(t *testing.T) {
	s := newSecured(t)
	s.want(s.admin, "auth whoami", false, "pkg-admin")
	s.want(s.admin, "auth can-i delete nodes", false, "yes")
	s.want(s.admin, "create serviceaccount bot", false, "serviceaccount/bot created")
	s.want(s.admin, "create rolebinding bot --clusterrole=view --serviceaccount=default:bot", false, "created")
	s.want(s.admin, "create configmap c --from-literal=a=1", false, "created")
	s.want(s.admin, "auth can-i list configmaps --as=system:serviceaccount:default:bot", false, "yes")
	s.want(s.admin, "auth can-i list secrets --as=system:serviceaccount:default:bot", true, "no")
	s.want(s.admin, "get secrets --as=jane", true, `secrets is forbidden: User "jane" cannot list resource "secrets" in API group "" in the namespace "default"`)
	s.want(s.admin, "auth can-i --list --as=system:serviceaccount:default:bot", false, "[get list watch]")

	token, err := s.run(s.admin, "create token bot --duration=10m")
	if err != nil {
		t.Fatal(token, err)
	}
	nobody := s.kubeconfig(nil, nil)
	with := " --token=" + token
	s.want(nobody, "auth whoami"+with, false, "system:serviceaccount:default:bot")
	s.want(nobody, "get configmap c -o jsonpath={.data.a}"+with, false, "1")
	s.want(nobody, "delete configmap c"+with, true, `configmaps "c" is forbidden: User "system:serviceaccount:default:bot" cannot delete resource "configmaps"`)
	s.want(nobody, "create token bot --duration=1m"+with, true, "cannot create resource \"serviceaccounts/token\"")
	s.want(s.admin, "create token bot --duration=1m", true, "may not specify a duration less than 10 minutes")
	s.want(s.admin, "delete serviceaccount bot", false, "deleted")
	s.want(nobody, "get configmap c"+with, true, "Unauthorized")

	cert, key, err := s.pki.Client("jane", "dev")
	if err != nil {
		t.Fatal(err)
	}
	jane := s.kubeconfig(cert, key)
	s.want(jane, "auth whoami", false, "[dev system:authenticated]")
	s.want(s.admin, "create rolebinding jane --clusterrole=admin --user=jane", false, "created")
	s.want(jane, "create role r --verb=get --resource=secrets", false, "created")
	s.want(jane, "create role r2 --verb=get --resource=nodes", true, "is attempting to grant RBAC permissions not currently held")
	s.want(jane, "create rolebinding b --clusterrole=cluster-admin --user=jane", true, "is attempting to grant RBAC permissions not currently held")
}

func TestAnonymousSeesHealthOnly(t *testing.T) {
	s := newSecured(t)
	config := s.pki.AdminClient()
	config.GetClientCertificate = nil
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	for path, want := range map[string]int{"/healthz": 200, "/livez": 200, "/readyz": 200, "/version": 403, "/api": 403, "/apis": 403,
		"/openapi/v3": 403, "/metrics": 403, "/api/v1/namespaces": 403, "/api/v1/namespaces/default/pods": 403} {
		resp, err := client.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}
