package release

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/chart"
	"github.com/seed38700745/pkg/cluster/object"
)

// noise is a text that hardly compresses.
func noise(size int) string {
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < size {
		b.WriteByte(byte(' ' + r.IntN(94)))
	}
	return b.String()
}

// names of the Secrets that labels choose.
func (s storage) names(t *testing.T, which labels.Set) (out []string) {
	t.Helper()
	l, err := s.cluster.List(t.Context(), secrets(), object.ListOptions{Namespace: s.namespace, Labels: which.AsSelector()})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range l.Items {
		out = append(out, o.GetName())
	}
	return out
}

func TestLargeRecord(t *testing.T) {
	s := storage{cluster: newCluster(t), namespace: "default", now: time.Now}
	r := &Release{Name: "big", Namespace: "default", Revision: 1, Manifest: noise(2 << 20), Info: &Info{Status: StatusPendingInstall}}
	small := &Release{Name: "big", Namespace: "default", Revision: 2, Info: &Info{Status: StatusFailed}}
	for _, x := range []*Release{r, small} {
		if err := s.create(t.Context(), x, ""); err != nil {
			t.Fatal(err)
		}
	}
	first := s.names(t, labels.Set{"owner": partOwner})
	if len(first) < 2 {
		t.Fatalf("parts: %v", first)
	}
	r.Info.Status = StatusDeployed
	if err := s.update(t.Context(), r, ""); err != nil {
		t.Fatal(err)
	}
	if now := s.names(t, labels.Set{"owner": partOwner}); len(now) != len(first) || cmp.Equal(now, first) {
		t.Errorf("parts after an update: %v, before: %v", now, first)
	}
	history, err := s.history(t.Context(), "big")
	if err != nil || len(history) != 2 || history[0].Manifest != r.Manifest || history[0].Info.Status != StatusDeployed {
		t.Fatalf("%d revisions, %v", len(history), err)
	}
	if helm := s.names(t, labels.Set{"owner": secretOwner}); !cmp.Equal(helm, []string{"sh.helm.release.v1.big.v1", "sh.helm.release.v1.big.v2"}) {
		t.Errorf("helm sees %v", helm)
	}
	if _, err := decode(mustData(t, s, "sh.helm.release.v1.big.v1")); err == nil {
		t.Error("the first Secret alone is taken for a record")
	}

	// A part of another record is noticed, and the record left out of lists.
	one := s.names(t, labels.Set{"owner": partOwner})[0]
	if _, err := s.cluster.Delete(t.Context(), secrets(), object.Key{Namespace: "default", Name: one}, object.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.get(t.Context(), "big", 1); err == nil || !strings.Contains(err.Error(), "part 1 of") {
		t.Errorf("without a part: %v", err)
	}
	for _, x := range history {
		if err := s.remove(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	if left := s.names(t, labels.Set{"name": "big"}); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func mustData(t *testing.T, s storage, name string) string {
	t.Helper()
	o, err := s.cluster.Get(t.Context(), secrets(), object.Key{Namespace: "default", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	text, err := secretData(o)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// metadataOnly is a cluster whose records can not be read.
type metadataOnly struct{ Cluster }

var errBody = errors.New("a whole record was read")

func (metadataOnly) Get(context.Context, object.Resource, object.Key) (object.Object, error) {
	return nil, errBody
}

func (metadataOnly) List(context.Context, object.Resource, object.ListOptions) (*object.List, error) {
	return nil, errBody
}

// TestListReadsMetadata lists pkg's releases from the metadata of their Secrets,
// and helm's, which have no summary, from the records.
func TestListReadsMetadata(t *testing.T) {
	cluster := newCluster(t)
	now := time.Unix(1700000000, 0).UTC()
	s := storage{cluster: cluster, namespace: "default", now: time.Now}
	var want []*Release
	for n, status := range []Status{StatusSuperseded, StatusDeployed, StatusFailed} {
		r := &Release{Name: "web", Namespace: "default", Revision: n + 1, Manifest: "a: b", Labels: map[string]string{"team": "shop"},
			Chart: &chart.Chart{Metadata: &chart.Metadata{Name: "web", Version: "1.2.3", AppVersion: "9"}},
			Info:  &Info{Status: status, LastDeployed: Time{now}}}
		if err := s.create(t.Context(), r, ""); err != nil {
			t.Fatal(err)
		}
		want = []*Release{{Name: "web", Namespace: "default", Revision: n + 1, Chart: r.Chart, Info: r.Info, Labels: r.Labels}}
	}
	r := New(Config{Cluster: metadataOnly{cluster}, Namespace: "default"})
	got, err := r.List(t.Context(), ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "stored" }, cmp.Ignore())
	if d := cmp.Diff(want, got, ignore, cmp.AllowUnexported(chart.Chart{})); d != "" {
		t.Error(d)
	}

	helms, err := cluster.Get(t.Context(), secrets(), object.Key{Namespace: "default", Name: "sh.helm.release.v1.web.v3"})
	if err != nil {
		t.Fatal(err)
	}
	helms.SetAnnotations(nil)
	if _, err := cluster.Update(t.Context(), secrets(), helms, object.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err = New(Config{Cluster: cluster, Namespace: "default"}).List(t.Context(), ListOptions{})
	if err != nil || len(got) != 1 || got[0].Revision != 3 || got[0].Manifest != "a: b" {
		t.Errorf("helm's: %v, %v", got, err)
	}
}
