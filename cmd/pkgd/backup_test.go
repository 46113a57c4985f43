package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed38700745/pkg/cluster/backup/archive"
	"github.com/seed38700745/pkg/cluster/store"
	"github.com/seed38700745/pkg/cluster/store/powercut"
)

// other is a second data folder of the same machine.
func (m *machine) other(t *testing.T) *machine {
	t.Helper()
	n := newMachine(t)
	n.env = append(n.env, "PKG_CONFIG_HOME="+filepath.Join(t.TempDir(), "config"))
	return n
}

// inserter writes rows 1, 2, 3 ... one by one, each committed before the next,
// until its process is killed.
func (m *machine) inserter(t *testing.T) (acknowledged func() int) {
	t.Helper()
	p := m.start(t, "pkg", "kubectl", "exec", "mysql-0", "-c", "mysql", "--", "sh", "-c",
		`n=0; while n=$((n+1)); do echo "INSERT INTO d.t VALUES ($n, REPEAT('x', 500)); SELECT $n;"; done |
		MYSQL_PWD="$MYSQL_ROOT_PASSWORD" mariadb --user root --skip-column-names --batch --unbuffered`)
	return func() int {
		lines := strings.Fields(p.out.String())
		if len(lines) == 0 {
			return 0
		}
		n, err := strconv.Atoi(lines[max(0, len(lines)-2)]) // the last line may be cut
		if err != nil {
			t.Errorf("the inserting client says %q", tail([]byte(p.out.String()), 500))
		}
		return n
	}
}

