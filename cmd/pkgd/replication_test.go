package main

import (
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

// A primary with replicas, as its user lives with it: a client writes all the
// while, and whatever was acknowledged is everywhere in the end.
func TestMySQLReplication(t *testing.T) {
	m := newMachine(t)
	r := m.try("pkg", "install", "stable/mysql", "--set", "architecture=replication,secondary.replicaCount=2")
	if r.code != 0 {
		t.Fatalf("install: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	t.Logf("installed in %s", r.took.Round(time.Millisecond))
	m.replicas(2)
	m.pkg("test", "mysql")
	primary := m.database("mysql", "mysql")
	execute(t, primary, createTable)
	w := startWriter(t, primary)

	uid := m.uid("mysql-0")
	w.unharmed("scale to 3", func() {
		m.upgrade("secondary.replicaCount=3")
		m.replicas(3)
		w.more(20)
	})
	w.unharmed("scale to 1", func() {
		m.upgrade("secondary.replicaCount=1")
		m.replicas(1)
		eventually(t, 20*time.Second, func() error {
			if claims := m.kubectl("get", "pvc", "-o", "name"); strings.Contains(claims, "secondary-1") || strings.Contains(claims, "secondary-2") {
				return fmt.Errorf("claims of replicas that are gone:\n%s", claims)
			}
			return nil
		})
	})
	w.unharmed("scale to 2 and a rolling change of the replicas", func() {
		m.upgrade("secondary.replicaCount=2")
		first := m.uid("mysql-secondary-0")
		m.upgrade("secondary.configuration=max_connections = 77")
		if m.uid("mysql-secondary-0") == first {
			t.Error("the replicas were not replaced")
		}
		m.replicas(2)
		if log := m.kubectl("logs", "mysql-secondary-0", "-c", "clone"); !strings.Contains(log, "the volume has data") {
			t.Errorf("a replica was copied anew:\n%s", log)
		}
	})
	if got := m.uid("mysql-0"); got != uid {
		t.Error("scaling the replicas has replaced the primary")
	}
	w.harmed("rolling change of the primary", func() {
		m.upgrade("primary.podAnnotations.changed=yes,secondary.podAnnotations.changed=yes")
		if m.uid("mysql-0") == uid {
			t.Error("the primary was not replaced")
		}
	})
	w.harmed("the primary's server killed", func() {
		m.killServer("mysql-0")
	})
	w.harmed("the primary's pod deleted by force", func() {
		before := m.uid("mysql-0")
		m.kubectl("delete", "pod", "mysql-0", "--force", "--grace-period=0")
		eventually(t, 30*time.Second, func() error {
			r := m.try("pkg", "kubectl", "get", "pod", "mysql-0", "-o", "jsonpath={.metadata.uid}")
			if r.code != 0 || r.stdout == before {
				return fmt.Errorf("no new pod mysql-0: %s%s", r.stdout, r.stderr)
			}
			return nil
		})
		m.kubectl("wait", "--for=condition=Ready", "pod/mysql-0", "--timeout=60s")
	})
	w.unharmed("a replica's server killed", func() {
		m.killServer("mysql-secondary-1")
		m.replicas(2)
		w.more(20)
	})
	w.unharmed("a replica that does not replicate is not read", func() {
		root := m.podDatabase("mysql-secondary-1")
		execute(t, root, "STOP SLAVE SQL_THREAD")
		m.kubectl("wait", "--for=condition=Ready=false", "pod/mysql-secondary-1", "--timeout=30s")
		eventually(t, 10*time.Second, func() error {
			return expect(m.kubectl("get", "endpoints", "mysql-secondary", "-o", "jsonpath={.subsets[*].addresses[*].targetRef.name}"), "mysql-secondary-0")
		})
		if got := m.kubectl("describe", "pod", "mysql-secondary-1"); !strings.Contains(got, "replication has stopped") {
			t.Errorf("the pod's events do not say why:\n%s", got)
		}
		execute(t, root, "START SLAVE")
		m.kubectl("wait", "--for=condition=Ready", "pod/mysql-secondary-1", "--timeout=30s")
	})

	acked := w.stop()
	read := m.database("mysql", "mysql-secondary")
	if _, err := read.Exec("INSERT INTO ack (id) VALUES (-1)"); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("a write through the Service for reads: %v", err)
	}
	m.pkg("test", "mysql") // which waits for the replicas
	m.hasAll(acked, "mysql-0", "mysql-secondary-0", "mysql-secondary-1")
	t.Run("standalone grows replicas", func(t *testing.T) { grow(t, m) })
}

// grow makes a server of its own the primary of a replica, without which it
// acknowledges nothing any more, and takes the replica away.
func grow(t *testing.T, m *machine) {
	m.t = t
	m.pkg("install", "shop", "stable/mysql")
	secret := m.kubectl("get", "secret", "shop-mysql", "-o", "jsonpath={.data.mysql-password}")
	claim := m.kubectl("get", "pvc", "data-shop-mysql-0", "-o", "jsonpath={.metadata.uid}")
	client := m.database("shop-mysql", "shop-mysql")
	execute(t, client, createTable)
	w := startWriter(t, client)
	w.more(20)
	// The writer waits for a replica, which waits for a copy of what is committed.
	w.harmed("standalone grows a replica", func() {
		m.pkg("upgrade", "shop", "--set", "architecture=replication,replication.semiSync=required")
	})
	if m.kubectl("get", "secret", "shop-mysql", "-o", "jsonpath={.data.mysql-password}") != secret {
		t.Error("the upgrade has made another password")
	}
	if m.kubectl("get", "pvc", "data-shop-mysql-0", "-o", "jsonpath={.metadata.uid}") != claim {
		t.Error("the primary has another volume")
	}
	acked := w.stop()
	m.pkg("test", "shop")
	m.hasAll(acked, "shop-mysql-0", "shop-mysql-secondary-0")

	m.pkg("upgrade", "shop", "--set", "architecture=standalone")
	m.hasAll(acked, "shop-mysql-0")
	if sets := m.kubectl("get", "statefulset", "-l", "app.kubernetes.io/instance=shop", "-o", "name"); strings.TrimSpace(sets) != "statefulset.apps/shop-mysql" {
		t.Errorf("left are %s", sets)
	}
}

// createTable makes what a writer writes to.
const createTable = "CREATE TABLE ack (id BIGINT PRIMARY KEY, filler CHAR(200) NOT NULL DEFAULT 'x')"

// hasAll fails unless every server has every row that was acknowledged.
func (m *machine) hasAll(acked []int64, pods ...string) {
	m.t.Helper()
	for _, pod := range pods {
		present := ids(m.t, m.podDatabase(pod))
		lost := slices.DeleteFunc(slices.Clone(acked), func(id int64) bool { return present[id] })
		m.t.Logf("%s: %d rows, of %d acknowledged", pod, len(present), len(acked))
		if len(lost) > 0 {
			m.t.Errorf("%s has lost %d acknowledged rows: %v", pod, len(lost), lost[:min(len(lost), 20)])
		}
	}
}

// upgrade sets values of the release mysql, keeping the others.
func (m *machine) upgrade(set string) {
	m.t.Helper()
	m.pkg("upgrade", "mysql", "--reuse-values", "--set", set)
}

// replicas waits until there are exactly n replicas and all are ready.
func (m *machine) replicas(n int) {
	m.t.Helper()
	want := fmt.Sprintf("%d %d", n, n)
	eventually(m.t, time.Minute, func() error {
		got := m.kubectl("get", "statefulset", "mysql-secondary", "-o", "jsonpath={.status.replicas} {.status.readyReplicas}")
		if got != want {
			return fmt.Errorf("replicas and ready ones: %q, want %q", got, want)
		}
		return nil
	})
}

func (m *machine) uid(pod string) string {
	m.t.Helper()
	return m.kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}")
}

// database opens the database app through a Service, as the user app, whose
// password is in a Secret.
func (m *machine) database(secret, service string) *sql.DB {
	m.t.Helper()
	address := m.kubectl("get", "service", service, "-o", "jsonpath={.spec.clusterIP}")
	return m.open(secret, address, "app", "mysql-password", "app")
}

// podDatabase opens a server at its pod's address, as root.
func (m *machine) podDatabase(pod string) *sql.DB {
	m.t.Helper()
	address := m.kubectl("get", "pod", pod, "-o", "jsonpath={.status.podIP}")
	release, _, _ := strings.Cut(strings.TrimSuffix(pod, "-"+pod[strings.LastIndex(pod, "-")+1:]), "-secondary")
	return m.open(release, address, "root", "mysql-root-password", "")
}

func (m *machine) open(secret, address, user, key, database string) *sql.DB {
	m.t.Helper()
	password, err := base64.StdEncoding.DecodeString(m.kubectl("get", "secret", secret, "-o", "jsonpath={.data."+key+"}"))
	if err != nil {
		m.t.Fatal(err)
	}
	config := driver.NewConfig()
	config.User, config.Passwd, config.Net, config.Addr, config.DBName = user, string(password), "tcp", address+":3306", database
	config.Timeout = 2 * time.Second
	config.Logger = &driver.NopLogger{}
	connector, err := driver.NewConnector(config)
	if err != nil {
		m.t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	m.t.Cleanup(func() { db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// ids are the rows that a server has.
func ids(t testing.TB, db *sql.DB) map[int64]bool {
	t.Helper()
	rows, err := db.Query("SELECT id FROM app.ack")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[int64]bool{}
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		all[id] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// killServer kills the mysqld of a pod, whose container is then restarted.
func (m *machine) killServer(pod string) {
	m.t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, name := range names {
		comm, _ := os.ReadFile(name)
		host, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "root/etc/hostname"))
		if strings.TrimSpace(string(comm)) != "mariadbd" || strings.TrimSpace(string(host)) != pod {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			m.t.Fatal(err)
		}
		restarts := m.restarts(pod)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			m.t.Fatal(err)
		}
		eventually(m.t, 30*time.Second, func() error {
			if m.restarts(pod) == restarts {
				return fmt.Errorf("%s was not restarted", pod)
			}
			return nil
		})
		return
	}
	m.t.Fatalf("no server of pod %s", pod)
}

// restarts is how often the server's container was restarted.
func (m *machine) restarts(pod string) string {
	m.t.Helper()
	return m.kubectl("get", "pod", pod, "-o", `jsonpath={.status.containerStatuses[?(@.name=="mysql")].restartCount}`)
}

// writer is a client that inserts a row after the other, each with its own id. A
// row whose insertion ended with an error may be there or not.
type writer struct {
	t      *testing.T
	db     *sql.DB
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended

	mu       sync.Mutex // guards what follows
	acked    []int64
	failures []error
	gap      time.Duration // the longest between two acknowledged rows
}

// patience bounds one insertion.
const patience = 30 * time.Second

func startWriter(t *testing.T, db *sql.DB) *writer {
	ctx, cancel := context.WithCancel(context.Background())
	w := &writer{t: t, db: db, cancel: cancel, done: make(chan struct{})}
	db.SetMaxOpenConns(1)
	go w.run(ctx)
	t.Cleanup(func() { w.stop() })
	w.more(1)
	return w
}

// run ends with ctx.
func (w *writer) run(ctx context.Context) {
	defer close(w.done)
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	last := time.Now()
	for id := int64(1); ; id++ {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		// Not ended with ctx: the last row is acknowledged or refused as well.
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		_, err := w.db.ExecContext(attempt, "INSERT INTO ack (id) VALUES (?)", id)
		cancel()
		w.mu.Lock()
		if err != nil {
			w.failures = append(w.failures, err)
		} else {
			w.acked = append(w.acked, id)
			w.gap = max(w.gap, time.Since(last))
			last = time.Now()
		}
		w.mu.Unlock()
	}
}

// stop ends the writer and returns the acknowledged ids.
func (w *writer) stop() []int64 {
	w.cancel()
	<-w.done
	return w.acked
}

// more waits until n more rows are acknowledged.
func (w *writer) more(n int) {
	w.t.Helper()
	w.mu.Lock()
	want := len(w.acked) + n
	w.mu.Unlock()
	eventually(w.t, time.Minute, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.acked) < want {
			return fmt.Errorf("%d rows are acknowledged, want %d; errors: %v", len(w.acked), want, w.failures)
		}
		return nil
	})
}

// unharmed does something during which no write may fail.
func (w *writer) unharmed(what string, do func()) {
	w.t.Helper()
	if failures := w.during(what, do); len(failures) > 0 {
		w.t.Errorf("%s: %d writes failed: %v", what, len(failures), failures[0])
	}
}

// harmed does something that interrupts writing, which then goes on.
func (w *writer) harmed(what string, do func()) {
	w.t.Helper()
	w.during(what, do)
}

func (w *writer) during(what string, do func()) []error {
	w.t.Helper()
	start := time.Now()
	w.mu.Lock()
	rows := len(w.acked)
	w.failures, w.gap = nil, 0
	w.mu.Unlock()
	do()
	w.more(5)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t.Logf("%s: %s, %d rows acknowledged, %d writes failed, none for %s at most", what, time.Since(start).Round(time.Millisecond),
		len(w.acked)-rows, len(w.failures), w.gap.Round(time.Millisecond))
	return w.failures
}
