package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
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
	"httpd":     {[]string{"--set", "content.index\\.html=a page of our own", "--set", "replicaCount=2"}, useHTTPD},
	"memcached": {nil, useMemcached},
	"postgresql": {[]string{"--set", "primary.initScripts.a\\.sql=CREATE TABLE once AS SELECT 'made' AS x; GRANT SELECT ON once TO app"},
		usePostgreSQL},
	"prometheus": {[]string{"--set", "scrapeInterval=1s", "--set", "evaluationInterval=1s"}, usePrometheus},
	"rabbitmq":   {[]string{"--set-json", `podAnnotations={"prometheus.io/scrape": "true", "prometheus.io/port": "15692"}`}, useRabbitMQ},
	"redis":      {nil, useRedis},
	"wordpress":  {[]string{"--set", "wordpressBlogName=Notes of a test", "--set", "wordpressUsername=ann"}, useWordPress},
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
	t.Run("use", func(t *testing.T) {
		for name, c := range stableCharts {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				own := *m
				own.t = t
				r := &stableRelease{machine: &own, name: name}
				if i := installs[name]; i.code != 0 {
					t.Fatalf("install: exit code %d\n%s%s", i.code, i.stdout, i.stderr)
				}
				t.Logf("installed and ready after %s", installs[name].took.Round(time.Millisecond))
				r.address = r.kubectl("get", "service", name, "-o", "jsonpath={.spec.clusterIP}")
				t.Logf("pkg test %s: %s", name, lastLine(r.pkg("test", name)))
				c.use(r)
			})
		}
	})
	t.Run("restart", func(t *testing.T) { restartStable(t, m) })
}

// restartStable ends the pods and starts them again in place, with what their
// containers have left behind, and wants every service to work as before.
func restartStable(t *testing.T, m *machine) {
	own := *m
	own.t = t
	own.pkg("cluster", "stop", "--pods")
	own.pkg("cluster", "start")
	start := time.Now()
	var wg sync.WaitGroup
	for name := range stableCharts {
		wg.Go(func() {
			last := own.try("pkg", "kubectl", "wait", "--for=condition=Ready", "pod", "--timeout=120s",
				"-l", "app.kubernetes.io/instance="+name+",app.kubernetes.io/name="+name)
			for deadline := start.Add(2 * time.Minute); time.Now().Before(deadline); {
				if last = own.try("pkg", "test", name); last.code == 0 {
					t.Logf("%s works %s after the start", name, time.Since(start).Round(time.Millisecond))
					return
				}
			}
			t.Errorf("%s does not work after a restart: exit code %d\n%s%s", name, last.code, last.stdout, last.stderr)
		})
	}
	wg.Wait()
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

// ask sends lines and returns the next n lines of the answer, joined with bars.
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
	return strings.Join(all, "|"), nil
}

// says fails unless a line is answered as it should be.
func (r *stableRelease) says(l *lines, line, want string) {
	r.t.Helper()
	if got, err := l.ask(strings.Count(want, "|")+1, line); err != nil || got != want {
		r.t.Errorf("%s: %q, %v, want %q", line, got, err, want)
	}
}

// call makes an HTTP request to a port of the release's Service, as the user of
// login, and returns the body of the answer, which must be one of success.
func (r *stableRelease) call(method, port, path string, login *url.Userinfo, body string) (string, error) {
	request, err := http.NewRequest(method, "http://"+net.JoinHostPort(r.address, port)+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	if login != nil {
		password, _ := login.Password()
		request.SetBasicAuth(login.Username(), password)
	}
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	return string(text), err
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
		r.says(c, "GET k", "$4|kept")
	}
	r.says(c, "CONFIG GET maxclients", "*2|$10|maxclients|$2|99")
}

// useHTTPD wants the page that the values give, and after an upgrade the new one.
func useHTTPD(r *stableRelease) {
	for _, want := range []string{"a page of our own", "another page"} {
		eventually(r.t, 10*time.Second, func() error {
			got, err := r.call(http.MethodGet, "80", "/", nil, "")
			if err == nil && strings.TrimSpace(got) != want {
				err = fmt.Errorf("%q, want %q", got, want)
			}
			return err
		})
		r.pkg("upgrade", r.name, "stable/httpd", "--reuse-values", "--set", "content.index\\.html=another page")
	}
	eventually(r.t, 10*time.Second, func() error {
		if got, err := r.call(http.MethodGet, "80", "/missing", nil, ""); err == nil || !strings.Contains(err.Error(), "404") {
			return fmt.Errorf("a missing page: %q, %v", got, err)
		}
		return nil
	})
}

