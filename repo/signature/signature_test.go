package signature_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed38700745/pkg/repo/signature"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func payload(kind, digest string) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":%q},"type":%q},"optional":null}`, digest, kind)
}

func publicKey(t *testing.T, key crypto.PublicKey) []signature.Key {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	keys, err := signature.ReadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestKindsOfKeys: every kind of key that cosign makes or takes, and a byte changed.
func TestKindsOfKeys(t *testing.T) {
	message := payload("cosign container image signature", digest)
	sum, long := sha256.Sum256(message), sha512.Sum384(message)
	small, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, one := range map[string]struct {
		public crypto.PublicKey
		sign   func() ([]byte, error)
	}{
		"P-256":          {&small.PublicKey, func() ([]byte, error) { return ecdsa.SignASN1(rand.Reader, small, sum[:]) }},
		"P-384, SHA-256": {&large.PublicKey, func() ([]byte, error) { return ecdsa.SignASN1(rand.Reader, large, sum[:]) }},
		"P-384, SHA-384": {&large.PublicKey, func() ([]byte, error) { return ecdsa.SignASN1(rand.Reader, large, long[:]) }},
		"RSA, PKCS #1":   {&old.PublicKey, func() ([]byte, error) { return rsa.SignPKCS1v15(rand.Reader, old, crypto.SHA256, sum[:]) }},
		"RSA, PSS":       {&old.PublicKey, func() ([]byte, error) { return rsa.SignPSS(rand.Reader, old, crypto.SHA256, sum[:], nil) }},
		"Ed25519":        {public, func() ([]byte, error) { return ed25519.Sign(edwards, message), nil }},
	} {
		keys := publicKey(t, one.public)
		made, err := one.sign()
		if err != nil {
			t.Fatal(err)
		}
		s, err := signature.Simple(message, base64.StdEncoding.EncodeToString(made))
		if err != nil {
			t.Fatal(err)
		}
		if k, err := s.Verify(digest, keys); err != nil || k.Name != keys[0].Name {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.Verify(strings.Replace(digest, "0", "1", 1), keys); err == nil {
			t.Errorf("%s: good for another digest", name)
		}
		if _, err := s.Verify(digest, publicKey(t, func() crypto.PublicKey {
			other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return &other.PublicKey
		}())); !errors.Is(err, signature.ErrUnknownKey) {
			t.Errorf("%s: another key: %v", name, err)
		}
		changed := []byte(strings.Replace(string(message), "null", "nuLL", 1))
		if s, err := signature.Simple(changed, base64.StdEncoding.EncodeToString(made)); err == nil {
			if _, err := s.Verify(digest, keys); err == nil {
				t.Errorf("%s: good after a change", name)
			}
		}
		made[len(made)-1] ^= 1
		if s, err = signature.Simple(message, base64.StdEncoding.EncodeToString(made)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Verify(digest, keys); err == nil {
			t.Errorf("%s: a changed signature is good", name)
		}
	}
}

// TestCosignsOwn reads what cosign 3.0.2 made with one key: sign --tlog-upload=false, once
// with --new-bundle-format=false and once without.
func TestCosignsOwn(t *testing.T) {
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	keys, err := signature.ReadKeys(filepath.Join("testdata", "cosign.pub"))
	if err != nil {
		t.Fatal(err)
	}
	simple, err := signature.Simple(read("simple.json"), string(read("simple.sig")))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := signature.Bundle(read("bundle.json"))
	if err != nil {
		t.Fatal(err)
	}
	for digest, s := range map[string]*signature.Signature{
		"sha256:386114b2020c1768b105c685a6ac40c2408757a00a3dea180fd8333cb1aadf32": simple,
		"sha256:8ea5523501400dd290c562f86880134085264f6cc623977d0d99142e0fd7c957": bundle,
	} {
		if _, err := s.Verify(digest, keys); err != nil {
			t.Errorf("%s: %v", s.Form, err)
		}
	}
}

func TestWhatIsNoSignature(t *testing.T) {
	for _, bad := range []string{"", "{}", "[]", string(payload("atomic container signature", digest)), string(payload("cosign container image signature", ""))} {
		if _, err := signature.Simple([]byte(bad), ""); err == nil {
			t.Errorf("a payload: %s", bad)
		}
		if _, err := signature.Bundle([]byte(bad)); err == nil {
			t.Errorf("a bundle: %s", bad)
		}
	}
	for want, text := range map[string]string{
		"no public key": "nothing", "a PRIVATE KEY, not a PUBLIC KEY": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"asn1": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
	} {
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := signature.ReadKeys(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

// FuzzRead: foreign bytes are refused or read, and never good without a key.
func FuzzRead(f *testing.F) {
	f.Add(payload("cosign container image signature", digest), "AAAA")
	f.Add([]byte(`{"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AAAA"}]}}`), "")
	f.Fuzz(func(t *testing.T, data []byte, annotation string) {
		for _, read := range []func() (*signature.Signature, error){
			func() (*signature.Signature, error) { return signature.Simple(data, annotation) },
			func() (*signature.Signature, error) { return signature.Bundle(data) },
		} {
			if s, err := read(); err == nil {
				if _, err := s.Verify(digest, nil); err == nil {
					t.Error("good without a key")
				}
			}
		}
	})
}
