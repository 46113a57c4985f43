package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/cmd/internal/randomchart"
)

// randomCases is how many seeds every test run compares.
const randomCases = 400

// oracle is helm in a process that answers many command lines.
type oracle struct {
	program *os.Process
	in      *json.Encoder
	out     *json.Decoder
}

// oracleTime bounds one answer, which takes milliseconds.
const oracleTime = 30 * time.Second

func newOracle(t *testing.T) *oracle {
	t.Helper()
	cmd := exec.Command(toolProgram(t, "helm-oracle"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("helm-oracle: %v", err)
		}
	})
	return &oracle{cmd.Process, json.NewEncoder(in), json.NewDecoder(out)}
}

func (o *oracle) template(t *testing.T, args []string) answer {
	t.Helper()
	var a answer
	if err := o.in.Encode(struct{ Args []string }{args}); err != nil {
		t.Fatal(err)
	}
	watch := time.AfterFunc(oracleTime, func() { _ = o.program.Kill() })
	defer watch.Stop()
	if err := o.out.Decode(&a); err != nil {
		t.Fatalf("template %q: helm-oracle ended, or took %v: %v", args, oracleTime, err)
	}
	return a
}

// templateHere answers as pkg called as helm does, in this process.
func templateHere(home string, args []string) answer {
	var out, talk bytes.Buffer
	a := &app{
		In: strings.NewReader(""), Out: &out, Err: &talk, Now: time.Now, asHelm: true,
		Env: func(string) string { return "" }, ConfigDir: home, CacheDir: home, SystemDir: home,
	}
	log.SetOutput(&talk) // as Helm's packages, chart warns through it
	log.SetFlags(0)
	defer log.SetOutput(os.Stderr)
	code := a.main(context.Background(), append([]string{"template"}, args...))
	return answer{out.String(), talk.String(), code}
}

// comparable is what must be the same of two answers: what is printed and the error,
// without what is random in Helm itself.
func (a answer) comparable() answer {
	_, text, _ := strings.Cut("\n"+a.Err, "\nError: ")
	text = listedProperties.ReplaceAllStringFunc(text, func(list string) string {
		names := strings.Split(list, ", ")
		slices.Sort(names)
		return strings.Join(names, ", ")
	})
	text = listedFaults.ReplaceAllStringFunc(text, func(list string) string {
		faults := listedFault.FindAllString(list, -1)
		slices.Sort(faults)
		return strings.Join(faults, "")
	})
	return answer{address.ReplaceAllString(a.Out, "0x"), address.ReplaceAllString(text, "0x"), a.Code}
}

// address is one that fmt prints of a pointer.
var address = regexp.MustCompile("0x[0-9a-f]{8,}")

// warnings are the lines before the error. Helm prints the same ones several times and
// in random order, since it combines values again and again and walks maps.
func (a answer) warnings() map[string]bool {
	lines := map[string]bool{}
	before, _, _ := strings.Cut("\n"+a.Err, "\nError: ")
	for _, line := range strings.Split(before, "\n") {
		lines[line] = true
	}
	return lines
}

// listedProperties are those that a schema does not allow, in random order.
var listedProperties = regexp.MustCompile(`'[^'\n]*'(, '[^'\n]*')+`)

// listedFaults are those that a schema finds at several places, in random order, each
// with its causes below it.
var (
	listedFault  = regexp.MustCompile(`(?m)^- at '[^\n]*\n(  [^\n]*\n)*`)
	listedFaults = regexp.MustCompile(`(?m)(^- at '[^\n]*\n(  [^\n]*\n)*){2,}`)
)

// TestRandomCharts compares charts that are drawn at random. By PKG_RANDOM_TIME=10m it
// goes on for so long, by PKG_RANDOM_SEED=n it begins there; with that alone it looks
// at the one case and prints it.
func TestRandomCharts(t *testing.T) {
	helm := newOracle(t)
	first, cases := uint64(1), uint64(randomCases)
	var until time.Time
	if s := os.Getenv("PKG_RANDOM_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, cases = n, 1
	}
	if s := os.Getenv("PKG_RANDOM_TIME"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		until, cases = time.Now().Add(d), 1<<40
	}
	rendered, failed, different := 0, 0, 0
	for seed := first; seed < first+cases && (until.IsZero() || time.Now().Before(until)); seed++ {
		c := randomchart.New(seed)
		if cases == 1 {
			t.Log(c)
		}
		switch compareCase(t, helm, c) {
		case 0:
			rendered++
		case 1:
			failed++
		default:
			if different++; different == 20 {
				t.Fatalf("too many differences; %d rendered, %d failed alike, up to seed %d", rendered, failed, seed)
			}
		}
	}
	t.Logf("%d charts rendered alike, %d failed alike", rendered, failed)
	if cases > 100 && (rendered < int(cases)/5 && until.IsZero() || failed == 0) {
		t.Errorf("of %d cases %d rendered and %d failed: too few to say much", cases, rendered, failed)
	}
}

// compareCase returns the exit code when both agree, else -1.
func compareCase(t *testing.T, helm *oracle, c *randomchart.Case) int {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	args, err := c.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	ours := templateHere(filepath.Join(dir, "home"), args)
	got := ours.comparable()
	var want answer
	theirs := map[string]bool{}
	for range 8 { // where Helm walks a map, some of its answers are ours
		answer := helm.template(t, args)
		want = answer.comparable()
		maps.Copy(theirs, answer.warnings())
		if want == got {
			break
		}
	}
	if want == got {
		for line := range ours.warnings() {
			if got.Code == 0 && !theirs[line] {
				t.Errorf("seed %d: helm does not warn of %q but of %q", c.Seed, line, slices.Sorted(maps.Keys(theirs)))
				return -1
			}
		}
		return got.Code
	}
	t.Errorf("seed %d (PKG_RANDOM_SEED=%[1]d shows it): template %q (-helm +pkg):\n%s", c.Seed, args, cmp.Diff(want, got))
	return -1
}
