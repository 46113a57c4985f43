//go:build !front

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/object"
)

// imagesPath is where a node's agent serves its images.
const imagesPath = "/pkg/images"

// imageCommand is what the image commands share: the node they mean.
type imageCommand struct {
	app  *app
	node string
}

func newImageCommand(a *app) *cobra.Command {
	i := &imageCommand{app: a}
	cmd := a.group("image", "the images on the cluster's nodes: list, pull, load, save, remove, prune",
		i.list(), i.pull(), i.load(), i.save(), i.remove(), i.prune())
	cmd.Aliases = []string{"images"}
	cmd.Example = `  pkg image ls
  pkg image pull deb.internal/bookworm/mariadb-server:10.11
  docker save shop:1 | pkg image load -`
	cmd.PersistentFlags().StringVar(&i.node, "node", "", "the node; can be left out where there is only one, and means all for ls")
	return cmd
}

// connectNode connects, and settles which node is meant.
func (i *imageCommand) connectNode(ctx context.Context, change bool) (*connection, error) {
	var c *connection
	var err error
	if change {
		c, err = i.app.connectToInstall(ctx)
	} else {
		c, err = i.app.connect()
	}
	if err != nil || i.node != "" {
		return c, err
	}
	nodes, err := c.nodes(ctx)
	if err != nil {
		return nil, err
	}
	if len(nodes) != 1 {
		return nil, withHint(fmt.Errorf("the cluster has %d nodes", len(nodes)), "choose with --node: %s", strings.Join(nodes, ", "))
	}
	i.node = nodes[0]
	return c, nil
}

// nodes returns the names of all nodes.
func (c *connection) nodes(ctx context.Context) (names []string, err error) {
	l, err := c.List(ctx, object.Resource{Resource: "nodes"}, object.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, o := range l.Items {
		names = append(names, o.GetName())
	}
	sort.Strings(names)
	return names, nil
}

// ask sends a request about images to the node and decodes its JSON.
func (i *imageCommand) ask(ctx context.Context, c *connection, method, path string, query url.Values, body io.Reader, into any) error {
	answer, err := c.Node(ctx, i.node, method, imagesPath+path, query, body, "application/x-tar")
	if err != nil {
		return fmt.Errorf("node %s: %w", i.node, err)
	}
	defer answer.Close()
	if err := json.NewDecoder(answer).Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("node %s: %w", i.node, err)
	}
	return nil
}

func (i *imageCommand) list() *cobra.Command {
	var format outputFormat
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "list images",
		Args:    i.app.argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return i.runList(cmd.Context(), format)
		},
	}
	format.add(cmd.Flags())
	return cmd
}

// listedImage is an image with its node.
type listedImage struct {
	Node   string `json:"node"`
	ID     string `json:"id"`
	Name   string `json:"name"`
	Digest string `json:"digest,omitempty"`
	Size   int64  `json:"size"`             // bytes
	Origin string `json:"origin,omitempty"` // where it came from if not from the registry named
}

func (i *imageCommand) runList(ctx context.Context, format outputFormat) error {
	c, err := i.app.connect()
	if err != nil {
		return err
	}
	nodes := []string{i.node}
	if i.node == "" {
		if nodes, err = c.nodes(ctx); err != nil {
			return err
		}
	}
	all := []listedImage{}
	for _, i.node = range nodes {
		var images []cri.Image
		if err := i.ask(ctx, c, http.MethodGet, "", nil, nil, &images); err != nil {
			return err
		}
		for _, image := range images {
			all = append(all, listedImage{i.node, image.ID, image.Name, image.Digest, image.Size, image.Origin})
		}
	}
	return format.write(i.app.Out, all, func() error {
		var t table
		t.add("NODE", "IMAGE", "ID", "SIZE", "ORIGIN")
		for _, image := range all {
			t.add(image.Node, firstOf(image.Name, image.Digest, "<none>"), shortID(image.ID), megabytes(image.Size), image.Origin)
		}
		return t.write(i.app.Out)
	})
}

