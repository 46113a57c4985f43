package repo_test

import (
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed38700745/pkg/repo"
)

// indexOf is an index of charts of a name with versions.
func indexOf(name string, versions ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nentries:\n  %s:\n", name)
	for _, v := range versions {
		fmt.Fprintf(&b, "  - {name: %s, version: %s, apiVersion: v2, urls: [%s-%s.tgz]}\n", name, v, name, v)
	}
	return b.String()
}

func versionsOf(t *testing.T, r *repo.Resolver, ref string) string {
	t.Helper()
	list, err := r.Versions(context.Background(), repo.Request{Ref: ref})
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, v := range list {
		out = append(out, v.Version)
	}
	return strings.Join(out, " ")
}

// TestUpdateAsksForChangesOnly: what the server said of its index is sent back, by tag
// or by time, and a 304 is told.
func TestUpdateAsksForChangesOnly(t *testing.T) {
	for _, by := range []string{"ETag", "Last-Modified", "nothing"} {
		t.Run(by, func(t *testing.T) {
			text := indexOf("web", "1.0.0")
			bodies := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				switch by {
				case "ETag":
					w.Header().Set("ETag", fmt.Sprintf(`"%d"`, len(text)))
				case "Last-Modified":
					w.Header().Set("Last-Modified", time.Unix(int64(len(text)), 0).UTC().Format(http.TimeFormat))
				}
				if etag := w.Header().Get("ETag"); etag != "" && req.Header.Get("If-None-Match") == etag {
					w.WriteHeader(http.StatusNotModified)
					return
				}
				if since := w.Header().Get("Last-Modified"); since != "" && req.Header.Get("If-Modified-Since") == since {
					w.WriteHeader(http.StatusNotModified)
					return
				}
				bodies++
				if req.Header.Get("Accept-Encoding") != "gzip" {
					t.Error("the index is not asked for compressed")
				}
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				defer z.Close()
				fmt.Fprint(z, text)
			}))
			t.Cleanup(s.Close)
			r := newResolver(t)
			e := repo.Repository{Name: "foo", URL: s.URL}
			add(t, r, e)
			update := func(unchanged bool, bodiesWanted int, versions string) {
				t.Helper()
				done, err := r.Update(context.Background(), &e)
				if err != nil || done.Unchanged != unchanged || bodies != bodiesWanted {
					t.Errorf("unchanged %t, %v, after %d bodies; want %t, %d", done.Unchanged, err, bodies, unchanged, bodiesWanted)
				}
				if got := versionsOf(t, r, "foo/web"); got != versions {
					t.Errorf("versions %s, want %s", got, versions)
				}
			}
			second := 1
			if by == "nothing" {
				second = 2
			}
			update(false, 1, "1.0.0")
			update(true, second, "1.0.0")
			text = indexOf("web", "1.0.0", "1.1.0")
			update(false, second+1, "1.1.0 1.0.0")
			// The conditions belong to a URL: another one gets an unconditional request.
			e.URL += "/"
			update(false, second+2, "1.1.0 1.0.0")
		})
	}
}

