package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// DamagedError says that a blob is not what its name says.
type DamagedError struct {
	Digest string // its name
	What   string // what it should be, "layer 1 of image docker.io/library/nginx:1.22"
	Reason string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("blob %s (%s) is damaged: %s", e.Digest, e.What, e.Reason)
}

// openChecked opens a blob; the reader's last read fails unless all was as the
// descriptor says.
func (b *Bundle) openChecked(ctx context.Context, blob Blob) (io.ReadCloser, error) {
	if blob.Digest.Algorithm != "sha256" {
		return nil, fmt.Errorf("blob %s (%s): digests other than sha256 are not supported", blob.Digest, blob.What)
	}
	r, err := b.open(ctx, blob.Descriptor)
	if err != nil {
		return nil, fmt.Errorf("blob %s (%s): %w", blob.Digest, blob.What, err)
	}
	return &checkedReader{ctx: ctx, in: r, blob: blob, sum: sha256.New()}, nil
}

// checkedReader passes on no more than the descriptor's size, and its end only when
// size and digest are right.
type checkedReader struct {
	ctx  context.Context
	in   io.ReadCloser
	blob Blob
	sum  hash.Hash
	n    int64
}

func (r *checkedReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, context.Cause(r.ctx)
	}
	n, err := r.in.Read(p)
	r.n += int64(n)
	r.sum.Write(p[:n])
	switch {
	case r.n > r.blob.Size:
		return 0, r.damaged(fmt.Sprintf("it has more than %d bytes", r.blob.Size))
	case errors.Is(err, io.EOF) && r.n < r.blob.Size, errors.Is(err, io.ErrUnexpectedEOF):
		return 0, r.damaged(fmt.Sprintf("it ends after %d of %d bytes", r.n, r.blob.Size))
	case errors.Is(err, io.EOF):
		if got := hex.EncodeToString(r.sum.Sum(nil)); got != r.blob.Digest.Hex {
			return 0, r.damaged("its content has digest sha256:" + got)
		}
	}
	return n, err
}

func (r *checkedReader) damaged(reason string) error {
	return &DamagedError{Digest: r.blob.Digest.String(), What: r.blob.What, Reason: reason}
}

func (r *checkedReader) Close() error { return r.in.Close() }
