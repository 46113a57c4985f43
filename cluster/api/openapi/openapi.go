// Package openapi serves the API's OpenAPI documents: /openapi/v2 (JSON and
// protobuf) and /openapi/v3 (an index and one document for each group-version).
//
// The built-in kinds' documents are made by `make generate`, checked in
// compressed under data/, and served as those bytes; only the documents of
// custom resources are made at run time, by whoever calls Set.
package openapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

//go:embed data
var data embed.FS

// Media types, from kube-openapi.
const (
	jsonType  = "application/json"
	protoV2   = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
	protoV2Dt = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
)

// Documents is a handler for /openapi/v2, /openapi/v3 and all below it.
type Documents struct {
	mu     sync.RWMutex
	v3     map[string]document // by path: "api/v1", "apis/apps/v1"; guarded by mu
	v2json document
	v2pb   document
}

// document is one document as it is sent.
type document struct {
	gz   []byte
	hash string // upper-case hex of the plain document's sha512
}

// Load reads the embedded documents.
func Load() (*Documents, error) {
	raw, err := data.ReadFile("data/index.json")
	if err != nil {
		return nil, err
	}
	var index map[string]string
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("openapi index: %w", err)
	}
	d := &Documents{v3: map[string]document{}}
	for path, hash := range index {
		if path == "v2" {
			continue
		}
		gz, err := data.ReadFile("data/v3/" + strings.ReplaceAll(path, "/", "_") + ".json.gz")
		if err != nil {
			return nil, err
		}
		d.v3[path] = document{gz, hash}
	}
	if d.v2json.gz, err = data.ReadFile("data/v2.json.gz"); err != nil {
		return nil, err
	}
	if d.v2pb.gz, err = data.ReadFile("data/v2.pb.gz"); err != nil {
		return nil, err
	}
	d.v2json.hash, d.v2pb.hash = index["v2"], index["v2"]+"-PB"
	return d, nil
}

// Set serves doc, an OpenAPI v3 document in JSON, for the group-version path
// ("apis/example.com/v1").
func (d *Documents) Set(path string, doc []byte) error {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(doc); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	sum := sha512.Sum512(doc)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.v3[path] = document{buf.Bytes(), strings.ToUpper(hex.EncodeToString(sum[:]))}
	return nil
}

// Remove ends what Set began.
func (d *Documents) Remove(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.v3, path)
}

// ServeHTTP answers GET and HEAD.
func (d *Documents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Add("Vary", "Accept")
	w.Header().Add("Vary", "Accept-Encoding")
	switch path := strings.Trim(strings.TrimPrefix(r.URL.Path, "/openapi/"), "/"); {
	case path == "v2":
		if accept := r.Header.Get("Accept"); strings.Contains(accept, protoV2) || strings.Contains(accept, protoV2Dt) {
			send(w, r, d.v2pb, protoV2Dt)
			return
		}
		send(w, r, d.v2json, jsonType)
	case path == "v3":
		d.index(w)
	case strings.HasPrefix(path, "v3/"):
		d.groupVersion(w, r, strings.TrimPrefix(path, "v3/"))
	default:
		http.NotFound(w, r)
	}
}

// index lists the v3 documents with their hashes.
func (d *Documents) index(w http.ResponseWriter) {
	type entry struct {
		URL string `json:"serverRelativeURL"`
	}
	paths := map[string]entry{}
	d.mu.RLock()
	for path, doc := range d.v3 {
		paths[path] = entry{"/openapi/v3/" + path + "?hash=" + doc.hash}
	}
	d.mu.RUnlock()
	w.Header().Set("Content-Type", jsonType)
	json.NewEncoder(w).Encode(map[string]any{"paths": paths})
}

// groupVersion serves one v3 document. A request for an older hash is sent on
// to the present one, as kube-openapi does, so that clients may cache for ever.
func (d *Documents) groupVersion(w http.ResponseWriter, r *http.Request, path string) {
	d.mu.RLock()
	doc, ok := d.v3[path]
	d.mu.RUnlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	if hash := r.URL.Query().Get("hash"); hash != "" {
		if hash != doc.hash {
			http.Redirect(w, r, "/openapi/v3/"+path+"?hash="+doc.hash, http.StatusMovedPermanently)
			return
		}
		w.Header().Set("Cache-Control", "public, immutable, max-age=31536000")
	}
	send(w, r, doc, jsonType)
}

// send answers with the document, compressed if the client takes that.
func send(w http.ResponseWriter, r *http.Request, doc document, contentType string) {
	etag := `"` + doc.hash + `"`
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", contentType)
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(doc.gz)
		return
	}
	plain, err := gzip.NewReader(bytes.NewReader(doc.gz))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	io.Copy(w, plain)
}
