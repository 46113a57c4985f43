//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

func (i *imageCommand) save() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "save IMAGE [...]",
		Short: "write images as a tarball that docker load and pkg image load read",
		Long: `Write images, by name or ID, as a tarball: what docker save writes and an OCI layout in one. docker load, podman load,
skopeo, ctr image import and pkg image load read it.`,
		Example: `  pkg image save -o shop.tar docker.io/library/shop:1
  pkg image save shop:1 web:2 | ssh other pkg image load -`,
		Args: i.app.argCount(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return i.runSave(cmd.Context(), args, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "-", "the file to write; - for standard output")
	return cmd
}

func (i *imageCommand) runSave(ctx context.Context, names []string, output string) error {
	if file, ok := i.app.Out.(*os.File); output == "-" && ok && terminalSize(file) != nil {
		return usagef("a tarball is nothing for a terminal: -o FILE, or a pipe")
	}
	c, err := i.connectNode(ctx, false)
	if err != nil {
		return err
	}
	answer, err := c.Node(ctx, i.node, http.MethodGet, imagesPath+"/save", url.Values{"name": names}, nil, "")
	if err != nil {
		return fmt.Errorf("node %s: %w", i.node, err)
	}
	defer answer.Close()
	if output == "-" {
		_, err = io.Copy(i.app.Out, answer)
	} else {
		err = writeWhole(output, answer)
	}
	if err != nil {
		return fmt.Errorf("save images of node %s: %w", i.node, err)
	}
	return nil
}

// writeWhole writes a file that is there complete or not at all.
func writeWhole(path string, content io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = io.Copy(f, content)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
