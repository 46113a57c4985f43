package api

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
)

// gzipFrom is the size in bytes from which answers are compressed for clients
// that accept it (kube-apiserver: 128 KiB).
const gzipFrom = 128 << 10

// responseBuffer holds an answer until its size is known.
type responseBuffer struct{ bytes.Buffer }

// send writes the answer.
func (b *responseBuffer) send(q *request, code int) {
	h := q.w.Header()
	if b.Len() >= gzipFrom && strings.Contains(q.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding")
		q.w.WriteHeader(code)
		z, err := gzip.NewWriterLevel(q.w, gzip.BestSpeed)
		if err != nil {
			panic(err) // the level is a constant
		}
		_, _ = b.WriteTo(z)
		_ = z.Close()
		return
	}
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	q.w.WriteHeader(code)
	if q.Method != http.MethodHead {
		_, _ = b.WriteTo(q.w) // a client that went away needs no answer
	}
}
