package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Writer writes one archive. Files may be added until Finish or Fail; after an
// error only Fail may follow. It is for one goroutine.
type Writer struct {
	zip      *zstd.Encoder
	tar      *tar.Writer
	time     time.Time
	manifest Manifest
}

// NewWriter begins an archive with its header, whose Format is set.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	// One goroutine and a small window: a backup must not be felt.
	zip, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	a := &Writer{zip: zip, tar: tar.NewWriter(zip), time: h.Time}
	h.Format = Format
	text, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return nil, err
	}
	return a, a.text(headerName, append(text, '\n'))
}

// File adds a regular file of so many bytes, owned by root.
func (a *Writer) File(name string, mode fs.FileMode, size int64, content io.Reader) error {
	return a.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(mode.Perm()), Size: size, ModTime: a.time}, content)
}

// add writes one entry and notes it. Of content it takes as much as the header
// says; where that is less, because the file shrank meanwhile, the rest is
// zeros, as GNU tar does it.
func (a *Writer) add(h *tar.Header, content io.Reader) error {
	h.Format = tar.FormatPAX
	if err := a.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	sum := sha256.New()
	if h.Typeflag == tar.TypeReg && h.Size > 0 {
		if err := copyExactly(io.MultiWriter(a.tar, sum), content, h.Size); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	a.manifest.Entries = append(a.manifest.Entries, entry(h, sum.Sum(nil)))
	return nil
}

func copyExactly(w io.Writer, r io.Reader, size int64) error {
	n, err := io.CopyN(w, r, size)
	if errors.Is(err, io.EOF) {
		_, err = io.CopyN(w, zeros{}, size-n)
	}
	return err
}

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// text writes an entry that the manifest does not list.
func (a *Writer) text(name string, content []byte) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: a.time, Format: tar.FormatPAX}
	if err := a.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := a.tar.Write(content)
	return err
}

// Finish adds the manifest and ends the archive. What it returns is what a
// Reader will find.
func (a *Writer) Finish(volumes []Volume, skipped []Skipped) (*Manifest, error) {
	a.manifest.Volumes, a.manifest.Skipped = volumes, skipped
	var text bytes.Buffer
	if err := json.NewEncoder(&text).Encode(a.manifest); err != nil {
		return nil, err
	}
	if err := a.text(manifestName, text.Bytes()); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text.Bytes())
	if err := a.text(sumName, fmt.Appendf(nil, "%s  %s\n", hex.EncodeToString(sum[:]), manifestName)); err != nil {
		return nil, err
	}
	return &a.manifest, a.close()
}

// Fail ends the archive as one that nobody will restore, and tells the reason.
// It fails itself in the middle of an entry.
func (a *Writer) Fail(reason error) error {
	if err := a.text(failedName, []byte(reason.Error())); err != nil {
		return err
	}
	return a.close()
}

func (a *Writer) close() error { return errors.Join(a.tar.Close(), a.zip.Close()) }
