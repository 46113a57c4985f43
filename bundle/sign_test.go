package bundle_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/seed38700745/pkg/bundle"
	"github.com/seed38700745/pkg/chart/provenance"
)

// keys makes a key, and returns it with the ring of its public half.
func keys(t *testing.T, name string) (*provenance.Key, *provenance.Keyring) {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", name+"@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var secret, public bytes.Buffer
	if err := errors.Join(e.SerializePrivate(&secret, nil), e.Serialize(&public)); err != nil {
		t.Fatal(err)
	}
	rings := make([]*provenance.Keyring, 2)
	for i, b := range []*bytes.Buffer{&secret, &public} {
		file := filepath.Join(t.TempDir(), "ring.gpg")
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if rings[i], err = provenance.ReadKeyring(file); err != nil {
			t.Fatal(err)
		}
	}
	key, err := rings[0].Key(name)
	if err != nil {
		t.Fatal(err)
	}
	return key, rings[1]
}

func TestSignature(t *testing.T) {
	key, ring := keys(t, "ann")
	_, other := keys(t, "bob")
	in := input(t)
	unsigned := open(t, create(t, in))
	if _, err := unsigned.Verify(t.Context(), ring); !errors.Is(err, provenance.ErrUnverified) || unsigned.Signed() {
		t.Errorf("unsigned: %v", err)
	}
	in.Sign = key.Sign
	data := create(t, in)
	f := open(t, data)
	if err := f.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	by, err := f.Verify(t.Context(), ring)
	if err != nil || by.Names[0] != "ann <ann@example.com>" {
		t.Errorf("signed by %v, %v", by, err)
	}
	if _, err := f.Verify(t.Context(), other); !errors.Is(err, provenance.ErrUnverified) {
		t.Errorf("another ring: %v", err)
	}
	text, err := f.Signature(t.Context())
	if err != nil || !strings.Contains(string(text), f.Digest) || !strings.Contains(string(text), bundle.RuntimeEntry+": "+f.Config.Runtime.Digest) {
		t.Errorf("the signature's text (%v):\n%s", err, text)
	}

	// The signature of one bundle, put to another that is whole in itself.
	in.Values = map[string]any{"evil": true}
	in.Sign = func([]byte) ([]byte, error) { return text, nil }
	forged := open(t, create(t, in))
	if err := forged.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := forged.Verify(t.Context(), ring); !errors.Is(err, provenance.ErrUnverified) || !strings.Contains(err.Error(), "and this one has "+forged.Digest) {
		t.Errorf("a borrowed signature: %v", err)
	}
}