func useMemcached(r *stableRelease) {
	c := r.dial("11211")
	r.says(c, "set k 0 60 4\r\nkept", "STORED")
	r.says(r.dial("11211"), "get k", "VALUE k 0 4|kept|END")
	r.says(c, "delete k", "DELETED")
	r.says(c, "get k", "END")
}

// usePostgreSQL wants a password asked for, a table to outlive pods, and a new
// password to hold after the upgrade that brings it.
func usePostgreSQL(r *stableRelease) {
	query := func(password, sql string) (string, error) {
		got := r.try("pkg", "kubectl", "exec", r.name+"-0", "--", "env", "PGPASSWORD="+password, "PGCONNECT_TIMEOUT=5",
			"psql", "-X", "-A", "-t", "-h", r.name+".default.svc.cluster.local", "-U", "app", "-d", "app", "-c", sql)
		if got.code != 0 {
			return "", fmt.Errorf("exit code %d: %s", got.code, got.stderr)
		}
		return strings.TrimSpace(got.stdout), nil
	}
	check := func(password, sql, want string) {
		r.t.Helper()
		eventually(r.t, 10*time.Second, func() error {
			got, err := query(password, sql)
			if err == nil && got != want {
				err = fmt.Errorf("%s: %q, want %q", sql, got, want)
			}
			return err
		})
	}
	old := r.secret("password")
	check(old, "CREATE TABLE t AS SELECT 42 AS x", "SELECT 1")
	check(old, "SELECT x, (SELECT x FROM once) FROM t", "42|made")
	r.replacePod()
	check(old, "SELECT x FROM t", "42")
	const next = `a 'new" \one`
	r.upgrade("auth.password=" + strings.ReplaceAll(next, `\`, `\\`))
	check(next, "SELECT x FROM t", "42")
	if got, err := query(old, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "password authentication failed") {
		r.t.Errorf("with the old password: %q, %v", got, err)
	}
}

// useRabbitMQ wants a durable queue's message to outlive the pod.
func useRabbitMQ(r *stableRelease) {
	login := url.UserPassword("user", r.secret("rabbitmq-password"))
	call := func(method, path, body, want string) {
		r.t.Helper()
		eventually(r.t, 30*time.Second, func() error {
			got, err := r.call(method, "15672", "/api"+path, login, body)
			if err == nil && !strings.Contains(got, want) {
				err = fmt.Errorf("%s %s: %s, want %s", method, path, got, want)
			}
			return err
		})
	}
	if got, err := r.call(http.MethodGet, "15672", "/api/overview", url.UserPassword("user", "wrong"), ""); err == nil {
		r.t.Errorf("with a wrong password: %s", got)
	}
	call(http.MethodPut, "/queues/%2F/orders", `{"durable": true}`, "")
	call(http.MethodPost, "/exchanges/%2F/amq.default/publish",
		`{"properties": {"delivery_mode": 2}, "routing_key": "orders", "payload": "order 1", "payload_encoding": "string"}`, `"routed":true`)
	r.replacePod()
	call(http.MethodPost, "/queues/%2F/orders/get", `{"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}`, `"payload":"order 1"`)
}

// usePrometheus wants the cluster and an annotated pod to be collected from.
func usePrometheus(r *stableRelease) {
	query := func(promql string) (series []map[string]string, err error) {
		text, err := r.call(http.MethodGet, "9090", "/api/v1/query?query="+url.QueryEscape(promql), nil, "")
		if err != nil {
			return nil, err
		}
		var answer struct {
			Data struct {
				Result []struct{ Metric map[string]string }
			}
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			return nil, err
		}
		for _, s := range answer.Data.Result {
			series = append(series, s.Metric)
		}
		return series, nil
	}
	for _, promql := range []string{
		`up{job="prometheus"} == 1`,
		`up{job="kubernetes-apiservers"} == 1`,
		`up{job="kubernetes-nodes"} == 1`,
		`up{job="kubernetes-pods", pod="rabbitmq-0"} == 1`,
		`container_memory_working_set_bytes{namespace="default", pod="prometheus-0", container="prometheus"} > 1e6`,
		`rabbitmq_connections{namespace="default", app_kubernetes_io_name="rabbitmq"}`,
	} {
		eventually(r.t, 90*time.Second, func() error {
			series, err := query(promql)
			if err == nil && len(series) != 1 {
				err = fmt.Errorf("%s: %v, want one series", promql, series)
			}
			return err
		})
		r.t.Logf("%s: found", promql)
	}
}
