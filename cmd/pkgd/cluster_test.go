package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"github.com/seed38700745/pkg/cluster/instance"
)

// traces lists what a cluster could leave on a machine.
func traces(t testing.TB) []string {
	t.Helper()
	var all []string
	var links []netlink.Link
	eventually(t, 5*time.Second, func() (err error) { // a list may be interrupted by changes
		links, err = netlink.LinkList()
		return err
	})
	for _, l := range links {
		all = append(all, "link "+l.Attrs().Name)
	}
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tables {
		all = append(all, "table "+x.Name)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		all = append(all, "mount "+strings.Fields(line)[1])
	}
	err = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, "/pkg/") {
			all = append(all, "cgroup "+path)
		}
		return nil // cgroups come and go
	})
	if err != nil {
		t.Fatal(err)
	}
	forward, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, "ip_forward "+strings.TrimSpace(string(forward)))
	processes, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if exe, err := os.Readlink(p); err == nil {
			all = append(all, "process "+filepath.Base(exe))
		}
	}
	files, err := filepath.Glob("/run/pkg/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f != "/run/pkg/instances" {
			all = append(all, f)
		}
	}
	slices.Sort(all)
	return all
}

// rules lists the chains, rules, and sets' elements of all tables.
func rules(t testing.TB) (all []string) {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	chains, err := conn.ListChains()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chains {
		found, err := conn.GetRules(c.Table, c)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("chain %s %s with %d rules", c.Table.Name, c.Name, len(found)))
	}
	tables, err := conn.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		sets, err := conn.GetSets(table)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sets {
			elements, err := conn.GetSetElements(s)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("set %s %s with %d elements", table.Name, s.Name, len(elements)))
		}
	}
	slices.Sort(all)
	return all
}

// leftBy lists what the cluster of a data folder has on the machine.
func leftBy(t testing.TB, home string) (left []string) {
	t.Helper()
	id := instance.ID(home)
	for _, x := range traces(t) {
		if strings.Contains(x, id) || strings.Contains(x, home) {
			left = append(left, x)
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		exe, _ := os.Readlink(filepath.Join(p, "exe")) // of one that has ended there is neither
		group, _ := os.ReadFile(filepath.Join(p, "cgroup"))
		if strings.Contains(exe, home) || exe != "" && strings.Contains(string(group), "/pkg/"+id) {
			left = append(left, p+" "+exe)
		}
	}
	return left
}

// podManifest is a pod that sleeps.
func podManifest(name string, command ...string) string {
	args, _ := json.Marshal(command)
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q},"spec":{"terminationGracePeriodSeconds":1,"containers":[{"name":"c","image":%q,"command":%s}]}}`, name, busybox, args)
}

// apply gives objects to kubectl.
func (m *machine) apply(manifests ...string) {
	m.t.Helper()
	path := filepath.Join(m.t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(strings.Join(manifests, "\n---\n")), 0o644); err != nil {
		m.t.Fatal(err)
	}
	m.kubectl("apply", "-f", path)
}

func TestDeleteLeavesNothing(t *testing.T) {
	m := newMachine(t)
	// All but cgroups is this test's alone; those of other clusters may change.
	seen := func() []string {
		return slices.DeleteFunc(traces(t), func(s string) bool {
			return strings.HasPrefix(s, "cgroup ") && !strings.Contains(s, instance.ID(m.home))
		})
	}
	before := seen()
	m.pkg("cluster", "start")
	m.apply(podManifest("a", "sleep", "1000"), podManifest("b", "sleep", "1000"))
	m.kubectl("wait", "--for=condition=Ready", "pod/a", "pod/b", "--timeout=60s")
	if cmp.Equal(before, seen()) {
		t.Fatal("a running cluster leaves no trace: the comparison sees nothing")
	}
	m.fails(1, []string{"not deleted"}, "cluster", "delete")
	m.pkg("cluster", "delete", "--yes", "--volumes")
	if diff := cmp.Diff(before, seen()); diff != "" {
		t.Errorf("the machine before and after (-before +after):\n%s", diff)
	}
	if _, err := os.Stat(m.home); err == nil {
		t.Errorf("the data folder is still there")
	}
	m.fails(1, []string{"no cluster"}, "cluster", "status")
}

// A delete that was killed is done again, and then leaves nothing either.
func TestDeleteKilled(t *testing.T) {
	for _, delay := range []time.Duration{10 * time.Millisecond, 60 * time.Millisecond, 200 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			m := newMachine(t)
			m.pkg("cluster", "start")
			m.apply(podManifest("a", "sleep", "1000"))
			m.kubectl("wait", "--for=condition=Ready", "pod/a", "--timeout=60s")
			m.pkg("cluster", "stop")
			p := m.start(t, "pkgd", "delete", "--home", m.home, "--volumes")
			<-time.After(delay)
			p.signal(syscall.SIGKILL)
			if r := m.try("pkg", "cluster", "delete", "--yes", "--volumes"); r.code != 0 && !strings.Contains(r.stderr, "no cluster") {
				t.Errorf("exit code %d\n%s", r.code, r.stderr)
			}
			if left := leftBy(t, m.home); len(left) > 0 {
				t.Errorf("left:\n%s", strings.Join(left, "\n"))
			}
		})
	}
}

func TestDeleteKeepsVolumes(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "start")
	m.apply(`{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Mi"}}}}`,
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"w"},"spec":{"restartPolicy":"Never","volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"data"}}],"containers":[{"name":"c","image":"`+busybox+`","command":["sh","-c","echo kept > /d/file"],"volumeMounts":[{"name":"d","mountPath":"/d"}]}]}}`)
	m.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/w", "--timeout=60s")
	// The folder may vanish: the cluster is deleted by its record.
	m.pkg("cluster", "delete", "--yes")
	found, err := filepath.Glob(filepath.Join(m.home, "volumes", "*", "file"))
	if err != nil || len(found) != 1 {
		t.Errorf("found %v (%v), want the volume's file", found, err)
	}
}

