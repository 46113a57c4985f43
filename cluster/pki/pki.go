// Package pki is the cluster's own certificate authority. It keeps, in one
// folder, the authority, the certificates that the cluster's parts show each
// other, and the key that signs service account tokens.
//
// The folder has one PEM file an identity, certificate and private key
// together, so that a crash can never leave a pair that does not match:
//
//	ca.pem              the authority, 10 years
//	apiserver.pem       the API's serving certificate
//	kubelet.pem         the node's serving certificate (system:node:<name>)
//	kubelet-client.pem  shown by the API server to the node
//	admin.pem           client certificate of group system:masters
//	sa.pem              ECDSA key of service account tokens, no certificate
//
// Files are 0600, the folder 0700. Open makes what is missing and issues anew
// what is damaged, near its expiry, of another authority, or lacks a name or
// address that is needed now. Only a damaged ca.pem or sa.pem is an error:
// replacing these would lock out everybody who trusts them, so the user
// decides. Certificates are ECDSA P-256; leaves live a year and are renewed,
// also while running, when less than 30 days are left.
package pki

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Lifetimes. Kubernetes' tools use the same for kubeadm clusters.
const (
	caLifetime   = 10 * 365 * 24 * time.Hour
	leafLifetime = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is replaced.
	renewBefore = 30 * 24 * time.Hour
	// skew backdates certificates for machines whose clock is behind.
	skew = time.Hour
)

// Identities that Kubernetes clients and servers know by name.
const (
	mastersGroup      = "system:masters"
	nodesGroup        = "system:nodes"
	adminName         = "pkg-admin"
	kubeletClientName = "kube-apiserver-kubelet-client"
)

// Options say what the certificates are for.
type Options struct {
	NodeName  string           // this machine's node name; "" means no kubelet certificate names
	NodeIPs   []net.IP         // addresses of this machine besides loopback
	ServiceIP net.IP           // ClusterIP of Service default/kubernetes
	Names     []string         // further DNS names of the API server
	Domain    string           // cluster domain; "" means cluster.local
	Now       func() time.Time // nil means time.Now
}

// PKI is an open folder of certificates. It is safe for concurrent use.
type PKI struct {
	dir     string
	now     func() time.Time
	ca      *pair
	pool    *x509.CertPool
	signing *ecdsa.PrivateKey

	mu     sync.Mutex
	leaves map[string]*leaf // guarded by mu, with what the leaves point to
}

// leaf is one identity and what its certificate must say.
type leaf struct {
	file string
	want template
	pair *pair
}

// The leaves, by file name.
const (
	apiserverFile     = "apiserver.pem"
	kubeletFile       = "kubelet.pem"
	kubeletClientFile = "kubelet-client.pem"
	adminFile         = "admin.pem"
)

// Open loads the folder dir, makes it and what it lacks. Errors: the folder
// cannot be used, or the authority or the signing key in it is damaged.
func Open(dir string, o Options) (*PKI, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	p := &PKI{dir: dir, now: o.Now, pool: x509.NewCertPool(), leaves: map[string]*leaf{}}
	var err error
	if p.ca, err = p.openCA(); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	p.pool.AddCert(p.ca.cert)
	if p.signing, err = openKey(filepath.Join(dir, "sa.pem")); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	for file, want := range wanted(o) {
		l := &leaf{file: file, want: want}
		if l.pair, err = load(filepath.Join(dir, file)); err != nil {
			l.pair = nil // missing or damaged: issued anew below
		}
		p.leaves[file] = l
		if _, err := p.current(file); err != nil {
			return nil, fmt.Errorf("certificates: %w", err)
		}
	}
	return p, nil
}

// openCA loads the authority, or makes it when there is none or it is about
// to end.
func (p *PKI) openCA() (*pair, error) {
	path := filepath.Join(p.dir, "ca.pem")
	ca, err := load(path)
	switch {
	case err == nil && p.now().Before(ca.cert.NotAfter.Add(-renewBefore)):
		return ca, nil
	case err == nil || errors.Is(err, os.ErrNotExist):
		if ca, err = newCA(p.now()); err != nil {
			return nil, err
		}
		return ca, ca.save(path, durable)
	}
	return nil, fmt.Errorf("the cluster's authority is damaged: %w (restore the file, or remove it to have a new authority made: then every kubeconfig must be fetched again)", err)
}

// wanted lists the leaves and what they must say.
func wanted(o Options) map[string]template {
	domain := o.Domain
	if domain == "" {
		domain = "cluster.local"
	}
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain}
	nodeNames := []string{"localhost"}
	nodeIPs := append([]net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, o.NodeIPs...)
	if ip := net.ParseIP(o.NodeName); ip != nil {
		nodeIPs = append(nodeIPs, ip)
	} else if o.NodeName != "" {
		names = append(names, o.NodeName)
		nodeNames = append(nodeNames, o.NodeName)
	}
	ips := append([]net.IP{}, nodeIPs...)
	if o.ServiceIP != nil {
		ips = append(ips, o.ServiceIP)
	}
	return map[string]template{
		apiserverFile:     {name: "kube-apiserver", names: append(names, o.Names...), ips: ips, server: true},
		kubeletFile:       {name: "system:node:" + o.NodeName, groups: []string{nodesGroup}, names: nodeNames, ips: nodeIPs, server: true},
		kubeletClientFile: {name: kubeletClientName, groups: []string{mastersGroup}},
		adminFile:         {name: adminName, groups: []string{mastersGroup}},
	}
}

// current returns a leaf that will do for now, issuing it anew when it must.
func (p *PKI) current(file string) (*pair, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.leaves[file]
	if l.pair != nil && l.pair.fits(l.want, p.ca.cert, p.now()) {
		return l.pair, nil
	}
	fresh, err := p.ca.issue(l.want, p.now())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := fresh.save(filepath.Join(p.dir, file), replaceable); err != nil {
		return nil, err
	}
	l.pair = fresh
	return fresh, nil
}

// CA returns the authority's certificate as PEM: what clients must trust.
func (p *PKI) CA() []byte { return p.ca.certPEM() }

// Admin returns certificate and key, as PEM, of a client that may do everything.
func (p *PKI) Admin() (cert, key []byte, err error) {
	a, err := p.current(adminFile)
	if err != nil {
		return nil, nil, err
	}
	return a.certPEM(), a.keyPEM(), nil
}

// Client issues a client certificate for a user and groups. It is not kept.
func (p *PKI) Client(user string, groups ...string) (cert, key []byte, err error) {
	c, err := p.ca.issue(template{name: user, groups: groups}, p.now())
	if err != nil {
		return nil, nil, err
	}
	return c.certPEM(), c.keyPEM(), nil
}

// SigningKey signs service account tokens (ES256).
func (p *PKI) SigningKey() *ecdsa.PrivateKey { return p.signing }