// shortID is the first 12 digits of a digest.
func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func (i *imageCommand) pull() *cobra.Command {
	return &cobra.Command{
		Use:   "pull IMAGE [...]",
		Short: "fetch or build images, as pods would",
		Args:  i.app.argCount(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := i.connectNode(cmd.Context(), true)
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := i.runPull(cmd.Context(), c, name); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// pullLine is one line of the answer to a pull.
type pullLine struct {
	Progress *cri.ImageProgress `json:"progress"`
	Image    *cri.Image         `json:"image"`
	Error    string             `json:"error"`
}

func (i *imageCommand) runPull(ctx context.Context, c *connection, name string) error {
	answer, err := c.Node(ctx, i.node, http.MethodPost, imagesPath+"/pull", url.Values{"name": {name}}, nil, "")
	if err != nil {
		return fmt.Errorf("node %s: %w", i.node, err)
	}
	defer answer.Close()
	said := ""
	for lines := json.NewDecoder(answer); ; {
		var line pullLine
		if err := lines.Decode(&line); err != nil {
			return fmt.Errorf("node %s: the answer broke off: %w", i.node, err)
		}
		switch {
		case line.Error != "":
			return fmt.Errorf("node %s: pull %s: %s", i.node, name, line.Error)
		case line.Image != nil:
			_, err := fmt.Fprintf(i.app.Out, "%s\t%s\t%s\t%s\n", line.Image.Name, shortID(line.Image.ID), megabytes(line.Image.Size), line.Image.Origin)
			return err
		case line.Progress != nil && pullStep(line.Progress) != said:
			said = pullStep(line.Progress)
			fmt.Fprintln(i.app.Err, said)
		}
	}
}

// pullStep says how far a pull is; downloads in steps of 10 %.
func pullStep(p *cri.ImageProgress) string {
	text := p.Stage + " " + p.Name
	if p.Stage == "downloading" && p.Total > 0 {
		text += fmt.Sprintf(": %d %% of %s", p.Done*10/p.Total*10, megabytes(p.Total))
	}
	return text
}

func (i *imageCommand) load() *cobra.Command {
	return &cobra.Command{
		Use:   "load FILE|FOLDER|-",
		Short: "load images from a tarball (docker save, OCI) or an OCI layout",
		Args:  i.app.argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := i.connectNode(cmd.Context(), true)
			if err != nil {
				return err
			}
			return i.runLoad(cmd.Context(), c, args[0])
		},
	}
}

func (i *imageCommand) runLoad(ctx context.Context, c *connection, name string) error {
	source, err := i.app.openImage(name)
	if err != nil {
		return err
	}
	defer source.Close()
	var images []cri.Image
	if err := i.ask(ctx, c, http.MethodPost, "/load", nil, source, &images); err != nil {
		return err
	}
	for _, image := range images {
		fmt.Fprintf(i.app.Out, "loaded %s\t%s\t%s\n", firstOf(image.Name, image.Digest, "an image without a name"), shortID(image.ID), megabytes(image.Size))
	}
	return nil
}

// openImage opens a tarball, or makes one of an OCI layout's folder on the way.
func (a *app) openImage(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.In), nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return os.Open(name)
	}
	if _, err := os.Stat(filepath.Join(name, "index.json")); err != nil {
		return nil, fmt.Errorf("folder %s is no OCI layout: %w", name, err)
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(tarFolder(w, name)) }() // ends when all is read or r is closed
	return r, nil
}

func (i *imageCommand) remove() *cobra.Command {
	return &cobra.Command{
		Use:     "rm IMAGE [...]",
		Aliases: []string{"remove"},
		Short:   "remove images that nothing uses",
		Args:    i.app.argCount(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := i.connectNode(cmd.Context(), true)
			if err != nil {
				return err
			}
			var answer pruned
			return i.ask(cmd.Context(), c, http.MethodDelete, "", url.Values{"name": args}, nil, &answer)
		},
	}
}

// pruned is an agent's answer to what removes images.
type pruned struct {
	Removed []string `json:"removed"`
	Freed   int64    `json:"freed"` // bytes
	Kept    int      `json:"kept"`
}

func (i *imageCommand) prune() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "remove all images that no pod uses and no rollback would",
		Long: `Remove all images that no pod uses. Those that a rollback would run stay, unless --all is given: the images of
revisions in the history of releases, of ReplicaSets and other workloads' revisions, and those of CronJobs.`,
		Args: i.app.argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := i.connectNode(cmd.Context(), true)
			if err != nil {
				return err
			}
			var answer pruned
			query := url.Values{}
			if all {
				query.Set("all", "true")
			}
			if err := i.ask(cmd.Context(), c, http.MethodPost, "/prune", query, nil, &answer); err != nil {
				return err
			}
			if answer.Kept > 0 {
				fmt.Fprintf(i.app.Err, "%d kept for rollbacks (--all removes them, too)\n", answer.Kept)
			}
			_, err = fmt.Fprintf(i.app.Out, "removed %d images, %s freed\n", len(answer.Removed), megabytes(answer.Freed))
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also images that only a rollback would use")
	return cmd
}
