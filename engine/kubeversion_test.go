package engine_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/seed38700745/pkg/engine"
)

// sameKubeVersion compares ParseKubeVersion with what Helm does, and reports whether
// the text is a version.
func sameKubeVersion(t *testing.T, text string) bool {
	t.Helper()
	got, errGot := engine.ParseKubeVersion(text)
	want, errWant := version.ParseGeneric(text)
	if errWant != nil {
		if errGot == nil || errGot.Error() != fmt.Sprintf("invalid kube version '%s': %v", text, errWant) {
			t.Fatalf("%q: error %v, want %v", text, errGot, errWant)
		}
		return false
	}
	if errGot != nil {
		t.Fatalf("%q: error %v, want %s", text, errGot, want)
	}
	if diff := cmp.Diff(engine.KubeVersion{
		Version: "v" + want.String(),
		Major:   strconv.FormatUint(uint64(want.Major()), 10),
		Minor:   strconv.FormatUint(uint64(want.Minor()), 10),
	}, got); diff != "" {
		t.Fatalf("%q: %s", text, diff)
	}
	return true
}

var kubeVersions = []string{
	"1.36", "v1.36.2", "v1.36.2+k3s1", " \t\n1.36-gke.100\t", "1.36.", "1.36..2", "1.036.00", "1.2.3.4.5x",
	"", "v", "1", "1.", "vv1.2", "V1.2", "-1.2", "01.2", "00.2", "0.1", "1\n.2", "1.2\n", "1.2\nx", "\v1.2",
	"1.18446744073709551615", "1.18446744073709551616", "18446744073709551616", "018446744073709551616.1",
	"1.2\xff", "\xff1.2", "1.2é", "\u00a01.2", "1.2.18446744073709551616.x",
}

// TestKubeVersionLikeKubernetes compares versions, and what becomes of them with one or
// two other bytes.
func TestKubeVersionLikeKubernetes(t *testing.T) {
	const bytes = "0123456789..vV-+ \t\n\v\f\rax\x00\xff"
	m := rand.New(rand.NewPCG(1, 0))
	accepted := 0
	for _, text := range kubeVersions {
		sameKubeVersion(t, text)
		for range 1000 {
			b := []byte(text)
			for range 1 + m.IntN(2) {
				at := m.IntN(len(b) + 1)
				b = append(b[:at], append([]byte{bytes[m.IntN(len(bytes))]}, b[min(len(b), at+m.IntN(2)):]...)...)
			}
			if sameKubeVersion(t, string(b)) {
				accepted++
			}
		}
	}
	if accepted < 1000 {
		t.Errorf("only %d versions", accepted)
	}
}

// FuzzKubeVersion: ParseKubeVersion reads what Kubernetes reads.
func FuzzKubeVersion(f *testing.F) {
	for _, text := range kubeVersions {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { sameKubeVersion(t, text) })
}
