package chart

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"sigs.k8s.io/yaml"
)

// ArchiveName is the file name of a packed chart.
func ArchiveName(c *Chart) string {
	return fmt.Sprintf("%s-%s.tgz", c.Name(), c.Metadata.Version)
}

// Save packs a chart as Helm does. The same chart and time give the same bytes;
// modified stamps every file, the zero time meaning the beginning of 1980, which
// every unpacker can represent.
func Save(w io.Writer, c *Chart, modified time.Time) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if modified.IsZero() {
		modified = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	zipper, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	s := saver{tar: tar.NewWriter(zipper), modified: modified}
	if err := s.chart(c, c.Name()); err != nil {
		return err
	}
	if err := s.tar.Close(); err != nil {
		return err
	}
	return zipper.Close()
}

type saver struct {
	tar      *tar.Writer
	modified time.Time
}

func (s saver) chart(c *Chart, base string) error {
	md := *c.Metadata
	if md.APIVersion == "v1" {
		md.Dependencies = nil // they stand in requirements.yaml, one of the files
	}
	data, err := yaml.Marshal(&md)
	if err != nil {
		return err
	}
	if err := s.file(path.Join(base, ChartfileName), data); err != nil {
		return err
	}
	if c.Lock != nil && c.Metadata.APIVersion == "v2" {
		data, err := yaml.Marshal(c.Lock)
		if err != nil {
			return err
		}
		if err := s.file(path.Join(base, LockfileName), data); err != nil {
			return err
		}
	}
	if values := RawFile(c, ValuesfileName); values != nil {
		if err := s.file(path.Join(base, ValuesfileName), values); err != nil {
			return err
		}
	}
	if c.Schema != nil {
		if !json.Valid(c.Schema) {
			return errors.New("invalid JSON in " + SchemafileName)
		}
		if err := s.file(path.Join(base, SchemafileName), c.Schema); err != nil {
			return err
		}
	}
	for _, files := range [][]*File{c.Templates, c.Files} {
		for _, f := range files {
			if err := s.file(path.Join(base, f.Name), f.Data); err != nil {
				return err
			}
		}
	}
	for _, sub := range c.Dependencies() {
		if err := s.chart(sub, path.Join(base, DependencyDir, sub.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (s saver) file(name string, data []byte) error {
	h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: s.modified, Format: tar.FormatPAX}
	if err := s.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := s.tar.Write(data)
	return err
}
