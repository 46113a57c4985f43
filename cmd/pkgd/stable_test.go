package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// stableCharts are the bundled charts but mysql and nginx, which have tests of
// their own: what is given to the install, and how the service is used.
var stableCharts = map[string]struct {
	args []string
	use  func(r *stableRelease)
}{
	"redis": {use: useRedis},
}

// stableRelease is a release of a bundled chart in a test of its own.
type stableRelease struct {
	*machine
	name    string
	address string // the Service's, without port
}

// TestStable installs the bundled charts, side by side on one cluster, and uses
// each service.
func TestStable(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "start")
	installs := map[string]result{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, c := range stableCharts {
		wg.Go(func() {
			r := m.try("pkg", append([]string{"install", name, "stable/" + name}, c.args...)...)
			mu.Lock()
			defer mu.Unlock()
			installs[name] = r
		})
	}
	wg.Wait()
	for name, c := range stableCharts {
		t.Run(name, func(t *testing.T) {
			own := *m
			own.t = t
			r := &stableRelease{machine: &own, name: name}
			if i := installs[name]; i.code != 0 {
				t.Fatalf("install: exit code %d\n%s%s", i.code, i.stdout, i.stderr)
			}
			t.Logf("installed and ready after %s", installs[name].took.Round(time.Millisecond))
			r.address = r.kubectl("get", "service", name, "-o", "jsonpath={.spec.clusterIP}")
			t.Logf("%s", lastLine(r.pkg("test", name)))
			c.use(r)
		})
	}
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// secret is the decoded value of a key of the release's Secret.
func (r *stableRelease) secret(key string) string {
	r.t.Helper()
	return r.kubectl("get", "secret", r.name, "-o", "go-template={{index .data "+fmt.Sprintf("%q", key)+" | base64decode}}")
}

// replacePod deletes the release's first pod and waits for the next one.
func (r *stableRelease) replacePod() {
	r.t.Helper()
	before := r.podUID()
	r.kubectl("delete", "pod", r.name+"-0")
	eventually(r.t, time.Minute, func() error {
		got := r.try("pkg", "kubectl", "get", "pod", r.name+"-0", "-o", `jsonpath={.metadata.uid} {.status.conditions[?(@.type=="Ready")].status}`)
		if uid, ready, _ := strings.Cut(got.stdout, " "); got.code != 0 || uid == before || ready != "True" {
			return fmt.Errorf("pod %s-0 is not there and ready: %s%s", r.name, got.stdout, got.stderr)
		}
		return nil
	})
}

func (r *stableRelease) podUID() string {
	r.t.Helper()
	return r.kubectl("get", "pod", r.name+"-0", "-o", "jsonpath={.metadata.uid}")
}

// upgrade changes a value; the pod is another one then.
func (r *stableRelease) upgrade(set string) {
	r.t.Helper()
	before := r.podUID()
	r.pkg("upgrade", r.name, "stable/"+r.name, "--reuse-values", "--set", set)
	if r.podUID() == before {
		r.t.Errorf("--set %s did not replace the pod", set)
	}
}

// lines is a connection of a protocol of lines.
type lines struct {
	net.Conn
	r *bufio.Reader
}

// dial connects to a port of the release's Service, as soon as it has endpoints.
func (r *stableRelease) dial(port string) *lines {
	r.t.Helper()
	var c net.Conn
	eventually(r.t, 10*time.Second, func() (err error) {
		c, err = net.DialTimeout("tcp", net.JoinHostPort(r.address, port), 5*time.Second)
		return err
	})
	r.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	return &lines{c, bufio.NewReader(c)}
}

// ask sends a line and returns the next n lines of the answer, joined with
// blanks.
func (l *lines) ask(n int, line string) (string, error) {
	if _, err := fmt.Fprintf(l, "%s\r\n", line); err != nil {
		return "", err
	}
	var all []string
	for range n {
		s, err := l.r.ReadString('\n')
		if err != nil {
			return "", err
		}
		all = append(all, strings.TrimSpace(s))
	}
	return strings.Join(all, " "), nil
}

// says fails unless a line is answered as it should be.
func (r *stableRelease) says(l *lines, line, want string) {
	r.t.Helper()
	if got, err := l.ask(strings.Count(want, " ")+1, line); err != nil || got != want {
		r.t.Errorf("%s: %q, %v, want %q", line, got, err, want)
	}
}

// useRedis wants the password asked for, and keys to outlive pods.
func useRedis(r *stableRelease) {
	c := r.dial("6379")
	if got, err := c.ask(1, "GET k"); err != nil || !strings.HasPrefix(got, "-NOAUTH") {
		r.t.Errorf("without password: %q, %v", got, err)
	}
	password := r.secret("redis-password")
	r.says(c, "AUTH "+password, "+OK")
	r.says(c, "SET k kept", "+OK")
	for _, replace := range []func(){r.replacePod, func() { r.upgrade("master.configuration=maxclients 99") }} {
		replace()
		c = r.dial("6379")
		r.says(c, "AUTH "+password, "+OK")
		r.says(c, "GET k", "$4 kept")
	}
	r.says(c, "CONFIG GET maxclients", "*2 $10 maxclients $2 99")
}