func TestTwoClusters(t *testing.T) {
	a, b := newMachine(t), newMachine(t)
	for _, m := range []*machine{a, b} {
		m.pkg("cluster", "start")
		m.apply(podManifest("p", "sh", "-c", "exec busybox httpd -f -p 8080 -h /etc"),
			`{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"type":"NodePort","selector":{"app":"none"},"ports":[{"port":80}]}}`)
		m.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=60s")
	}
	ip := func(m *machine) string { return m.kubectl("get", "pod", "p", "-o", "jsonpath={.status.podIP}") }
	port := func(m *machine) string {
		return m.kubectl("get", "service", "s", "-o", "jsonpath={.spec.ports[0].nodePort}")
	}
	if ip(a) == ip(b) || port(a) == port(b) {
		t.Errorf("pods %s and %s, node ports %s and %s", ip(a), ip(b), port(a), port(b))
	}
	other := ip(b)
	a.pkg("cluster", "delete", "--yes", "--volumes")
	c, err := net.DialTimeout("tcp", other+":8080", 5*time.Second)
	if err != nil {
		t.Errorf("after one cluster is gone, the other's pod: %v", err)
	} else {
		c.Close()
	}
	b.kubectl("get", "nodes")
}

func TestStopLeavesPods(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "start")
	m.apply(podManifest("p", "sleep", "1000"))
	m.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=60s")
	m.pkg("cluster", "stop")
	m.fails(1, nil, "cluster", "status")
	if !slices.ContainsFunc(traces(t), func(s string) bool { return strings.HasPrefix(s, "process shim-") }) {
		t.Error("stop ended the pods")
	}
	m.pkg("cluster", "stop", "--pods")
	if slices.ContainsFunc(traces(t), func(s string) bool { return strings.HasPrefix(s, "process shim-") }) {
		t.Error("stop --pods left a shim")
	}
	m.pkg("cluster", "start")
	m.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=60s")
}

func TestStartRefusals(t *testing.T) {
	m := newMachine(t)
	m.pkg("cluster", "start")
	r := m.try("pkgd", "run", "--home", m.home)
	if r.code != 1 || !strings.Contains(r.stderr, "in use by another pkgd") {
		t.Errorf("a second daemon: exit code %d, %s", r.code, r.stderr)
	}
	m.pkg("cluster", "stop")
	var record struct{ APIPort int }
	data, err := os.ReadFile(filepath.Join(m.home, "instance.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &record); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", record.APIPort))
	if err != nil {
		t.Fatal(err)
	}
	m.fails(1, []string{fmt.Sprint(record.APIPort), "taken"}, "cluster", "start")
	l.Close()
	m.pkg("cluster", "start")
}

func TestNotRoot(t *testing.T) {
	m := newMachine(t)
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	pkgd, err := filepath.Abs(binary("pkgd"))
	if err != nil {
		t.Fatal(err)
	}
	r := m.asUser(&syscall.Credential{Uid: 65534, Gid: 65534}, pkgd, "run", "--home", dir)
	if r.code != 1 || !strings.Contains(r.stderr, "root") {
		t.Errorf("exit code %d, %s", r.code, r.stderr)
	}
}
