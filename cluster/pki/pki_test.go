package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

func options() Options {
	return Options{NodeName: "n1", NodeIPs: []net.IP{net.ParseIP("192.0.2.7")}, ServiceIP: net.ParseIP("10.142.0.1")}
}

func open(t *testing.T, dir string, o Options) *PKI {
	t.Helper()
	p, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// handshake connects client to server in memory and returns both sides' errors.
func handshake(t *testing.T, server, client *tls.Config) (serverState tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	s := tls.Server(a, server)
	go func() { // ends with the handshake, or when the pipe closes
		err := s.Handshake()
		if err != nil {
			a.Close()
		} else {
			_, err = s.Write([]byte("x"))
		}
		done <- err
	}()
	c := tls.Client(b, client)
	clientErr = c.Handshake()
	if clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1)) // TLS 1.3: a refusal comes after the handshake
	} else {
		b.Close()
	}
	serverErr = <-done
	return s.ConnectionState(), serverErr, clientErr
}

func TestServingNames(t *testing.T) {
	p := open(t, t.TempDir(), options())
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local", "10.142.0.1", "n1", "192.0.2.7"} {
		c := p.AdminClient()
		c.ServerName = name
		state, serr, cerr := handshake(t, p.Server(), c)
		if serr != nil || cerr != nil {
			t.Errorf("as %s: server: %v, client: %v", name, serr, cerr)
			continue
		}
		subject := state.PeerCertificates[0].Subject
		if subject.CommonName != "pkg-admin" || len(subject.Organization) != 1 || subject.Organization[0] != "system:masters" {
			t.Errorf("admin is %v", subject)
		}
	}
	c := p.AdminClient()
	c.ServerName = "example.com"
	if _, _, err := handshake(t, p.Server(), c); err == nil {
		t.Error("the API's certificate was taken for example.com's")
	}
}

func TestServerTakesOnlyItsOwnClients(t *testing.T) {
	p, other := open(t, t.TempDir(), options()), open(t, t.TempDir(), options())
	c := &tls.Config{RootCAs: p.pool, ServerName: "localhost"}
	if state, serr, cerr := handshake(t, p.Server(), c); serr != nil || cerr != nil || len(state.PeerCertificates) != 0 {
		t.Errorf("without certificate: %v, %v", serr, cerr)
	}
	c.GetClientCertificate = other.AdminClient().GetClientCertificate
	if _, serr, _ := handshake(t, p.Server(), c); serr == nil {
		t.Error("a foreign client certificate was accepted")
	}
}

func TestKubeletLetsInOnlyTheAPI(t *testing.T) {
	p := open(t, t.TempDir(), options())
	c := p.KubeletClient()
	c.ServerName = "n1"
	if _, serr, cerr := handshake(t, p.KubeletServer(), c); serr != nil || cerr != nil {
		t.Fatalf("API server: %v, %v", serr, cerr)
	}
	cert, key, err := p.Client("jane", "dev")
	if err != nil {
		t.Fatal(err)
	}
	jane, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, certs := range [][]tls.Certificate{nil, {jane}} {
		c := &tls.Config{RootCAs: p.pool, ServerName: "n1", Certificates: certs}
		if _, serr, _ := handshake(t, p.KubeletServer(), c); serr == nil {
			t.Errorf("let in with %d certificates", len(certs))
		}
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	start := time.Now()
	open(t, dir, options())
	t.Logf("made in %v", time.Since(start))
	before := contents(t, dir)
	if len(before) != 6 {
		t.Fatalf("%d files, want 6", len(before))
	}
	open(t, dir, options())
	for name, text := range contents(t, dir) {
		if text != before[name] {
			t.Errorf("%s changed", name)
		}
	}
	for name := range before {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestReissue(t *testing.T) {
	later := func(d time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(d) } }
	day := 24 * time.Hour
	tests := []struct {
		name   string
		change func(dir string, o *Options)
		want   string // the files that change
	}{
		{"new address", func(_ string, o *Options) { o.NodeIPs = []net.IP{net.ParseIP("192.0.2.8")} }, "apiserver kubelet"},
		{"new service address", func(_ string, o *Options) { o.ServiceIP = net.ParseIP("10.143.0.1") }, "apiserver"},
		{"335 days left", func(_ string, o *Options) { o.Now = later(30 * day) }, ""},
		{"29 days left", func(_ string, o *Options) { o.Now = later(336 * day) }, "admin apiserver kubelet kubelet-client"},
		{"authority ends", func(_ string, o *Options) { o.Now = later(3640 * day) }, "admin apiserver ca kubelet kubelet-client"},
		{"damaged leaf", func(dir string, _ *Options) { os.Truncate(filepath.Join(dir, "kubelet.pem"), 40) }, "kubelet"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, o := t.TempDir(), options()
			open(t, dir, o)
			before := contents(t, dir)
			test.change(dir, &o)
			open(t, dir, o)
			var changed []string
			after := contents(t, dir)
			for _, name := range []string{"admin", "apiserver", "ca", "kubelet", "kubelet-client", "sa"} {
				if after[name+".pem"] != before[name+".pem"] {
					changed = append(changed, name)
				}
			}
			if got := strings.Join(changed, " "); got != test.want {
				t.Errorf("changed %q, want %q", got, test.want)
			}
		})
	}
}

func TestRenewWhileRunning(t *testing.T) {
	now := time.Now()
	o := options()
	o.Now = func() time.Time { return now }
	p := open(t, t.TempDir(), o)
	first, err := p.Server().GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(340 * 24 * time.Hour)
	second, err := p.Server().GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !second.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Error("not renewed")
	}
}

func TestDamagedAuthorityIsAnError(t *testing.T) {
	for _, name := range []string{"ca.pem", "sa.pem"} {
		dir := t.TempDir()
		open(t, dir, options())
		if err := os.Truncate(filepath.Join(dir, name), 20); err != nil {
			t.Fatal(err)
		}
		before := contents(t, dir)
		if _, err := Open(dir, options()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if contents(t, dir)[name] != before[name] {
			t.Errorf("%s was replaced", name)
		}
	}
}

func TestKubeconfig(t *testing.T) {
	p := open(t, t.TempDir(), options())
	cert, key, err := p.Admin()
	if err != nil {
		t.Fatal(err)
	}
	c, err := clientcmd.RESTConfigFromKubeConfig(Kubeconfig("https://127.0.0.1:6443", p.CA(), cert, key))
	if err != nil {
		t.Fatal(err)
	}
	if c.Host != "https://127.0.0.1:6443" || string(c.CAData) != string(p.CA()) {
		t.Errorf("host %s", c.Host)
	}
	block, _ := pem.Decode(c.CertData)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || leaf.Subject.CommonName != "pkg-admin" {
		t.Errorf("certificate %v, %v", leaf.Subject, err)
	}
	if _, err := tls.X509KeyPair(c.CertData, c.KeyData); err != nil {
		t.Error(err)
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}
