package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed38700745/pkg/cluster/image"
)

// buildImages puts images of Debian packages, or those that stand in for a
// registry's, into the machine's image cache, so that clusters without network
// find them there.
func buildImages(ctx context.Context, o *options, names []string) error {
	c, err := imageConfig(o)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pkg-images")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c.Root, c.Logger = filepath.Join(dir, "images"), newLogger()
	s, err := image.New(c)
	if err != nil {
		return err
	}
	for _, name := range names {
		packages, err := s.Build(ctx, name)
		if err != nil {
			return err
		}
		fmt.Println(name, packages)
	}
	return nil
}
