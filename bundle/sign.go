package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/seed38700745/pkg/chart/provenance"
)

// maxSignature bounds a signature, bytes.
const maxSignature = 1 << 20

// signed is the text that is signed. Files are for who has tar, gpg and sha256sum only.
type signed struct {
	Bundle string            `json:"bundle"` // "mysql 1.2.3"
	Digest string            `json:"digest"` // of the bundle's manifest, which names everything
	Files  map[string]string `json:"files,omitempty"`
}

// signedText is what a signature of this bundle is made of.
func (b *Bundle) signedText() ([]byte, error) {
	text := signed{Bundle: b.Config.Chart.Name + " " + b.Config.Chart.Version, Digest: b.Digest}
	if d, ok := b.layer(mediaRuntime); ok {
		text.Files = map[string]string{RuntimeEntry: d.Digest.String()}
	}
	return yaml.Marshal(text)
}

// errUnsigned: there is nothing to verify.
var errUnsigned = errors.New("the bundle is not signed")

// Verify checks that a key of the ring signed this bundle. That its blobs are what
// the manifest says is for [Bundle.Check] to see. Errors wrap
// [provenance.ErrUnverified].
func (b *Bundle) Verify(ctx context.Context, ring *provenance.Keyring) (*provenance.Signer, error) {
	text, err := b.Signature(ctx)
	if err != nil {
		return nil, err
	}
	content, by, err := ring.Open(text)
	if err != nil {
		return nil, err
	}
	var have signed
	if err := yaml.Unmarshal(bytes.TrimSpace(content), &have); err != nil {
		return nil, fmt.Errorf("%w: what is signed: %w", provenance.ErrUnverified, err)
	}
	if have.Digest != b.Digest {
		return nil, fmt.Errorf("%w: the signature is of %s with digest %s, and this one has %s", provenance.ErrUnverified, have.Bundle, have.Digest, b.Digest)
	}
	return by, nil
}

// Signature is the signature, a clear-signed text.
func (b *Bundle) Signature(ctx context.Context) ([]byte, error) {
	if b.signature == nil {
		return nil, fmt.Errorf("%w: %w", provenance.ErrUnverified, errUnsigned)
	}
	blobs, _, err := b.blobsOf(ctx, *b.signature, "of the signature")
	if err != nil {
		return nil, err
	}
	last := blobs[len(blobs)-1]
	return b.read(ctx, last.Descriptor, "the signature", maxSignature)
}