// TestIndexOfOthers: helm, or somebody by hand, puts another index.yaml into the cache;
// the local index follows, and one that is damaged is made anew.
func TestIndexOfOthers(t *testing.T) {
	s := newServer(t, "", "", chartTree("web", "1.0.0"))
	r := newResolver(t)
	e := repo.Repository{Name: "foo", URL: s.URL}
	add(t, r, e)
	if got := versionsOf(t, r, "foo/web"); got != "1.0.0" {
		t.Fatal(got)
	}
	index, local := filepath.Join(r.CacheDir, "foo-index.yaml"), filepath.Join(r.CacheDir, "foo-index.local")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(index, indexOf("web", "1.0.0", "3.0.0"))
	if got := versionsOf(t, r, "foo/web"); got != "3.0.0 1.0.0" {
		t.Errorf("after index.yaml was replaced: %s", got)
	}
	write(local, "not what it was")
	if got := versionsOf(t, r, "foo/web"); got != "3.0.0 1.0.0" {
		t.Errorf("after the local index was overwritten: %s", got)
	}
	data, err := os.ReadFile(local)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(data), "3.0.0")
	write(local, string(data[:at])+"9"+string(data[at+1:]))
	if got := versionsOf(t, r, "foo/web"); got != "3.0.0 1.0.0" {
		t.Errorf("after the local index was damaged: %s", got)
	}
	write(local, string(data[:at])+"9"+string(data[at+1:]))
	if hits, err := r.Search(repo.SearchQuery{Words: []string{"web"}}); err != nil || len(hits) != 1 || hits[0].Version != "3.0.0" {
		t.Errorf("search with a damaged local index: %v, %v", hits, err)
	}
	write(index, "damaged: [")
	if got := versionsOf(t, r, "foo/web"); !strings.Contains(got, "pkg repo update replaces it") {
		t.Errorf("damaged index.yaml: %s", got)
	}
	if _, err := r.Update(context.Background(), &e); err != nil {
		t.Fatal(err)
	}
	if got := versionsOf(t, r, "foo/web"); got != "1.0.0" {
		t.Errorf("after the update: %s", got)
	}
	// The same name for another repository: what was kept is not taken for it.
	other := newServer(t, "", "", chartTree("web", "7.0.0"))
	if err := r.ChangeConfig(stamp, func(c *repo.Config) error { c.Repositories[0].URL = other.URL; return nil }); err != nil {
		t.Fatal(err)
	}
	if got := versionsOf(t, r, "foo/web"); got != "7.0.0" {
		t.Errorf("under another URL: %s", got)
	}
}

// recorder is a server that notes the Authorization headers it gets.
func recorder(t *testing.T, files http.Handler) (*httptest.Server, *atomic.Value) {
	t.Helper()
	got := &atomic.Value{}
	got.Store("not asked")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		got.Store(req.Header.Get("Authorization"))
		files.ServeHTTP(w, req)
	}))
	t.Cleanup(s.Close)
	return s, got
}

// TestRedirectsTakeNoCredentials: neither passwords nor tokens go to another host or
// port, nor with --pass-credentials, which is about URLs of the index (as in Helm).
func TestRedirectsTakeNoCredentials(t *testing.T) {
	charts := newServer(t, "", "", chartTree("web", "1.0.0"))
	target, got := recorder(t, http.FileServer(http.Dir(charts.dir)))
	front, asked := recorder(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, target.URL+req.URL.Path, http.StatusFound)
	}))
	for _, access := range []repo.Access{
		{Username: "me", Password: "secret"}, {Token: "secret"}, {Username: "me", Password: "secret", PassCredentialsAll: true},
	} {
		if _, err := newResolver(t).Pull(context.Background(), repo.Request{Ref: "web", RepoURL: front.URL, Access: access}); err != nil {
			t.Fatal(err)
		}
		if asked.Load() == "" || got.Load() != "" {
			t.Errorf("%+v: the repository got %q, the other host %q", access, asked.Load(), got.Load())
		}
	}
}

// TestTokens: a bearer token is sent to the repository's host, and to others only when
// that is asked for.
func TestTokens(t *testing.T) {
	charts := newServer(t, "", "", chartTree("web", "1.0.0"))
	elsewhere, got := recorder(t, http.FileServer(http.Dir(charts.dir)))
	index, err := repo.IndexFolder(charts.dir, elsewhere.URL, stamp)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := index.Write(filepath.Join(dir, "index.yaml"), false); err != nil {
		t.Fatal(err)
	}
	s, asked := recorder(t, http.FileServer(http.Dir(dir)))
	for _, pass := range []bool{false, true} {
		r := newResolver(t)
		add(t, r, repo.Repository{Name: "foo", URL: s.URL, Token: "secret", PassCredentialsAll: pass})
		if _, err := r.Pull(context.Background(), repo.Request{Ref: "foo/web"}); err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{true: "Bearer secret", false: ""}[pass]
		if asked.Load() != "Bearer secret" || got.Load() != want {
			t.Errorf("pass %t: the repository got %q, the other host %q", pass, asked.Load(), got.Load())
		}
		// A URL of a repository's index is reached as the repository says.
		if _, err := r.Pull(context.Background(), repo.Request{Ref: elsewhere.URL + "/web-1.0.0.tgz"}); err != nil || got.Load() != want {
			t.Errorf("by URL: the other host got %q, %v", got.Load(), err)
		}
	}
}

