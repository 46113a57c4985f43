package release

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/engine"
)

// unpack returns the JSON of a stored release.
func unpack(t *testing.T, text string) any {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if data, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestHelmsRecord reads what helm 3.22 wrote and writes the same.
func TestHelmsRecord(t *testing.T) {
	text, err := os.ReadFile("testdata/helm.release")
	if err != nil {
		t.Fatal(err)
	}
	r, err := decode(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "app" || r.Revision != 2 || r.Info.Status != StatusDeployed || len(r.Hooks) != 1 || r.Hooks[0].LastRun.Phase != "Succeeded" {
		t.Errorf("read %+v %+v %+v", r, r.Info, r.Hooks)
	}
	again, err := encode(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(unpack(t, string(text)), unpack(t, again)); diff != "" {
		t.Errorf("helm (-), written again (+):\n%s", diff)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("H4sIAAAAAAAA")
	f.Add("e30=")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := decode(text); err == nil && r.Info == nil {
			t.Error("a release without Info")
		}
	})
}

func TestStorage(t *testing.T) {
	c := newCluster(t)
	now := time.Unix(1000, 0)
	s := storage{cluster: c, namespace: "default", now: func() time.Time { return now }}
	var missing *NotFoundError
	if _, err := s.history(t.Context(), "db"); !errors.As(err, &missing) {
		t.Errorf("history of nothing: %v", err)
	}
	for n := 11; n > 8; n-- { // not in order, and 11 sorts before 9 as text
		r := &Release{Name: "db", Namespace: "default", Revision: n, Labels: map[string]string{"team": "a", "owner": "me"},
			Info: &Info{Status: StatusPendingUpgrade}}
		if err := s.create(t.Context(), r, "holder"); err != nil {
			t.Fatal(err)
		}
	}
	history, err := s.history(t.Context(), "db")
	if err != nil || len(history) != 3 || history[0].Revision != 9 || history[2].Revision != 11 {
		t.Fatalf("history %v, %v", history, err)
	}
	last := history[2]
	if last.stored.holder != "holder" || !last.stored.written.Equal(now) || !cmp.Equal(last.Labels, map[string]string{"team": "a"}) {
		t.Errorf("stored %+v, labels %v", last.stored, last.Labels)
	}
	last.Info.Status = StatusDeployed
	if err := s.update(t.Context(), last, ""); err != nil {
		t.Fatal(err)
	}
	if last, err = s.get(t.Context(), "db", 11); err != nil || last.stored.holder != "" || last.Info.Status != StatusDeployed {
		t.Errorf("after the update %+v, %v", last, err)
	}
	if _, err := s.get(t.Context(), "db", 3); !errors.As(err, &missing) || missing.Revision != 3 {
		t.Errorf("revision 3: %v", err)
	}
}

func TestSurplus(t *testing.T) {
	history := func(statuses ...Status) (out []*Release) {
		for n, s := range statuses {
			out = append(out, &Release{Revision: n + 1, Info: &Info{Status: s}})
		}
		return out
	}
	for _, x := range []struct {
		history []*Release
		limit   int
		want    []int
	}{
		{history(StatusSuperseded, StatusSuperseded, StatusDeployed), 2, []int{1}},
		{history(StatusDeployed, StatusFailed, StatusFailed, StatusFailed), 2, []int{2, 3}},
		{history(StatusDeployed, StatusFailed), 0, []int{2}},
		{history(StatusSuperseded, StatusDeployed), -1, nil},
		{history(StatusDeployed), 5, nil},
	} {
		var got []int
		for _, r := range surplus(x.history, x.limit) {
			got = append(got, r.Revision)
		}
		if !cmp.Equal(got, x.want) {
			t.Errorf("limit %d of %d: %v, want %v", x.limit, len(x.history), got, x.want)
		}
	}
}

func TestHookOrder(t *testing.T) {
	hook := func(name string, weight int, events ...string) *Hook {
		return &Hook{Hook: engine.Hook{Name: name, Weight: weight, Events: events}}
	}
	all := []*Hook{
		hook("d", 0, "pre-install"), hook("b", 5, "pre-install"), hook("a", 5, "post-install", "pre-install"),
		hook("c", -1, "pre-install"), hook("x", -9, "test"),
	}
	var got []string
	for _, h := range hooksOn(all, "pre-install") {
		got = append(got, h.Name)
	}
	if want := []string{"c", "d", "a", "b"}; !cmp.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
