package server_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed38700745/pkg/repo/server"
)

// patience is short, so that tests need not wait long for its end.
const patience = time.Second

// dripping gives a body in parts with pauses. After the last it waits until it is closed.
type dripping struct {
	parts  [][]byte
	pause  time.Duration
	stall  chan struct{} // nil: it ends
	closed sync.Once
}

func (d *dripping) Close() error {
	if d.stall != nil {
		d.closed.Do(func() { close(d.stall) })
	}
	return nil
}

func (d *dripping) Read(p []byte) (int, error) {
	if len(d.parts) == 0 {
		if d.stall != nil {
			<-d.stall
		}
		return 0, io.EOF
	}
	time.Sleep(d.pause) // the slow client itself
	n := copy(p, d.parts[0])
	if d.parts[0] = d.parts[0][n:]; len(d.parts[0]) == 0 {
		d.parts = d.parts[1:]
	}
	return n, nil
}

func split(data []byte, n int) [][]byte {
	var parts [][]byte
	for size := (len(data) + n - 1) / n; len(data) > 0; data = data[min(size, len(data)):] {
		parts = append(parts, data[:min(size, len(data))])
	}
	return parts
}

// clients are one of HTTP/1.1 without TLS and one of HTTP/2.
func clients(t *testing.T, run func(t *testing.T, base string, client *http.Client)) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			c := server.Config{Patience: patience, TLSSelfMade: proto == "HTTP/2.0"}
			open(&c)
			base, _ := start(t, c)
			client := &http.Client{Transport: &http.Transport{
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true, DisableCompression: true,
			}, Timeout: 20 * time.Second}
			t.Cleanup(client.CloseIdleConnections)
			r, err := client.Get(base + "/health")
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Body.Close()
			if r.Proto != proto {
				t.Fatalf("%s, want %s", r.Proto, proto)
			}
			run(t, base, client)
		})
	}
}

// noisy is a chart of so many bytes that do not compress.
func noisy(t testing.TB, name string, size int) []byte {
	t.Helper()
	files := map[string]string{}
	for size > 0 {
		noise := make([]byte, min(size, 4<<20)) // a chart's file may have 5 MiB
		_, _ = rand.Read(noise)                 // never fails
		files[fmt.Sprint("noise", size)] = string(noise)
		size -= len(noise)
	}
	return pack(t, name, "1.0.0", files)
}

// TestSlowUploads wants uploads that go on, however slowly, taken, and those that stop
// refused with nothing stored.
func TestSlowUploads(t *testing.T) {
	t.Parallel() // it mostly waits
	clients(t, func(t *testing.T, base string, client *http.Client) {
		archive := noisy(t, "slow", 200<<10)
		r, err := client.Post(base+"/api/charts", "", &dripping{parts: split(archive, 40), pause: patience / 20})
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if r.StatusCode != http.StatusCreated {
			t.Errorf("moving: %s %s", r.Status, body)
		}

		for _, path := range []string{"/api/charts", "/v2/some/blobs/uploads/?digest=sha256:" + fmt.Sprintf("%x", sha256.Sum256(archive))} {
			half := &dripping{parts: [][]byte{noisy(t, "half", 100<<10)[:50<<10]}, stall: make(chan struct{})}
			r, err := client.Post(base+path, "", half)
			if err != nil {
				continue // the connection may go before the answer is read
			}
			body, _ := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if r.StatusCode != http.StatusRequestTimeout && r.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: stalled: %s %s", path, r.Status, body)
			}
		}
		if x := readIndexWith(t, client, base); strings.Contains(x, "half") || !strings.Contains(x, "slow") {
			t.Errorf("index: %s", x)
		}
	})
}

func readIndexWith(t *testing.T, client *http.Client, base string) string {
	t.Helper()
	r, err := client.Get(base + "/index.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestSlowDownloads wants a download that goes on whole, although it takes many times
// the patience.
func TestSlowDownloads(t *testing.T) {
	t.Parallel() // it mostly waits
	clients(t, func(t *testing.T, base string, client *http.Client) {
		archive := noisy(t, "large", 12<<20)
		r, err := client.Post(base+"/api/charts", "", bytes.NewReader(archive))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r, err = client.Get(base + "/charts/large-1.0.0.tgz"); err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		hash, n := sha256.New(), 0
		part := make([]byte, 128<<10)
		for begin := time.Now(); ; {
			k, err := io.ReadFull(r.Body, part)
			hash.Write(part[:k])
			n += k
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil {
				t.Fatalf("after %d of %d bytes and %s: %v", n, len(archive), time.Since(begin), err)
			}
			time.Sleep(patience / 40) // the slow client itself
		}
		if want := sha256.Sum256(archive); !bytes.Equal(hash.Sum(nil), want[:]) {
			t.Errorf("%d bytes, want %d", n, len(archive))
		}
	})
}

// TestStalledDownload wants the connection of a client closed that asks for a large file
// and reads nothing.
func TestStalledDownload(t *testing.T) {
	t.Parallel() // it mostly waits
	c := server.Config{Patience: patience}
	open(&c)
	base, _ := start(t, c)
	push(t, base, noisy(t, "large", 16<<20))
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A small window, so that the system's buffers do not take the whole file.
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /charts/large-1.0.0.tgz HTTP/1.1\r\nHost: x\r\n\r\n")
	// The server has given up when its metrics count the request besides those for them.
	counted := regexp.MustCompile(`pkg_repo_requests_total\{method="GET",code="200"\} (\d+)`)
	end := time.Now().Add(20 * time.Second)
	for before := 0; ; before++ {
		_, text := ask(t, "GET", base+"/metrics", nil)
		if m := counted.FindStringSubmatch(text); m != nil && m[1] == fmt.Sprint(before+1) {
			break
		}
		time.Sleep(10 * time.Millisecond)
		if time.Now().After(end) {
			t.Fatal("the request is still running")
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, conn)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection is not reset after %d bytes: %v", n, err)
	}
}

// TestStalledStream wants a download over HTTP/2 ended that the client does not read, while
// others go on over the same connection.
func TestStalledStream(t *testing.T) {
	t.Parallel() // it mostly waits
	clients(t, func(t *testing.T, base string, client *http.Client) {
		if !strings.HasPrefix(base, "https") {
			t.Skip("a connection has one request at a time there, see TestStalledDownload")
		}
		r, err := client.Post(base+"/api/charts", "", bytes.NewReader(noisy(t, "large", 16<<20)))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		stalled, err := client.Get(base + "/charts/large-1.0.0.tgz")
		if err != nil {
			t.Fatal(err)
		}
		defer stalled.Body.Close()
		for begin := time.Now(); time.Since(begin) < 3*patience; {
			readIndexWith(t, client, base)
		}
		if n, err := io.Copy(io.Discard, stalled.Body); err == nil || n >= 16<<20 {
			t.Errorf("the download went on: %d bytes, %v", n, err)
		}
	})
}
