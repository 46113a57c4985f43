package bundle

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// packPrograms writes programs as a compressed archive, in the order given, and says
// what is in it.
func packPrograms(ctx context.Context, paths []string, w io.Writer) ([]Program, error) {
	zipper, err := gzip.NewWriterLevel(w, gzip.BestSpeed) // the usual level saves a tenth, in four times the time
	if err != nil {
		return nil, err
	}
	out := tar.NewWriter(zipper)
	var programs []Program
	for _, path := range paths {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := packProgram(path, out)
		if err != nil {
			return nil, fmt.Errorf("program %s: %w", path, err)
		}
		programs = append(programs, p)
	}
	return programs, errors.Join(out.Close(), zipper.Close())
}

func packProgram(path string, out *tar.Writer) (Program, error) {
	f, err := os.Open(path)
	if err != nil {
		return Program{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Program{}, err
	}
	h := header(filepath.Base(path), info.Size())
	h.Mode = 0o755
	if err := out.WriteHeader(h); err != nil {
		return Program{}, err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, sum), f)
	return Program{Name: h.Name, Size: h.Size, SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}
