package api

import (
	"bufio"
	"net"
	"net/http"
)

// Observed is a request as Config.Observe sees it.
type Observed struct {
	Verb                                  string // "get", "list", "watch", "create" ...; of paths the method
	Group, Version, Resource, Subresource string
	Scope                                 string // "resource", "namespace", "cluster", or "" for paths
	Patch                                 string // the content type of a patch
	DryRun                                bool
	Long                                  bool // a watch or a stream
}

// Outcome is how an observed request ended.
type Outcome struct {
	Code   int
	Bytes  int64 // of the answer's body
	Served bool  // there is such a resource or path
}

// observed is the request for Config.Observe.
func (q *request) observed() Observed {
	o := Observed{Verb: q.verb, Group: q.gvr.Group, Version: q.gvr.Version, Resource: q.gvr.Resource, Subresource: q.sub}
	if !q.resource {
		return o
	}
	switch {
	case q.key.Name != "" || q.verb == "create":
		o.Scope = "resource"
	case q.key.Namespace != "":
		o.Scope = "namespace"
	default:
		o.Scope = "cluster"
	}
	if q.verb == "patch" {
		o.Patch = q.Header.Get("Content-Type")
	}
	o.DryRun = q.URL.RawQuery != "" && q.URL.Query().Get("dryRun") != ""
	o.Long = q.verb == "watch" || q.server.Connect[q.gvr.Resource+"/"+q.sub] != nil
	return o
}

// watched is a ResponseWriter that remembers what was answered.
type watched struct {
	http.ResponseWriter
	code  int
	bytes int64
}

func (w *watched) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *watched) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush implements http.Flusher.
func (w *watched) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Hijack implements http.Hijacker: the answer is "switching protocols".
func (w *watched) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, b, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil && w.code == 0 {
		w.code = http.StatusSwitchingProtocols
	}
	return c, b, err
}
