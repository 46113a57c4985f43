package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/api"
	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// nodeImages answers for a node's agent, by its protocol.
func nodeImages(w http.ResponseWriter, r *http.Request, t api.Target) error {
	some := cri.Image{ID: "sha256:0123456789abcdef", Name: "docker.io/library/web:1", Size: 12_300_000, Origin: "Debian packages"}
	lines := json.NewEncoder(w)
	switch r.Method + " " + t.Path {
	case "GET /pkg/images":
		return lines.Encode([]cri.Image{some})
	case "GET /pkg/images/save":
		if r.URL.Query().Get("name") == "none" {
			http.Error(w, "save image none: no such image", http.StatusBadRequest)
			return nil
		}
		_, err := io.WriteString(w, "tarball of "+strings.Join(r.URL.Query()["name"], " "))
		return err
	case "DELETE /pkg/images":
		return lines.Encode(map[string]any{"removed": r.URL.Query()["name"]})
	case "POST /pkg/images/prune":
		return lines.Encode(map[string]any{"removed": []string{"a", "b"}, "freed": 2_000_000})
	case "POST /pkg/images/load":
		var names []string
		for files := tar.NewReader(r.Body); ; {
			h, err := files.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			names = append(names, h.Name)
		}
		return lines.Encode([]cri.Image{{ID: some.ID, Name: strings.Join(names, "+")}})
	case "POST /pkg/images/pull":
		for _, stage := range []string{"downloading", "downloading", "unpacking"} {
			if err := lines.Encode(map[string]any{"progress": cri.ImageProgress{Name: r.FormValue("name"), Stage: stage}}); err != nil {
				return err
			}
		}
		if r.FormValue("name") == "none" {
			return lines.Encode(map[string]any{"error": "no such image"})
		}
		return lines.Encode(map[string]any{"image": some})
	}
	return fmt.Errorf("unexpected %s %s", r.Method, t.Path)
}

func TestImages(t *testing.T) {
	c := startTestCluster(t)
	if _, err := builtin.Nodes.Create(t.Context(), c.verbs, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "one"}}, object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	out, _ := c.mustRun(t, 0, "image", "ls")
	wantIn(t, "ls", out, "one ", "docker.io/library/web:1", "0123456789ab", "12.3 MB", "Debian packages")
	out, talk := c.mustRun(t, 0, "image", "pull", "web:1")
	wantIn(t, "pull", out, "docker.io/library/web:1\t0123456789ab")
	if talk = talk[strings.Index(talk, "\n")+1:]; talk != "downloading web:1\nunpacking web:1\n" {
		t.Errorf("pull says %q", talk)
	}
	_, talk = c.mustRun(t, 1, "image", "pull", "none")
	wantIn(t, "pull of nothing", talk, "node one: pull none: no such image")
	out, _ = c.mustRun(t, 0, "image", "prune")
	wantIn(t, "prune", out, "removed 2 images, 2.0 MB freed")
	c.mustRun(t, 0, "image", "rm", "web:1")
	if out, _ = c.mustRun(t, 0, "image", "save", "web:1", "web:2"); out != "tarball of web:1 web:2" {
		t.Errorf("save writes %q", out)
	}
	file := filepath.Join(t.TempDir(), "web.tar")
	c.mustRun(t, 0, "image", "save", "web:1", "-o", file)
	if data, err := os.ReadFile(file); err != nil || string(data) != "tarball of web:1" {
		t.Errorf("the file: %q, %v", data, err)
	}
	_, talk = c.mustRun(t, 1, "image", "save", "none", "-o", file+"2")
	wantIn(t, "save of nothing", talk, "no such image")
	if _, err := os.Stat(file + "2"); err == nil {
		t.Error("a file of nothing")
	}

	layout := t.TempDir()
	for _, name := range []string{"index.json", "oci-layout", "blobs/sha256/00"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(layout, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(layout, name), []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, _ = c.mustRun(t, 0, "image", "load", layout)
	wantIn(t, "load", out, "loaded blobs/sha256/00+index.json+oci-layout")
	_, talk = c.mustRun(t, 1, "image", "load", t.TempDir())
	wantIn(t, "load of no layout", talk, "is no OCI layout")

	if _, err := builtin.Nodes.Create(t.Context(), c.verbs, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "two"}}, object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	_, talk = c.mustRun(t, 1, "image", "pull", "web:1")
	wantIn(t, "pull on one of two nodes", talk, "--node: one, two")
	c.mustRun(t, 0, "image", "pull", "web:1", "--node", "two")
}
