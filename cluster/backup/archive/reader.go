package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Limits of what a Reader keeps in memory.
const (
	maxHeader   = 1 << 20
	maxManifest = 1 << 30
	maxWindow   = 64 << 20 // of the compression
)

// Reader reads an archive and checks it on the way. It is for one goroutine.
type Reader struct {
	zip      *zstd.Decoder
	plain    *sticky // what zip reads
	tar      *tar.Reader
	header   Header
	entries  []Entry     // seen so far
	current  *tar.Header // whose content is being read; nil: none
	sum      hash.Hash   // of the content so far
	manifest *Manifest
	done     error
}

// NewReader reads the header. Errors: ErrNoBackup, ErrNewer, ErrDamaged,
// ErrFailed, the source's. Close it.
func NewReader(r io.Reader) (*Reader, error) {
	zip, err := zstd.NewReader(&source{r: r}, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	a := &Reader{zip: zip, plain: &sticky{r: zip}, sum: sha256.New()}
	a.tar = tar.NewReader(a.plain)
	if err := a.readHeader(); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Close gives back memory.
func (a *Reader) Close() { a.zip.Close() }

func (a *Reader) readHeader() error {
	h, err := a.tar.Next()
	switch {
	case err != nil && own(err) != nil:
		return own(err)
	case err != nil || h.Name != headerName:
		return ErrNoBackup
	}
	text, err := a.readText(maxHeader)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &a.header); err != nil {
		return damaged("%s: %w", headerName, err)
	}
	if a.header.Format > Format {
		return fmt.Errorf("%w (%s): it has format %d, and this one reads formats up to %d", ErrNewer, a.header.Version, a.header.Format, Format)
	}
	if a.header.Format < 1 {
		return damaged("it has format %d", a.header.Format)
	}
	return nil
}

// Header says what the archive is.
func (a *Reader) Header() Header { return a.header }

// Manifest says what was in it. It is nil until Next has returned io.EOF.
func (a *Reader) Manifest() *Manifest { return a.manifest }

// Next goes to the next file, folder or link; what is left of the current one
// is read over. io.EOF means that the archive is complete and as it was
// written. Other errors: ErrDamaged, ErrFailed, the source's.
func (a *Reader) Next() (*tar.Header, error) {
	if a.done != nil {
		return nil, a.done
	}
	h, err := a.next()
	if err != nil {
		a.done = err
	}
	return h, err
}

func (a *Reader) next() (*tar.Header, error) {
	if err := a.endEntry(); err != nil {
		return nil, err
	}
	h, err := a.tar.Next()
	if errors.Is(err, io.EOF) {
		return nil, damaged("it ends without a manifest")
	}
	if err != nil {
		return nil, a.readError(err)
	}
	switch h.Name {
	case manifestName:
		return nil, a.end()
	case failedName:
		text, err := a.readText(maxHeader)
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %s", ErrFailed, text)
	}
	if err := check(h); err != nil {
		return nil, err
	}
	a.current = h
	a.sum.Reset()
	return h, nil
}

// check refuses entries that no Writer writes.
func check(h *tar.Header) error {
	name := h.Name
	if h.Typeflag == tar.TypeDir && len(name) > 1 && name[len(name)-1] == '/' {
		name = name[:len(name)-1]
	}
	if !local(name) {
		return damaged("an entry has the path %q", h.Name)
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
	case tar.TypeLink:
		if !local(h.Linkname) {
			return damaged("%s is a link to %q", h.Name, h.Linkname)
		}
	default:
		return damaged("%s is of the unknown type %q", h.Name, h.Typeflag)
	}
	return nil
}

// Read reads the current file's content.
func (a *Reader) Read(p []byte) (int, error) {
	if a.current == nil {
		return 0, io.EOF
	}
	n, err := a.tar.Read(p)
	a.sum.Write(p[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		err = a.readError(err)
	}
	return n, err
}

// endEntry reads what is left of the current entry and notes it.
func (a *Reader) endEntry() error {
	if a.current == nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, a); err != nil {
		return err
	}
	a.entries = append(a.entries, entry(a.current, a.sum.Sum(nil)))
	a.current = nil
	return nil
}

// end reads the manifest, and compares it with what was seen. It returns io.EOF
// when all is well.
func (a *Reader) end() error {
	text, err := a.readText(maxManifest)
	if err != nil {
		return err
	}
	h, err := a.tar.Next()
	if err != nil || h.Name != sumName {
		return damaged("the manifest has no checksum")
	}
	want, err := a.readText(maxHeader)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	if got := hex.EncodeToString(sum[:]); !bytes.HasPrefix(want, []byte(got+" ")) {
		return damaged("the manifest has checksum %s", got)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return damaged("%s: %w", manifestName, err)
	}
	if err := compare(a.entries, m.Entries); err != nil {
		return err
	}
	if _, err := a.tar.Next(); !errors.Is(err, io.EOF) {
		return damaged("something stands behind the manifest")
	}
	// To the checksum of the compression, which covers all attributes.
	if _, err := io.Copy(io.Discard, a.plain); err != nil {
		return a.readError(err)
	}
	a.manifest = &m
	return io.EOF
}

// compare tells the first difference between what is there and what should be.
func compare(have, want []Entry) error {
	for i, w := range want {
		if i >= len(have) {
			return damaged("%s is missing", w.Path)
		}
		switch h := have[i]; {
		case h == w:
		case h.Path != w.Path:
			return damaged("%s stands where %s should", h.Path, w.Path)
		case h.SHA256 != w.SHA256:
			return damaged("%s has checksum %s instead of %s", h.Path, h.SHA256, w.SHA256)
		default:
			return damaged("%s has other attributes than the manifest says", h.Path)
		}
	}
	if len(have) > len(want) {
		return damaged("the manifest does not know %s", have[len(want)].Path)
	}
	return nil
}

// readText reads one small entry.
func (a *Reader) readText(limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(a.tar, limit+1))
	if err != nil {
		return nil, a.readError(err)
	}
	if int64(len(text)) > limit {
		return nil, damaged("an entry that describes it has more than %d bytes", limit)
	}
	return text, nil
}

// readError is the source's own error, or says that the archive is damaged.
func (a *Reader) readError(err error) error {
	if own := own(err); own != nil {
		return own
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return damaged("it is cut off")
	}
	return damaged("%w", err)
}

// sticky repeats an error: one that comes with the last bytes that a reader
// asked for is easily lost.
type sticky struct {
	r   io.Reader
	err error
}

func (s *sticky) Read(p []byte) (n int, err error) {
	if s.err == nil {
		n, s.err = s.r.Read(p)
	}
	return n, s.err
}

// source marks the errors of what an archive is read from, to tell them from
// those that its content causes.
type source struct{ r io.Reader }

type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &sourceError{err}
	}
	return n, err
}

// own returns the source's error in err, or nil.
func own(err error) error {
	var s *sourceError
	if errors.As(err, &s) {
		return s.err
	}
	return nil
}

// Verify reads a whole archive. Errors: those of NewReader and Next.
func Verify(r io.Reader) (Header, *Manifest, error) {
	a, err := NewReader(r)
	if err != nil {
		return Header{}, nil, err
	}
	defer a.Close()
	for {
		if _, err := a.Next(); errors.Is(err, io.EOF) {
			return a.header, a.manifest, nil
		} else if err != nil {
			return a.header, nil, err
		}
	}
}