// writePEM writes blocks into a file.
func writePEM(t *testing.T, kind string, der []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestClientCertificatesAndOwnCA: a server with a certificate of its own CA that wants
// one of its clients.
func TestClientCertificatesAndOwnCA(t *testing.T) {
	charts := newServer(t, "", "", chartTree("web", "1.0.0"))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.FileServer(http.Dir(charts.dir)))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}
	s.TLS.ClientCAs.AddCert(client)
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	whole := repo.Access{
		CertFile: writePEM(t, "CERTIFICATE", der), KeyFile: writePEM(t, "PRIVATE KEY", private),
		CAFile: writePEM(t, "CERTIFICATE", s.Certificate().Raw),
	}
	pull := func(access repo.Access) error {
		_, err := newResolver(t).Pull(context.Background(), repo.Request{Ref: "web", RepoURL: s.URL, Access: access})
		return err
	}
	if err := pull(whole); err != nil {
		t.Error(err)
	}
	insecure := whole
	insecure.CAFile, insecure.InsecureSkipTLSVerify = "", true
	if err := pull(insecure); err != nil {
		t.Error(err)
	}
	for name, without := range map[string]repo.Access{
		"certificate signed by unknown authority": {CertFile: whole.CertFile, KeyFile: whole.KeyFile},
		"certificate required":                    {CAFile: whole.CAFile},
		"client certificate":                      {CertFile: whole.CertFile, CAFile: whole.CAFile},
		"no certificate in it":                    {CAFile: whole.KeyFile},
	} {
		if err := pull(without); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q: %v", name, err)
		}
	}
}

