package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// pair is a certificate with its private key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// template is what a leaf must say. A leaf with server set is a serving
// certificate; others are for clients.
type template struct {
	name   string   // common name: the user
	groups []string // organizations
	names  []string // DNS names
	ips    []net.IP
	server bool
}

func newCA(now time.Time) (*pair, error) {
	return sign(&x509.Certificate{
		// The start time tells successive authorities apart in messages.
		Subject:               pkix.Name{CommonName: "pkg-ca@" + strconv.FormatInt(now.Unix(), 10)},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}, nil)
}

// issue signs a leaf with p, the authority. It ends no later than p does.
func (p *pair) issue(t template, now time.Time) (*pair, error) {
	end := now.Add(leafLifetime)
	if end.After(p.cert.NotAfter) {
		end = p.cert.NotAfter
	}
	usage := x509.ExtKeyUsageClientAuth
	if t.server {
		usage = x509.ExtKeyUsageServerAuth
	}
	return sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: t.name, Organization: t.groups},
		NotBefore:   now.Add(-skew),
		NotAfter:    end,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{usage},
		DNSNames:    t.names,
		IPAddresses: t.ips,
	}, p)
}

// sign makes a key and has its certificate signed by ca, or by itself.
func sign(c *x509.Certificate, ca *pair) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// 127 random bits: positive, and unique without a record of what was issued.
	if c.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	if ca == nil {
		ca = &pair{cert: c, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &pair{cert, key}, nil
}

// fits tells whether the certificate is of this authority, says all that t
// asks for, and does not end soon.
func (p *pair) fits(t template, ca *x509.Certificate, now time.Time) bool {
	soon := now.Add(renewBefore)
	if soon.After(ca.NotAfter) {
		soon = now // the authority itself ends soon: nothing longer can be had
	}
	return !now.Before(p.cert.NotBefore) && soon.Before(p.cert.NotAfter) &&
		p.cert.CheckSignatureFrom(ca) == nil &&
		p.cert.Subject.CommonName == t.name && slices.Equal(p.cert.Subject.Organization, t.groups) &&
		covers(p.cert.DNSNames, t.names, func(a, b string) bool { return a == b }) &&
		covers(p.cert.IPAddresses, t.ips, net.IP.Equal)
}

// covers tells whether have contains all of want.
func covers[T any](have, want []T, equal func(a, b T) bool) bool {
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h T) bool { return equal(h, w) }) {
			return false
		}
	}
	return true
}

func (p *pair) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
}

func (p *pair) keyPEM() []byte { return keyPEM(p.key) }

func (p *pair) tls() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{p.cert.Raw}, PrivateKey: p.key, Leaf: p.cert}
}

func keyPEM(k *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		panic(err) // only for curves that the standard library does not know
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

// Whether a file must be on disk before save returns.
const (
	durable     = true
	replaceable = false // issued anew when damaged
)

func (p *pair) save(path string, sync bool) error {
	return write(path, append(p.certPEM(), p.keyPEM()...), sync)
}

// load reads what save wrote. Errors: os.ErrNotExist, or what is wrong with it.
func load(path string) (*pair, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := t.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: the key is a %T, want ECDSA", path, t.PrivateKey)
	}
	return &pair{t.Leaf, key}, nil
}

// openKey reads a private key, or makes it when there is none.
func openKey(path string) (*ecdsa.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		return key, write(path, keyPEM(key), durable)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM (restore the file, or remove it: then all service account tokens end)", path)
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// write replaces a file at once, so that a crash leaves the old or the new.
func write(path string, data []byte, sync bool) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.Write(data)
	if err == nil && sync {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil || !sync {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
