package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/image"
	"github.com/seed38700745/pkg/cmd/internal/imageexport"
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

// exportImages puts images as blobs into a folder, as package imageexport says.
func exportImages(ctx context.Context, in io.Reader, out io.Writer) error {
	var asked imageexport.Request
	if err := json.NewDecoder(in).Decode(&asked); err != nil {
		return fmt.Errorf("%s: %w", imageexport.Command, err)
	}
	c, err := imageConfig(&options{noSubstitution: asked.NoSubstitution})
	if err != nil {
		return err
	}
	c.Root, c.Arch, c.Registries, c.DockerConfigs = asked.Folder, asked.Architecture, asked.Registries, asked.Credentials
	s, err := image.New(c)
	if err != nil {
		return err
	}
	lines := json.NewEncoder(out)
	var mu sync.Mutex // progress comes from several layers at once
	say := func(l imageexport.Line) error {
		mu.Lock()
		defer mu.Unlock()
		return lines.Encode(l)
	}
	for _, name := range asked.Names {
		found, err := s.Export(ctx, name, image.ExportOptions{Known: asked.Known[name], Whole: asked.Whole}, func(p cri.ImageProgress) {
			_ = say(imageexport.Line{Progress: &p}) // who does not listen gets the image's line, or an error there
		})
		line := imageexport.Line{Image: &imageexport.Image{Asked: name, Name: found.Name, Digest: found.Digest, Origin: found.Origin}}
		switch {
		case err != nil && asked.KeepGoing && ctx.Err() == nil:
			line = imageexport.Line{Failed: &imageexport.Failure{Asked: name, Error: err.Error()}}
		case err != nil:
			return err
		}
		if err := say(line); err != nil {
			return err
		}
	}
	return nil
}
