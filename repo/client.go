//go:build !front

package repo

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// Limits of what is read from a server, in bytes.
const (
	maxIndexSize   = 256 << 20
	maxArchiveSize = 100 << 20
	maxFileSize    = 100 << 20
)

// Times that a server may take: until it begins to answer, and, unless the resolver
// says otherwise, without sending anything while it does.
const (
	requestTimeout = 2 * time.Minute
	stallTimeout   = time.Minute
)

func (a Access) authorize(req *http.Request) {
	switch {
	case a.Token != "":
		req.Header.Set("Authorization", "Bearer "+a.Token)
	case a.Username != "" && a.Password != "":
		req.SetBasicAuth(a.Username, a.Password)
	}
}

// transport reaches servers directly or through the proxies of the environment.
// Answers are not unpacked: a server may call a packed chart a packed answer.
func (a Access) transport() (*http.Transport, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true
	transport.ResponseHeaderTimeout = requestTimeout
	if a.CAFile == "" && a.CertFile == "" && a.KeyFile == "" && !a.InsecureSkipTLSVerify {
		return transport, nil
	}
	conf := &tls.Config{InsecureSkipVerify: a.InsecureSkipTLSVerify} // the user asked for it
	if a.CertFile != "" || a.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	if a.CAFile != "" {
		pem, err := os.ReadFile(a.CAFile)
		if err != nil {
			return nil, fmt.Errorf("CA: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate in it", a.CAFile)
		}
	}
	transport.TLSClientConfig = conf
	return transport, nil
}

// maxRedirects is how many redirects are followed, as in Go's client.
const maxRedirects = 10

// keepCredentials is the rule for redirects: credentials stay with the scheme, host
// and port that they were meant for. Go's own rule lets other ports and subdomains
// have them.
func keepCredentials(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	if first := via[0].URL; req.URL.Scheme != first.Scheme || req.URL.Host != first.Host {
		req.Header.Del("Authorization")
		req.Header.Del("Cookie")
	}
	return nil
}

// client returns the client for an access; connections are shared and reused. Whoever
// is about to use the network clears what killed downloads left.
func (r *Resolver) client(a Access) (*http.Client, error) {
	r.sweep.Do(r.removeLeft)
	a.Username, a.Password, a.Token, a.PassCredentialsAll = "", "", "", false // said in the request
	if c, ok := r.clients.Load(a); ok {
		return c.(*http.Client), nil
	}
	base, err := a.transport()
	if err != nil {
		return nil, err
	}
	c, _ := r.clients.LoadOrStore(a, &http.Client{Transport: &watched{r: r, base: base}, CheckRedirect: keepCredentials})
	return c.(*http.Client), nil
}

// watched is the one way to servers: closed while offline, and its answers report
// progress and do not wait for ever.
type watched struct {
	r    *Resolver
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (w *watched) RoundTrip(req *http.Request) (*http.Response, error) {
	target := req.URL.Redacted()
	if w.r.Offline {
		return nil, &OfflineError{What: target}
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	resp, err := w.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	b := &body{ReadCloser: resp.Body, progress: func(int64) {}, end: func() { cancel(nil) }}
	b.cause = func() error { return context.Cause(ctx) }
	b.patience = cmp.Or(w.r.Patience, stallTimeout)
	b.timer = time.AfterFunc(b.patience, func() {
		cancel(fmt.Errorf("%s: the server has sent nothing for %s", target, b.patience))
	})
	if w.r.Progress != nil && resp.StatusCode == http.StatusOK {
		b.progress = func(read int64) { w.r.Progress(target, read, resp.ContentLength) }
	}
	resp.Body = b
	return resp, nil
}

// body is an answer's body. The timer ends the request unless each read restarts it.
type body struct {
	io.ReadCloser
	timer    *time.Timer
	patience time.Duration
	progress func(read int64)
	read     int64
	cause    func() error // why the request was ended
	end      func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.timer.Reset(b.patience)
	b.read += int64(n)
	b.progress(b.read)
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := b.cause(); cause != nil {
			err = cause
		}
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.end()
	return err
}

// get begins a request; the caller closes the body. Statuses other than 200, and 304
// if the header asks for that, are errors.
func (r *Resolver) get(ctx context.Context, target string, access Access, header http.Header) (*http.Response, error) {
	client, err := r.client(access)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	for key, values := range header {
		req.Header[key] = values
	}
	if r.UserAgent != "" {
		req.Header.Set("User-Agent", r.UserAgent)
	}
	access.authorize(req)
	resp, err := client.Do(req)
	if err != nil {
		var offline *OfflineError
		if errors.As(err, &offline) {
			return nil, offline
		}
		return nil, plainHTTPError(err)
	}
	conditional := header.Get("If-None-Match") != "" || header.Get("If-Modified-Since") != ""
	if resp.StatusCode != http.StatusOK && (resp.StatusCode != http.StatusNotModified || !conditional) {
		return nil, errors.Join(&statusError{url: redacted(target), status: resp.Status, code: resp.StatusCode}, resp.Body.Close())
	}
	return resp, nil
}

// statusError is an answer that is none.
type statusError struct {
	url, status string
	code        int
}

func (e *statusError) Error() string { return "failed to fetch " + e.url + " : " + e.status }

// Hint names what a refusal asks for.
func (e *statusError) Hint() string {
	switch e.code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "the server wants credentials: --username and --password, or --token"
	case http.StatusProxyAuthRequired:
		return "the proxy wants credentials: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
	}
	return ""
}

// fetch reads a whole URL.
func (r *Resolver) fetch(ctx context.Context, target string, access Access, limit int64) ([]byte, error) {
	resp, err := r.get(ctx, target, access, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", redacted(target), err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", redacted(target), limit)
	}
	return data, nil
}

// Fetch reads a whole URL; it is kept for when there is no network.
func (r *Resolver) Fetch(ctx context.Context, target string, access Access) ([]byte, error) {
	data, _, err := r.fetchKept(ctx, target, access, maxFileSize)
	return data, err
}

// plainHTTPError adds to a TLS error that the server speaks plain HTTP.
func plainHTTPError(err error) error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return fmt.Errorf("%w (the server speaks plain HTTP: use http:// in the URL)", err)
	}
	return err
}
