package store_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// The load is another process: the test binary, started with these set.
const (
	loadPathVariable = "PKG_TEST_LOAD_PATH"
	loadSeedVariable = "PKG_TEST_LOAD_SEED"
	loadWorkers      = 6
	// noSyncVariable, set to 1, turns syncing off: then TestPowerCut must fail.
	noSyncVariable = "PKG_TEST_NOSYNC"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(loadPathVariable); path != "" {
		if err := runLoad(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runLoad writes until a write fails. It prints "worker sequence revision"
// for each write once it is acknowledged.
func runLoad(path string) error {
	var seed uint64
	if _, err := fmt.Sscan(os.Getenv(loadSeedVariable), &seed); err != nil {
		return err
	}
	db, err := store.Open(path, store.Options{Codec: codec{}, NoSync: os.Getenv(noSyncVariable) == "1"})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for i := range loadWorkers {
		wg.Go(func() {
			w := newWorker(seed, i)
			for {
				o, err := db.Write(context.Background(), w.next())
				if err != nil {
					return
				}
				fmt.Printf("%d %d %s\n", i, w.sequence, o.GetResourceVersion())
			}
		})
	}
	wg.Wait()
	return db.Close()
}

// worker makes a sequence of writes that depends on the seed only, so that the
// test knows what a process that is gone has written. Workers share no keys.
type worker struct {
	random   *rand.Rand
	number   int
	sequence int            // of the last write
	state    map[string]int // the sequence that each key was last written at
	revision map[int]string // of each acknowledged write; the test fills it
}

func newWorker(seed uint64, number int) *worker {
	return &worker{random: rand.New(rand.NewPCG(seed, uint64(number))), number: number,
		state: map[string]int{}, revision: map[int]string{}}
}

// next makes the next write: mostly of ConfigMaps, sometimes volatile ones of
// another resource.
func (w *worker) next() store.Write {
	w.sequence++
	name := fmt.Sprintf("w%d-%d", w.number, w.random.IntN(40))
	if w.random.IntN(8) == 0 {
		v := create("volatile", fmt.Sprintf("w%d-%d", w.number, w.sequence), 1)
		v.Resource, v.Volatile = object.Resource{Resource: "leases"}, true
		return v
	}
	out := create("load", name, 1+w.random.IntN(3000))
	if cm, ok := out.Object.(*corev1.ConfigMap); ok {
		cm.Data["sequence"] = fmt.Sprint(w.sequence)
	}
	_, exists := w.state[name]
	switch {
	case !exists:
		w.state[name] = w.sequence
	case w.random.IntN(4) == 0:
		delete(w.state, name)
		out.Verb, out.Object = store.Delete, nil
	default:
		w.state[name] = w.sequence
		out.Verb = store.Update
	}
	return out
}

// load is a process that writes, and what it said so far.
type load struct {
	cmd     *exec.Cmd
	out     *bufio.Scanner
	workers []*worker // replayed up to the last acknowledged write
	highest int64     // revision
	seen    map[int64]bool
	total   int
}

func startLoad(t *testing.T, path string, seed uint64, noSync bool) *load {
	t.Helper()
	l := &load{cmd: exec.Command(os.Args[0]), seen: map[int64]bool{}}
	for i := range loadWorkers {
		l.workers = append(l.workers, newWorker(seed, i))
	}
	l.cmd.Env = append(os.Environ(), loadPathVariable+"="+path, fmt.Sprintf("%s=%d", loadSeedVariable, seed))
	if noSync {
		l.cmd.Env = append(l.cmd.Env, noSyncVariable+"=1")
	}
	l.cmd.Stderr = os.Stderr
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.out = bufio.NewScanner(out)
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.kill(t) }) // if the test ends early
	return l
}

// read takes in n acknowledgements, or with n < 0 all up to the end.
func (l *load) read(t *testing.T, n int) {
	t.Helper()
	for i := 0; i != n; i++ {
		if !l.out.Scan() {
			if n > 0 {
				t.Fatalf("the load ended after %d writes", l.total)
			}
			return
		}
		var number, sequence int
		var revision int64
		if _, err := fmt.Sscan(l.out.Text(), &number, &sequence, &revision); err != nil {
			t.Fatalf("the load said %q: %v", l.out.Text(), err)
		}
		w := l.workers[number]
		w.next()
		if w.sequence != sequence || l.seen[revision] {
			t.Fatalf("worker %d acknowledged write %d after %d, with revision %d", number, sequence, w.sequence-1, revision)
		}
		w.revision[sequence] = fmt.Sprint(revision)
		l.seen[revision] = true
		l.highest = max(l.highest, revision)
		l.total++
	}
}

// kill ends the process and takes in the rest of what it said.
func (l *load) kill(t *testing.T) {
	t.Helper()
	if l.cmd.ProcessState != nil {
		return
	}
	_ = l.cmd.Process.Kill() // it may have ended by itself
	l.read(t, -1)
	_ = l.cmd.Wait() // killed, as it should be
}

// check opens the store and compares: of each worker, all acknowledged writes
// are there, and perhaps the one that was on its way.
func (l *load) check(t *testing.T, path string) {
	t.Helper()
	db := openAt(t, path)
	defer db.Close()
	if r := db.Revision(); r < l.highest {
		t.Errorf("the store is at revision %d, and acknowledged %d before", r, l.highest)
	}
	got := make([]map[string]string, loadWorkers)
	for i := range got {
		got[i] = map[string]string{}
	}
	db.Snapshot().Ascend(configMaps, "", object.Key{}, func(o object.Object) bool {
		var number, n int
		cm, ok := o.(*corev1.ConfigMap)
		if _, err := fmt.Sscanf(o.GetName(), "w%d-%d", &number, &n); err != nil || !ok || cm.Data["v"] != strings.Repeat("x", len(cm.Data["v"])) {
			t.Errorf("%s is not what the load wrote", object.KeyOf(o))
			return true
		}
		got[number][o.GetName()] = cm.Data["sequence"] + "@" + o.GetResourceVersion()
		return true
	})
	for i, w := range l.workers {
		acknowledged := w.dump()
		before := cmp.Diff(acknowledged, got[i])
		if before == "" {
			continue
		}
		last := w.sequence
		w.next()
		w.revision[w.sequence] = unacknowledged(got[i], w.sequence)
		if after := cmp.Diff(w.dump(), got[i]); after != "" {
			t.Errorf("worker %d after %d acknowledged writes (-acknowledged +on disk):\n%s", i, last, before)
		}
	}
	if n := db.Snapshot().Len(object.Resource{Resource: "leases"}, ""); n != 0 {
		t.Errorf("%d volatile objects survived", n)
	}
	o, err := db.Write(t.Context(), create("load", "w0-next", 1))
	if err != nil || l.seen[db.Revision()] || db.Revision() <= l.highest {
		t.Errorf("the next write: %v, error %v; want a revision above %d", o, err, l.highest)
	}
}

// dump is what the store must hold of w: "sequence@revision" for each name.
func (w *worker) dump() map[string]string {
	all := map[string]string{}
	for name, sequence := range w.state {
		all[name] = fmt.Sprintf("%d@%s", sequence, w.revision[sequence])
	}
	return all
}

// unacknowledged finds the revision of the write that was on its way.
func unacknowledged(got map[string]string, sequence int) string {
	for _, v := range got {
		if r, ok := strings.CutPrefix(v, fmt.Sprintf("%d@", sequence)); ok {
			return r
		}
	}
	return ""
}
