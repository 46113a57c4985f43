package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/api/openapi"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
	"github.com/seed38700745/pkg/cluster/store"
)

// cluster is a test server over TLS on a free port.
type cluster struct {
	*api.Server
	url string
	ca  []byte // PEM
	// stop ends the server and closes its store, as the end of the test does.
	stop func()
}

// start serves an empty cluster with the bootstrap objects, until the test
// ends. change may alter the configuration.
func start(t testing.TB, change func(*api.Config)) *cluster {
	return startAt(t, filepath.Join(t.TempDir(), "db"), store.History{}, change)
}

// startAt is start with a store file, which may exist, and its history.
func startAt(t testing.TB, path string, history store.History, change func(*api.Config)) *cluster {
	t.Helper()
	kinds := kind.NewRegistry(kind.All())
	db, err := store.Open(path, store.Options{Codec: api.NewCodec(kinds), History: history})
	if err != nil {
		t.Fatal(err)
	}
	documents, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	c := api.Config{
		OpenAPI: documents,
		Store:   db, Kinds: kinds, ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
		Authenticate: func(r *http.Request) (auth.User, error) {
			return auth.User{Name: "admin", Groups: []string{"system:masters", "system:authenticated"}}, nil
		},
		Authorize: func(context.Context, auth.Attributes) (bool, string, error) { return true, "", nil },
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if change != nil {
		change(&c)
	}
	s, err := api.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Bootstrap(t.Context(), s, netip.MustParseAddrPort("192.0.2.1:6443")); err != nil {
		t.Fatal(err)
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}}
	if _, err := builtin.ServiceAccounts.Create(t.Context(), s, sa, object.WriteOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	s.Prepare()
	cert, ca := certificate(t)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l, &tls.Config{Certificates: []tls.Certificate{cert}}) }()
	end := sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Cleanup(end)
	return &cluster{Server: s, url: "https://" + l.Addr().String(), ca: ca, stop: end}
}

// certificate makes a self-signed one for 127.0.0.1.
func certificate(t testing.TB) (tls.Certificate, []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// config is how client-go reaches the cluster.
func (c *cluster) config() *rest.Config {
	return &rest.Config{Host: c.url, TLSClientConfig: rest.TLSClientConfig{CAData: c.ca}, QPS: -1, UserAgent: "tester/1.0"}
}

func (c *cluster) client(t testing.TB) *kubernetes.Clientset {
	t.Helper()
	cs, err := kubernetes.NewForConfig(c.config())
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

// kubeconfig writes one and returns its path.
func (c *cluster) kubeconfig(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.crt")
	config := filepath.Join(dir, "config")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: t\nclusters: [{name: t, cluster: {server: %q, certificate-authority: %q}}]\n"+
		"users: [{name: t, user: {token: test}}]\ncontexts: [{name: t, context: {cluster: t, user: t}}]\n", c.url, ca)
	if err := os.WriteFile(ca, c.ca, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}