// A backup is made while a client writes, and restored into a second data folder
// beside the first, whose cluster runs on: what was acknowledged before the
// backup is there, nothing is missing in between, and the copy is its own.
func TestBackupOfMySQL(t *testing.T) {
	m := newMachine(t)
	m.pkg("install", "stable/mysql")
	m.query("mysql", "CREATE DATABASE d; CREATE TABLE d.t (n INT PRIMARY KEY, x VARCHAR(500)) ENGINE=InnoDB")
	m.apply(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"np"},"spec":{"type":"NodePort","ports":[{"port":80,"nodePort":30123}]}}`)
	acknowledged := m.inserter(t)
	eventually(t, time.Minute, func() error {
		if acknowledged() < 50 {
			return errors.New("no rows yet")
		}
		return nil
	})
	file := filepath.Join(t.TempDir(), "b.tar.zst")
	before := acknowledged()
	r := m.try("pkg", "cluster", "backup", file, "--volumes")
	if r.code != 0 || !strings.Contains(r.stderr, "pre-backup command in 1 pod, 1 pod frozen") {
		t.Fatalf("backup: exit code %d\n%s", r.code, r.stderr)
	}
	after := acknowledged()
	eventually(t, time.Minute, func() error { // the pod goes on
		if n := acknowledged(); n <= after {
			return fmt.Errorf("%d rows, as at the end of the backup", n)
		}
		return nil
	})
	if restarts := m.kubectl("get", "pod", "mysql-0", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"); restarts != "0" {
		t.Errorf("the backup made mysql restart %s times", restarts)
	}
	t.Logf("rows before the backup: %d; %s", before, r.stderr)
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%s: %v, %v", file, info.Mode(), err)
	}

	o := m.other(t)
	start := time.Now()
	r = o.try("pkg", "cluster", "restore", file)
	if r.code != 0 {
		t.Fatalf("restore: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	t.Logf("%s", r.stderr)
	for _, text := range []string{"10.142.0.0/16", "10.143.0.0/16", "data-mysql-0", "started the cluster"} {
		if !strings.Contains(r.stderr, text) {
			t.Errorf("the restore says nothing of %q", text)
		}
	}
	o.kubectl("wait", "--for=condition=Ready", "pod/mysql-0", "--timeout=120s")
	t.Logf("restored and Ready in %s", time.Since(start).Round(time.Millisecond))
	got := strings.Fields(o.query("mysql", "SELECT COUNT(*), MIN(n), MAX(n) FROM d.t"))
	rows, _ := strconv.Atoi(got[0])
	if got[1] != "1" || got[2] != got[0] || rows < before {
		t.Errorf("restored rows: count, least, greatest %v; want 1 to at least %d without a gap", got, before)
	}
	if got := o.query("mysql", "CHECK TABLE d.t"); !strings.HasSuffix(got, "OK") {
		t.Errorf("CHECK TABLE: %s", got)
	}
	t.Logf("restored rows: %d; acknowledged before the backup: %d, after it: %d", rows, before, after)
	if ip := o.kubectl("get", "service", "mysql", "-o", "jsonpath={.spec.clusterIP}"); !strings.HasPrefix(ip, "10.143.") {
		t.Errorf("the restored Service has address %s", ip)
	}
	if port := o.kubectl("get", "service", "np", "-o", "jsonpath={.spec.ports[0].nodePort}"); port != "27355" {
		t.Errorf("the restored Service has node port %s, want 27355", port)
	}
	o.pkg("test", "mysql")
	o.query("mysql", "INSERT INTO d.t VALUES (0, '')")
	if got := m.query("mysql", "SELECT COUNT(*) FROM d.t WHERE n = 0"); got != "0" {
		t.Error("the copy writes into the original's data")
	}
}

// writingPod is a claim and a pod that writes into its volume without end. Its
// liveness probe fails at the first try that takes more than a second.
const writingPod = `{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Mi"}}}}
---
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"w","annotations":%s},"spec":{"terminationGracePeriodSeconds":1,
"volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"data"}}],
"containers":[{"name":"c","image":"` + busybox + `","command":["sh","-c","echo kept > /d/file; n=0; while n=$((n+1)); do echo $n > /d/count; sleep 0.05; done"],
"livenessProbe":{"exec":{"command":["true"]},"periodSeconds":1,"failureThreshold":1},
"volumeMounts":[{"name":"d","mountPath":"/d"}]}]}}`

// What goes wrong leaves nothing half, and the cluster and its pods go on.
func TestBackupRefusals(t *testing.T) {
	m := newMachine(t)
	m.fails(1, []string{"no cluster", "pkg cluster start"}, "cluster", "backup", "x")
	m.pkg("cluster", "start")
	if r := m.try("pkg", "kubectl", "--as", "nobody", "get", "--raw", archive.Path); r.code == 0 || !strings.Contains(r.stderr, "forbidden") {
		t.Errorf("who is nobody gets a backup: %d %s", r.code, r.stderr)
	}
	m.apply(fmt.Sprintf(writingPod, `{}`))
	m.kubectl("wait", "--for=condition=Ready", "pod/w", "--timeout=60s")
	dir := t.TempDir()
	file := filepath.Join(dir, "b.tar.zst")
	nothing := func(what string) {
		t.Helper()
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%s leaves %v (%v)", what, entries, err)
		}
		goesOn(t, m)
	}
	t.Run("no space", func(t *testing.T) {
		d := powercut.ForTest(t, 4<<20)
		if err := os.WriteFile(filepath.Join(m.volume(t, "data"), "big"), random(t, 8<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		m.fails(1, []string{"no space left"}, "cluster", "backup", filepath.Join(d.Path(), "b"), "--volumes")
		if entries, err := os.ReadDir(d.Path()); err != nil || len(entries) != 1 { // lost+found
			t.Errorf("left on the full disk: %v (%v)", entries, err)
		}
		nothing("a full disk")
	})
	t.Run("interrupted", func(t *testing.T) {
		p := m.heldUp(t)
		m.fails(4, []string{"another backup"}, "cluster", "backup", file)
		p.kill()
		eventually(t, 40*time.Second, func() error {
			if r := m.try("pkg", "cluster", "backup", file); r.code != 0 {
				return &exitStatus{r}
			}
			return nil
		})
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		nothing("a killed backup")
	})
	t.Run("daemon killed", func(t *testing.T) {
		p := m.heldUp(t)
		defer p.kill()
		m.killDaemon()
		m.pkg("cluster", "start") // lets the pod go on that was left frozen
		nothing("a killed daemon")
	})
	t.Run("command fails", func(t *testing.T) {
		m.kubectl("annotate", "pod", "w", "pkg.internal/pre-backup-command=echo not now; exit 3", "pkg.internal/post-backup-command=echo > /d/post")
		m.fails(1, []string{"pod default/w", "exit code 3", "not now"}, "cluster", "backup", file, "--volumes")
		if _, err := os.Stat(filepath.Join(m.volume(t, "data"), "post")); err != nil {
			t.Errorf("the post-backup command did not run: %v", err)
		}
		nothing("a failed command")
		m.kubectl("annotate", "pod", "w", "--overwrite", `pkg.internal/pre-backup-command=["sh","-c","echo dump > /d/dump"]`)
	})
	m.pkg("cluster", "backup", file, "--volumes")
	if restarts := m.kubectl("get", "pod", "w", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"); restarts != "0" {
		t.Errorf("the pod restarted %s times", restarts)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m.fails(1, []string{"running"}, "cluster", "restore", file)
	o := newMachine(t)
	for name, c := range map[string]struct {
		data []byte
		text string
	}{
		"cut off":    {data[:len(data)/2], "damaged"},
		"changed":    {append(append([]byte(nil), data[:len(data)/2]...), append([]byte("xxxx"), data[len(data)/2+4:]...)...), "damaged"},
		"no archive": {[]byte("hello"), "no backup"},
		"newer":      {newerBackup(t), "newer version of pkg (9.9)"},
	} {
		bad := filepath.Join(t.TempDir(), "bad")
		if err := os.WriteFile(bad, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		o.fails(1, []string{bad, c.text}, "cluster", "restore", bad)
		if _, err := os.Stat(o.home); err == nil {
			t.Errorf("%s: the data folder was touched", name)
		}
	}
	d := powercut.ForTest(t, 4<<20)
	small := *o
	small.home = filepath.Join(d.Path(), "home")
	small.env = append(slices.Clone(o.env), "PKG_HOME="+small.home)
	small.fails(1, []string{file, "no space left"}, "cluster", "restore", file)
	if entries, err := os.ReadDir(small.home); err != nil || len(entries) > 0 {
		t.Errorf("a restore without space leaves %v (%v)", entries, err)
	}
	restoreOver(t, m, file)
}

// reader is a backup's reader that takes nothing more.
type reader struct{ cmd *exec.Cmd }

// heldUp starts a backup to a reader that takes only its beginning, and so holds
// it up while a large volume is copied, and waits until the pod stands still.
func (m *machine) heldUp(t *testing.T) *reader {
	t.Helper()
	c := exec.Command(binary("pkg"), "cluster", "backup", "-", "--volumes")
	c.Env = m.env
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() error {
		before := m.count(t)
		<-time.After(2 * time.Second) // the liveness probe fails meanwhile, if it is asked
		if m.count(t) != before {
			return errors.New("the pod writes on")
		}
		return nil
	})
	return &reader{c}
}

func (r *reader) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

// newerBackup is one whose store this pkg does not know.
func newerBackup(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	a, err := archive.NewWriter(&out, archive.Header{Version: "9.9", StoreFormat: store.Format + 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Finish(nil, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// goesOn waits until the writing pod has written once more.
func goesOn(t *testing.T, m *machine) {
	t.Helper()
	before := m.count(t)
	eventually(t, 45*time.Second, func() error { // as long as a client may take nothing
		if m.count(t) == before {
			return errors.New("the pod stands still")
		}
		return nil
	})
}

// count is what the writing pod has written last.
func (m *machine) count(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.volume(t, "data"), "count"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// restoreOver deletes the cluster but for its volumes, restores over that, and
// over a cluster.
func restoreOver(t *testing.T, m *machine, file string) {
	m.pkg("cluster", "delete", "--yes")
	m.fails(1, []string{"volume", "--force"}, "cluster", "restore", file)
	// As if the machine had failed while volumes were put in place.
	if err := os.MkdirAll(filepath.Join(m.home, ".restoring", "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	m.fails(1, []string{"interrupted", "pkg cluster restore"}, "cluster", "start")
	if err := os.RemoveAll(filepath.Join(m.home, ".restoring")); err != nil {
		t.Fatal(err)
	}
	m.pkg("cluster", "restore", "--force", file)
	m.kubectl("wait", "--for=condition=Ready", "pod/w", "--timeout=60s")
	if _, err := os.Stat(filepath.Join(m.volume(t, "data"), "dump")); err != nil {
		t.Errorf("what the pre-backup command made: %v", err)
	}
	m.kubectl("create", "configmap", "later")
	m.pkg("cluster", "stop", "--pods")
	m.fails(1, []string{"holds a cluster", "--force"}, "cluster", "restore", file)
	// This time on a machine of another name.
	r := m.asUser(nil, "/usr/bin/unshare", "--uts", "sh", "-c", `echo elsewhere > /proc/sys/kernel/hostname; exec "$@"`,
		"sh", binary("pkg"), "cluster", "restore", "--force", file)
	if r.code != 0 || !strings.Contains(r.stderr, "is now elsewhere") {
		t.Fatalf("restore under another name: exit code %d\n%s", r.code, r.stderr)
	}
	m.kubectl("wait", "--for=condition=Ready", "pod/w", "--timeout=60s")
	if nodes := m.kubectl("get", "nodes", "-o", "name"); nodes != "node/elsewhere\n" {
		t.Errorf("nodes after the restore: %s", nodes)
	}
	goesOn(t, m)
	if r := m.try("pkg", "kubectl", "get", "configmap", "later"); r.code == 0 {
		t.Error("what is newer than the backup is still there")
	}
}

// volume is the folder of a claim's volume.
func (m *machine) volume(t *testing.T, claim string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(m.home, "volumes", "*_default_"+claim))
	if err != nil || len(found) != 1 {
		t.Fatalf("volumes of claim %s: %v (%v)", claim, found, err)
	}
	return found[0]
}

func random(t *testing.T, size int) []byte {
	t.Helper()
	f, err := os.Open("/dev/urandom")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, size)
	if _, err := f.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}
