// Package provenance signs packed charts and checks their signatures: the .prov
// files that Helm writes and reads. Such a file is an OpenPGP clear-signed message
// (RFC 9580, section 7) of the chart's metadata as YAML, a line "...", and the
// SHA-256 of the archive under its file name. Signatures use SHA-512.
package provenance

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart"
)

// Extension of a provenance file, behind the archive's whole name.
const Extension = ".prov"

// maxSize bounds a provenance file, bytes: it holds one Chart.yaml.
const maxSize = 5 << 20

// separator parts metadata and sums. A clear-signed text cannot have "---" lines.
const separator = "\n...\n"

// ErrUnverified is wrapped by every reason not to trust an archive.
var ErrUnverified = errors.New("not verified")

// Keyring is a set of OpenPGP keys, public, private or both.
type Keyring struct{ keys openpgp.EntityList }

// ReadKeyring reads a keyring file, binary as GnuPG's, or armored.
func ReadKeyring(name string) (*Keyring, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	read := openpgp.ReadKeyRing
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN PGP")) {
		read = openpgp.ReadArmoredKeyRing
	}
	keys, err := read(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("keyring %s: %w", name, err)
	}
	return &Keyring{keys: keys}, nil
}

// Key is a private key that may sign.
type Key struct{ entity *openpgp.Entity }

// Key finds the private key one of whose user ids is id or, if no other key's does,
// contains it.
func (k *Keyring) Key(id string) (*Key, error) {
	var near []*openpgp.Entity
	for _, e := range k.keys {
		if _, exact := e.Identities[id]; exact {
			near = []*openpgp.Entity{e}
			break
		}
		for name := range e.Identities {
			if strings.Contains(name, id) {
				near = append(near, e)
				break
			}
		}
	}
	switch {
	case len(near) == 0:
		return nil, errors.New("private key not found")
	case len(near) > 1:
		return nil, fmt.Errorf("more than one key contain the id %q", id)
	case near[0].PrivateKey == nil:
		return nil, errors.New("provided key is not a private key. Try providing a keyring with secret keys")
	}
	return &Key{entity: near[0]}, nil
}

// Unlock decrypts the key with the passphrase that ask returns; it is called only
// for a key that is encrypted.
func (k *Key) Unlock(ask func(name string) ([]byte, error)) error {
	if !k.entity.PrivateKey.Encrypted {
		return nil
	}
	passphrase, err := ask(names(k.entity)[0])
	if err != nil {
		return err
	}
	return k.entity.PrivateKey.Decrypt(passphrase)
}

// names lists the user ids of a key, sorted, never empty.
func names(e *openpgp.Entity) []string {
	var out []string
	for name := range e.Identities {
		if name != "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		out = []string{"Unknown"}
	}
	return out
}

// sums is the second part of the signed message.
type sums struct {
	Files map[string]string `json:"files"`
}

// Sign returns the provenance file of an archive; name is the archive's file name.
func Sign(name string, archive []byte, k *Key) ([]byte, error) {
	c, err := chart.LoadArchive(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	metadata, err := yaml.Marshal(c.Metadata)
	if err != nil {
		return nil, err
	}
	files, err := yaml.Marshal(sums{Files: map[string]string{name: digest(archive)}})
	if err != nil {
		return nil, err
	}
	return k.Sign(slices.Concat(metadata, []byte(separator), files))
}

// Sign returns a text with its signature, clear-signed.
func (k *Key) Sign(text []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, k.entity.PrivateKey, &packet.Config{DefaultHash: crypto.SHA512})
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return out.Bytes(), nil
}

// Signer says who signed something.
type Signer struct {
	Names       []string // user ids of the key, never empty
	Fingerprint string   // of the key, hex
}

// Open checks that a key of the ring made a clear-signed text, and returns what was
// signed. Errors wrap [ErrUnverified].
func (k *Keyring) Open(text []byte) ([]byte, *Signer, error) {
	content, by, err := k.open(text)
	if err != nil {
		return nil, nil, &unverified{err}
	}
	return content, by, nil
}

func (k *Keyring) open(text []byte) ([]byte, *Signer, error) {
	block := decode(text)
	if block == nil {
		return nil, nil, errors.New("failed to decode signature: signature block not found")
	}
	by, err := openpgp.CheckDetachedSignature(k.keys, bytes.NewReader(block.Bytes), block.ArmoredSignature.Body,
		&packet.Config{DefaultHash: crypto.SHA512})
	if err != nil {
		return nil, nil, err
	}
	return block.Plaintext, &Signer{Names: names(by), Fingerprint: fmt.Sprintf("%X", by.PrimaryKey.Fingerprint)}, nil
}

func digest(archive []byte) string {
	sum := sha256.Sum256(archive)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Verification says who signed an archive.
type Verification struct {
	SignedBy    []string // user ids of the key
	Fingerprint string   // of the key, hex
	Hash        string   // "sha256:..." of the archive
}

// String is what `helm verify` prints.
func (v *Verification) String() string {
	var b strings.Builder
	for _, name := range v.SignedBy {
		fmt.Fprintf(&b, "Signed by: %s\n", name)
	}
	fmt.Fprintf(&b, "Using Key With Fingerprint: %s\n", v.Fingerprint)
	fmt.Fprintf(&b, "Chart Hash Verified: %s\n", v.Hash)
	return b.String()
}

// Verify checks that a key of the ring signed the provenance file, and that it is
// about this archive under this name. Errors wrap [ErrUnverified].
func Verify(name string, archive, provenance []byte, ring *Keyring) (*Verification, error) {
	v, err := verify(name, archive, provenance, ring)
	if err != nil {
		return nil, &unverified{err}
	}
	return v, nil
}

// unverified keeps the text of its cause, which is Helm's.
type unverified struct{ error }

func (u *unverified) Unwrap() []error { return []error{ErrUnverified, u.error} }

func verify(name string, archive, provenance []byte, ring *Keyring) (*Verification, error) {
	if len(provenance) > maxSize {
		return nil, fmt.Errorf("the provenance file is larger than %d bytes", maxSize)
	}
	text, by, err := ring.open(provenance)
	if err != nil {
		return nil, err
	}
	_, second, ok := bytes.Cut(text, []byte(separator))
	if !ok {
		return nil, errors.New("message block must have at least two parts")
	}
	second, _, _ = bytes.Cut(second, []byte(separator))
	var signed sums
	if err := yaml.Unmarshal(second, &signed); err != nil {
		return nil, fmt.Errorf("message block: %w", err)
	}
	want, ok := signed.Files[name]
	if !ok {
		return nil, fmt.Errorf("provenance does not contain a SHA for a file named %q", name)
	}
	if have := digest(archive); have != want {
		return nil, fmt.Errorf("sha256 sum does not match for %s: %q != %q", name, want, have)
	}
	return &Verification{
		SignedBy:    by.Names,
		Fingerprint: by.Fingerprint,
		Hash:        want,
	}, nil
}

// decode finds the signed text in a provenance file, nil if there is none. The library
// panics on a text that has no line at all.
func decode(signed []byte) (block *clearsign.Block) {
	defer func() {
		if recover() != nil {
			block = nil
		}
	}()
	block, _ = clearsign.Decode(signed)
	return block
}
