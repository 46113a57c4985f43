package api

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// gzipFrom is the size in bytes from which answers are compressed for clients
// that accept it (kube-apiserver: 128 KiB).
const gzipFrom = 128 << 10

// response writes one answer: a short one with its length, a long one as a
// stream, compressed if the client accepts that. Headers must be set before.
type response struct {
	q    *request
	code int
	buf  bytes.Buffer // until the answer is longer than gzipFrom
	out  io.Writer    // from then on
	zip  *gzip.Writer // under out, if compressed
}

func (q *request) respond(code int) *response { return &response{q: q, code: code} }

// Write implements io.Writer.
func (r *response) Write(p []byte) (int, error) {
	if r.out == nil && r.buf.Len()+len(p) < gzipFrom {
		return r.buf.Write(p)
	}
	if r.out == nil {
		if err := r.begin(); err != nil {
			return 0, err
		}
	}
	return r.out.Write(p)
}

// begin starts the stream with what was held back.
func (r *response) begin() error {
	r.out = r.q.w
	if strings.Contains(r.q.Header.Get("Accept-Encoding"), "gzip") {
		h := r.q.w.Header()
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding")
		z, err := gzip.NewWriterLevel(r.q.w, gzip.BestSpeed)
		if err != nil {
			return err
		}
		r.zip, r.out = z, z
	}
	r.q.w.WriteHeader(r.code)
	_, err := r.buf.WriteTo(r.out)
	r.buf = bytes.Buffer{}
	return err
}

// begun tells that it is too late for another answer.
func (r *response) begun() bool { return r.out != nil }

// Close completes the answer. A client that went away needs none, so write
// errors end here.
func (r *response) Close() {
	if r.out == nil {
		r.q.w.Header().Set("Content-Length", strconv.Itoa(r.buf.Len()))
		r.q.w.WriteHeader(r.code)
		if r.q.Method != http.MethodHead {
			_, _ = r.buf.WriteTo(r.q.w)
		}
		return
	}
	if r.zip != nil {
		_ = r.zip.Close()
	}
}
