package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/version"
)

// defaultVersion is the Kubernetes whose wire behaviour this is.
const defaultVersion = "v1.36.3"

// servePath serves what is no resource.
func (q *request) servePath() error {
	s, path := q.server, strings.TrimSuffix(q.URL.Path, "/")
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		if h := s.Paths[path]; h != nil {
			h.ServeHTTP(q.w, q.Request)
			return nil
		}
		return methodNotAllowed(q.Method)
	}
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "healthz", "livez", "readyz":
		return q.health(first, rest)
	case "version":
		return q.version()
	case "api", "apis":
		return q.discover(path)
	case "openapi":
		if s.OpenAPI != nil {
			s.OpenAPI.ServeHTTP(q.w, q.Request)
			return nil
		}
	case "":
		return q.index()
	}
	if h := s.Paths[path]; h != nil {
		h.ServeHTTP(q.w, q.Request)
		return nil
	}
	return notServed()
}

// index lists the paths there are.
func (q *request) index() error {
	paths := []string{"/api", "/api/v1", "/apis", "/healthz", "/livez", "/readyz", "/version"}
	for _, gv := range q.server.groupVersions() {
		if gv.Group != "" {
			paths = append(paths, "/apis/"+gv.Group, "/apis/"+gv.String())
		}
	}
	for p := range q.server.Paths {
		paths = append(paths, p)
	}
	if q.server.OpenAPI != nil {
		paths = append(paths, "/openapi/v2", "/openapi/v3")
	}
	slices.Sort(paths)
	return q.writeJSON(map[string]any{"paths": slices.Compact(paths)})
}

func (q *request) version() error {
	v := q.server.Version
	major, minor, _ := strings.Cut(strings.TrimPrefix(v, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	return q.writeJSON(version.Info{
		Major: major, Minor: minor, GitVersion: v, GitTreeState: "clean",
		GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH,
	})
}

func (q *request) writeJSON(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "application/json")
	out := q.respond(http.StatusOK)
	defer out.Close()
	_, err = out.Write(data)
	return err
}

// health asks the checks, all or the one named.
func (q *request) health(endpoint, one string) error {
	var out strings.Builder
	failed, found := []string{}, one == "" || one == "ping"
	fmt.Fprintln(&out, "[+]ping ok")
	exclude := q.URL.Query()["exclude"]
	for _, c := range q.server.Checks {
		if (endpoint == "livez" && !c.Live) || (one != "" && c.Name != one) {
			continue
		}
		found = true
		if slices.Contains(exclude, c.Name) {
			fmt.Fprintf(&out, "[+]%s excluded: ok\n", c.Name)
			continue
		}
		if err := c.Probe(); err != nil {
			failed = append(failed, c.Name)
			fmt.Fprintf(&out, "[-]%s failed: %v\n", c.Name, err)
			continue
		}
		fmt.Fprintf(&out, "[+]%s ok\n", c.Name)
	}
	if !found {
		return notServed()
	}
	h := q.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	if len(failed) > 0 {
		q.w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(q.w, "%s%s check failed\n", out.String(), endpoint)
		return nil
	}
	if _, verbose := q.URL.Query()["verbose"]; verbose {
		fmt.Fprintf(q.w, "%s%s check passed\n", out.String(), endpoint)
		return nil
	}
	fmt.Fprint(q.w, "ok")
	return nil
}