// TestOffline: everything that was fetched once is there without the network, by
// digest; what is not is named with the next step, and nothing is asked.
func TestOffline(t *testing.T) {
	s := newServer(t, "", "", chartTree("web", "1.0.0"), chartTree("web", "1.1.0"), chartTree("db", "2.0.0"))
	if err := os.WriteFile(filepath.Join(s.dir, "values.yaml"), []byte("a: 2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	host := newRegistry(t, "", "")
	ctx := context.Background()
	r := newResolver(t)
	for _, version := range []string{"1.0.0", "1.2.0"} {
		if _, err := r.Push(ctx, packed(t, chartTree("shop", version)), "oci://"+host+"/x", repo.Access{}); err != nil {
			t.Fatal(err)
		}
	}
	add(t, r, repo.Repository{Name: "foo", URL: s.URL})
	requests := []repo.Request{
		{Ref: "foo/web"}, {Ref: "foo/web", Version: "<1.1"}, {Ref: "db", RepoURL: s.URL}, {Ref: s.URL + "/db-2.0.0.tgz"},
		{Ref: "oci://" + host + "/x/shop", Version: "^1.0"}, {Ref: "oci://" + host + "/x/shop:1.2.0"},
	}
	sums := make([]string, len(requests))
	for i, req := range requests {
		a, err := r.Pull(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = a.Digest()
	}
	if _, err := r.Fetch(ctx, s.URL+"/values.yaml", repo.Access{}); err != nil {
		t.Fatal(err)
	}
	asked := s.requests.Load()
	off := &repo.Resolver{ConfigFile: r.ConfigFile, CacheDir: r.CacheDir, Bundled: r.Bundled, Offline: true}
	for i, req := range requests {
		a, err := off.Pull(ctx, req)
		if err != nil || a.Digest() != sums[i] {
			t.Errorf("offline %+v: %v", req, err)
		}
	}
	// Under another name, found by the index's digest.
	if _, err := off.Pull(ctx, repo.Request{Ref: "foo/db", Version: "2.0.0"}); err != nil {
		t.Error(err)
	}
	if data, err := off.Fetch(ctx, s.URL+"/values.yaml", repo.Access{}); err != nil || string(data) != "a: 2\n" {
		t.Errorf("offline values: %q, %v", data, err)
	}
	for want, req := range map[string]repo.Request{
		"offline: chart oci://" + host + "/x/shop 1.0.0 is not cached":                 {Ref: "oci://" + host + "/x/shop", Version: "1.0.0"},
		"offline: chart oci://" + host + "/y/shop is not cached":                       {Ref: "oci://" + host + "/y/shop"},
		"offline: chart " + s.URL + "/none.tgz (" + s.URL + "/none.tgz) is not cached": {Ref: s.URL + "/none.tgz"},
	} {
		var missing *repo.OfflineError
		if _, err := off.Pull(ctx, req); !errors.As(err, &missing) || err.Error() != want || !strings.Contains(missing.Hint(), "pkg pull "+req.Ref) {
			t.Errorf("%+v:\n got %v\nwant %s", req, err, want)
		}
	}
	var missing *repo.OfflineError
	if _, err := off.Update(ctx, &repo.Repository{Name: "foo", URL: s.URL}); !errors.As(err, &missing) {
		t.Errorf("offline update: %v", err)
	}
	if got := s.requests.Load(); got != asked {
		t.Errorf("%d requests while offline", got-asked)
	}
	// A damaged file of the cache is not used, and fetched again.
	kept := filepath.Join(r.CacheDir, "content", sums[0])
	if err := os.WriteFile(kept, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := off.Pull(ctx, requests[0]); !errors.As(err, &missing) {
		t.Errorf("offline with a damaged cache: %v", err)
	}
	if a, err := r.Pull(ctx, requests[0]); err != nil || a.Digest() != sums[0] {
		t.Errorf("with a damaged cache: %v", err)
	}
}

// TestSecretsStayOutOfErrors: a URL with a password is shown without it.
func TestSecretsStayOutOfErrors(t *testing.T) {
	s := newServer(t, "me", "other", chartTree("web", "1.0.0"))
	url := strings.Replace(s.URL, "http://", "http://me:secret@", 1)
	for _, req := range []repo.Request{{Ref: "web", RepoURL: url}, {Ref: url + "/web-1.0.0.tgz"}} {
		_, err := newResolver(t).Pull(context.Background(), req)
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "401") {
			t.Errorf("%v", err)
		}
	}
}

// TestProgress: downloads report how far they are.
func TestProgress(t *testing.T) {
	text := indexOf("web", "1.0.0") + strings.Repeat("#\n", 1<<20)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	r := newResolver(t)
	var last, calls int64
	r.Progress = func(url string, read, size int64) {
		if size != int64(len(text)) || read < last || url != s.URL+"/index.yaml" {
			t.Errorf("%s: %d of %d after %d", url, read, size, last)
		}
		last = read
		calls++
	}
	if _, err := r.Update(context.Background(), &repo.Repository{Name: "foo", URL: s.URL}); err != nil {
		t.Fatal(err)
	}
	if last != int64(len(text)) || calls < 2 {
		t.Errorf("%d calls, the last one at %d", calls, last)
	}
}

// TestStalledServer: one that stops in the middle of an answer is not waited for.
func TestStalledServer(t *testing.T) {
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, "apiVersion: v1\n")
		w.(http.Flusher).Flush()
		<-req.Context().Done() // the client gives up
		close(done)
	}))
	t.Cleanup(s.Close)
	r := newResolver(t)
	r.Patience = 50 * time.Millisecond
	_, err := r.Update(context.Background(), &repo.Repository{Name: "foo", URL: s.URL})
	if err == nil || !strings.Contains(err.Error(), s.URL+"/index.yaml: the server has sent nothing for 50ms") {
		t.Errorf("%v", err)
	}
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open")
	}
	left, err := filepath.Glob(filepath.Join(r.CacheDir, ".pkg-pending-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
