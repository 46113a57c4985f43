package provenance_test

import (
	"bytes"
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/chart/provenance"
)

// newKeys makes a key and returns its private and its public keyring file.
func newKeys(t *testing.T, name, passphrase string) (private, public string) {
	t.Helper()
	config := &packet.Config{RSABits: 2048, DefaultHash: crypto.SHA512}
	e, err := openpgp.NewEntity(name, "", name+"@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	var secret, open bytes.Buffer
	if err := e.SerializePrivate(&secret, config); err != nil { // before encryption: it signs itself
		t.Fatal(err)
	}
	if passphrase != "" {
		if err := e.EncryptPrivateKeys([]byte(passphrase), config); err != nil {
			t.Fatal(err)
		}
		secret.Reset()
		if err := e.SerializePrivateWithoutSigning(&secret, config); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Serialize(&open); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	private, public = filepath.Join(dir, "secret.gpg"), filepath.Join(dir, "public.gpg")
	for file, data := range map[string][]byte{private: secret.Bytes(), public: open.Bytes()} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return private, public
}

func ring(t *testing.T, file string) *provenance.Keyring {
	t.Helper()
	r, err := provenance.ReadKeyring(file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func archive(t *testing.T) []byte {
	t.Helper()
	c, err := chart.LoadFS(fstest.MapFS{"Chart.yaml": {Data: []byte("apiVersion: v2\nname: web\nversion: 1.0.0\ndescription: '- dash'\n")}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := chart.Save(&out, c, time.Time{}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSignAndVerify(t *testing.T) {
	private, public := newKeys(t, "alice", "")
	_, other := newKeys(t, "bob", "")
	key, err := ring(t, private).Key("alice")
	if err != nil {
		t.Fatal(err)
	}
	data := archive(t)
	signed, err := provenance.Sign("web-1.0.0.tgz", data, key)
	if err != nil {
		t.Fatal(err)
	}
	v, err := provenance.Verify("web-1.0.0.tgz", data, signed, ring(t, public))
	if err != nil {
		t.Fatal(err)
	}
	if len(v.SignedBy) != 1 || v.SignedBy[0] != "alice <alice@example.com>" || len(v.Fingerprint) != 40 {
		t.Errorf("%+v", v)
	}
	for _, tt := range []struct {
		name, file, ring string
		data, signed     []byte
		want             string
	}{
		{"another key", "web-1.0.0.tgz", other, data, signed, "signature made by unknown entity"},
		{"another archive", "web-1.0.0.tgz", public, append([]byte("x"), data...), signed, "sha256 sum does not match for web-1.0.0.tgz"},
		{"another name", "web-1.0.1.tgz", public, data, signed, `provenance does not contain a SHA for a file named "web-1.0.1.tgz"`},
		{"changed text", "web-1.0.0.tgz", public, data, bytes.Replace(signed, []byte("name: web"), []byte("name: wee"), 1), "signature"},
		{"no signature", "web-1.0.0.tgz", public, data, []byte("files: {}"), "signature block not found"},
	} {
		_, err := provenance.Verify(tt.file, tt.data, tt.signed, ring(t, tt.ring))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, provenance.ErrUnverified) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestKeys(t *testing.T) {
	private, public := newKeys(t, "carol", "sesame")
	if _, err := ring(t, private).Key("nobody"); err == nil {
		t.Error("a key that is not there was found")
	}
	if _, err := ring(t, public).Key("carol"); err == nil || !strings.Contains(err.Error(), "not a private key") {
		t.Errorf("public key: %v", err)
	}
	key, err := ring(t, private).Key("carol")
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Unlock(func(string) ([]byte, error) { return []byte("wrong"), nil }); err == nil {
		t.Error("a wrong passphrase unlocked the key")
	}
	if err := key.Unlock(func(name string) ([]byte, error) {
		if name != "carol <carol@example.com>" {
			t.Errorf("asked for %q", name)
		}
		return []byte("sesame"), nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := provenance.Sign("web-1.0.0.tgz", archive(t), key); err != nil {
		t.Error(err)
	}

	data, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	w, err := armor.Encode(&text, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	armored := filepath.Join(t.TempDir(), "a.asc")
	if err := os.WriteFile(armored, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	ring(t, armored)
}

// FuzzVerify: no provenance file makes the check panic or pass.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: a\n\n...\nfiles:\n  a: sha256:0\n-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n"))
	f.Add([]byte(""))
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\n\n-----BEGIN PGP SIGNATURE-----")) // the library panics
	f.Fuzz(func(t *testing.T, signed []byte) {
		if _, err := provenance.Verify("a", nil, signed, &provenance.Keyring{}); err == nil {
			t.Error("verified without a key")
		}
	})
}
