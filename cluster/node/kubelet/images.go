package kubelet

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/seed38700745/pkg/cluster/cri"
)

// ImageLine is one line of the answer to a pull: progress, or at last either
// the image or the error.
type ImageLine struct {
	Progress *cri.ImageProgress `json:"progress,omitempty"`
	Image    *cri.Image         `json:"image,omitempty"`
	Error    string             `json:"error,omitempty"`
}

// Pruned is the answer to a prune.
type Pruned struct {
	Removed []string `json:"removed"`
	Freed   int64    `json:"freed"` // bytes
	Kept    int      `json:"kept"`  // images that only a rollback would use
}

// listImages answers with a JSON list of cri.Image.
func (s *server) listImages(w http.ResponseWriter, _ *http.Request) {
	all, err := s.Images.List()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if all == nil {
		all = []cri.Image{}
	}
	writeJSON(w, all)
}

// removeImages removes the images that the parameters "name" name.
func (s *server) removeImages(w http.ResponseWriter, r *http.Request) {
	names := r.URL.Query()["name"]
	if len(names) == 0 {
		http.Error(w, "name: which image?", http.StatusBadRequest)
		return
	}
	for _, name := range names {
		if err := s.Images.Remove(name); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
	}
	writeJSON(w, Pruned{Removed: names})
}

// loadImages reads a tarball, as docker save or an OCI layout has it, and
// answers with a JSON list of the images in it.
func (s *server) loadImages(w http.ResponseWriter, r *http.Request) {
	all, err := s.Images.Load(r.Context(), r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, all)
}

// saveImages answers with a tarball of the images that "name" names. An answer
// that cannot be completed breaks off.
func (s *server) saveImages(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-tar")
	body := &counter{w: w}
	err := s.Images.Save(r.Context(), r.URL.Query()["name"], body)
	switch {
	case err == nil:
	case body.n == 0:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		s.Logger.Warn("images not saved", "error", err)
		panic(http.ErrAbortHandler)
	}
}

// counter counts the bytes of an answer.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// pullImage makes the image "name" present by "policy" (Always if missing).
// The answer is lines of JSON, see ImageLine.
func (s *server) pullImage(w http.ResponseWriter, r *http.Request) {
	policy := cri.PullPolicy(r.FormValue("policy"))
	if policy == "" {
		policy = cri.PullAlways
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	send := func(l ImageLine) {
		lines.Encode(l) // fails only if the client went away; then so does r's context
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
	}
	progress := make(chan cri.ImageProgress, 16)
	var last ImageLine
	go func() { // ends with the pull
		defer close(progress)
		image, err := s.Images.Ensure(r.Context(), r.FormValue("name"), policy, nil, func(p cri.ImageProgress) {
			select {
			case progress <- p:
			default: // the client is slow: the next will do
			}
		})
		if err != nil {
			last.Error = err.Error()
			return
		}
		last.Image = &image
	}()
	for p := range progress {
		send(ImageLine{Progress: &p})
	}
	send(last)
}

// pruneImages removes the images that nothing uses, and with the parameter "all"
// also those that only a rollback would use.
func (s *server) pruneImages(w http.ResponseWriter, r *http.Request) {
	var answer Pruned
	used, err := s.InUse(r.Context(), false)
	if err == nil && r.FormValue("all") == "" {
		running := used
		if used, err = s.InUse(r.Context(), true); err == nil {
			answer.Kept = len(used) - len(running)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer.Removed, answer.Freed, err = s.Images.Prune(func(id string) bool { return used[id] })
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, answer)
}
