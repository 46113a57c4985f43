package page

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/seed38700745/pkg/chart/provenance"
	"github.com/seed38700745/pkg/repo/server/depot"
)

// signature is what is known of a version's signatures.
type signature struct {
	Provenance bool     // there is a .prov file
	Checked    bool     // against the server's keyring
	By         []string // who signed; nil when that was not found out
	Key        string   // fingerprint, hex
	Problem    string   // why the signature does not count
	Cosign     bool     // the registry has a cosign signature, which is not checked here
}

// Good tells whether a key of the server's ring signed the archive.
func (s signature) Good() bool { return s.Checked && s.Problem == "" }

// maxProvenance is the size in bytes of a .prov file that is read.
const maxProvenance = 1 << 20

func (p *Page) signature(ctx context.Context, tenant string, e *depot.Entry) signature {
	var s signature
	f, _, err := p.config.Charts.OpenFile(tenant, e.File+provenance.Extension)
	if err == nil {
		defer f.Close()
		s.Provenance = true
		if info, err := f.Stat(); err == nil && p.config.Keyring != nil {
			key := fmt.Sprint("signature ", tenant, " ", e.Digest, " ", info.ModTime().UnixNano(), " ", info.Size())
			s, err = get(ctx, p.keep, key, func() (signature, int, error) {
				s := p.verify(tenant, e)
				return s, len(s.Problem) + len(s.Key) + len(strings.Join(s.By, "")), nil
			})
			if err != nil {
				s = signature{Provenance: true}
			}
		}
	}
	if p.config.Cosigned != nil {
		s.Cosign = p.config.Cosigned(tenant, e)
	}
	return s
}

// verify checks a provenance file against the keyring.
func (p *Page) verify(tenant string, e *depot.Entry) signature {
	s := signature{Provenance: true, Checked: true}
	read := func(file string, limit int64) ([]byte, error) {
		f, _, err := p.config.Charts.OpenFile(tenant, file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, limit))
	}
	prov, err := read(e.File+provenance.Extension, maxProvenance)
	archive, aerr := read(e.File, p.config.Charts.MaxUpload()+1)
	if err := errors.Join(err, aerr); err != nil {
		return signature{Provenance: true}
	}
	v, err := provenance.Verify(e.File, archive, prov, p.config.Keyring)
	if err != nil {
		s.Problem = err.Error()
		return s
	}
	s.By, s.Key = v.SignedBy, v.Fingerprint
	return s
}
