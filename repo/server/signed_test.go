package server_test

import (
	"bytes"
	"crypto"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/seed38700745/pkg/chart/provenance"
	"github.com/seed38700745/pkg/repo/server"
)

// newKeyring makes a key: a file with its private and its public part each.
func newKeyring(t *testing.T, name string) (private, public string) {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", name+"@example.com", &packet.Config{DefaultHash: crypto.SHA512})
	if err != nil {
		t.Fatal(err)
	}
	var secret, open bytes.Buffer
	if err := e.SerializePrivate(&secret, nil); err != nil {
		t.Fatal(err)
	}
	if err := e.Serialize(&open); err != nil {
		t.Fatal(err)
	}
	private, public = filepath.Join(t.TempDir(), "secret.gpg"), filepath.Join(t.TempDir(), "public.gpg")
	for file, data := range map[string][]byte{private: secret.Bytes(), public: open.Bytes()} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return private, public
}

// The page says of a signature what the server knows of it.
func TestPagesOfSignatures(t *testing.T) {
	secret, public := newKeyring(t, "ann")
	otherSecret, _ := newKeyring(t, "eve")
	sign := func(keyring, id, file string, archive []byte) []byte {
		t.Helper()
		ring, err := provenance.ReadKeyring(keyring)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ring.Key(id)
		if err != nil {
			t.Fatal(err)
		}
		prov, err := provenance.Sign(file, archive, key)
		if err != nil {
			t.Fatal(err)
		}
		return prov
	}
	c := server.Config{Data: t.TempDir(), Keyring: public}
	open(&c)
	base, stop := start(t, c)
	signed := pack(t, "signed", "1.0.0", nil)
	for chart, prov := range map[string][]byte{
		"signed": sign(secret, "ann", "signed-1.0.0.tgz", signed), "foreign": sign(otherSecret, "eve", "foreign-1.0.0.tgz", pack(t, "foreign", "1.0.0", nil)),
		"other": sign(secret, "ann", "other-1.0.0.tgz", signed), "broken": []byte("no signature"), "plain": nil,
	} {
		archive := signed
		if chart != "signed" {
			archive = pack(t, chart, "1.0.0", nil)
		}
		push(t, base, archive)
		if prov != nil { // as one puts it there by hand
			if err := os.WriteFile(filepath.Join(c.Data, chart+"-1.0.0.tgz.prov"), prov, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect := func(chart string, has ...string) {
		t.Helper()
		_, body := browse(t, base+"/-/"+chart)
		for _, want := range has {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %q:\n%s", chart, want, body)
			}
		}
		if len(has) == 0 && strings.Contains(body, "Sign") != strings.Contains(body, "Signature</dt><dd>none") {
			t.Errorf("%s: %s", chart, body)
		}
	}
	expect("signed", "Signature verified", "ann@example.com", "provenance file")
	expect("foreign", "Signature does not fit")
	expect("other", "Signature does not fit")
	expect("broken", "Signature does not fit")
	expect("plain", "<dd>none")

	// Cosign's way: an image under a tag that is made of the digest, or one that refers to it.
	host := strings.TrimPrefix(base, "http://")
	image, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	manifest := func(chart string) (*remote.Descriptor, name.Repository) {
		t.Helper()
		ref, err := name.ParseReference(host + "/" + chart + ":1.0.0")
		if err != nil {
			t.Fatal(err)
		}
		d, err := remote.Get(ref)
		if err != nil {
			t.Fatal(err)
		}
		return d, ref.Context()
	}
	d, repository := manifest("plain")
	if err := remote.Write(repository.Tag("sha256-"+d.Digest.Hex+".sig"), image); err != nil {
		t.Fatal(err)
	}
	expect("plain", "cosign signature in the registry")
	d, repository = manifest("foreign")
	bundle, ok := mutate.Subject(mutate.ConfigMediaType(image, types.MediaType("application/vnd.dev.sigstore.bundle.v0.3+json")),
		v1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}).(v1.Image)
	if !ok {
		t.Fatal("no image")
	}
	if err := remote.Write(repository.Tag("some"), bundle); err != nil {
		t.Fatal(err)
	}
	expect("foreign", "cosign signature in the registry")
	stop()

	c.Keyring = ""
	base, _ = start(t, c)
	expect("signed", "signed, not verified", "provenance file")
	none := server.Config{Data: t.TempDir(), Keyring: filepath.Join(t.TempDir(), "none.gpg")}
	if s, err := server.Open(none); err == nil {
		t.Error("a keyring that is not there is no error", s.Close())
	} else if !strings.Contains(err.Error(), "keyring") {
		t.Error(err)
	}
	w, body := ask(t, http.MethodGet, base+"/health", nil)
	wantStatus(t, w, body, http.StatusOK)
}
