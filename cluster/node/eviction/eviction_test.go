package eviction

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestParse(t *testing.T) {
	const defaults = "imagefs.available<5%,imagefs.inodesFree<5%,memory.available<100Mi,nodefs.available<5%,nodefs.inodesFree<5%,pid.available<10%"
	for text, want := range map[string]string{
		"": defaults,
		"memory.available<1Gi, nodefs.available<2.5%":               "imagefs.available<5%,imagefs.inodesFree<5%,memory.available<1Gi,nodefs.available<2.5%,nodefs.inodesFree<5%,pid.available<10%",
		"imagefs.available<0%,imagefs.inodesFree<0,pid.available<0": "memory.available<100Mi,nodefs.available<5%,nodefs.inodesFree<5%",
		"memory<100Mi":            `no signal "memory"`,
		"memory.available=100Mi":  "want SIGNAL<LIMIT",
		"memory.available<much":   `"much" is neither a quantity`,
		"memory.available<-1":     `"-1" is neither`,
		"nodefs.available<100%":   `"100%" is no percentage`,
		"nodefs.available<-0.5%":  `"-0.5%" is no percentage`,
		"nodefs.available<NaN%":   `"NaN%" is no percentage`,
		"memory.available<100Mi<": "neither a quantity",
	} {
		got, err := Parse(text)
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", text, err, want)
			}
			continue
		}
		if got.String() != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
		again, err := Parse(got.String())
		if err != nil || text == "" && again.String() != want {
			t.Errorf("%q again: %s, %v", text, again, err)
		}
	}
}

func TestMet(t *testing.T) {
	amounts := map[Signal]Amount{
		MemoryAvailable: {100<<20 - 1, 1 << 30}, NodeFSAvailable: {50, 1000}, ImageFSAvailable: {49, 1000}, PIDAvailable: {3000, 4000},
	}
	got := Default().Met(amounts)
	want := []Met{{MemoryAvailable, 100 << 20, 100<<20 - 1}, {ImageFSAvailable, 50, 49}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func pod(name string, priority int32, requests corev1.ResourceList) *corev1.Pod {
	p := &corev1.Pod{}
	p.Name, p.Spec.Priority = name, &priority
	p.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: requests}}}
	return p
}

func names(all []Usage) string {
	var n []string
	for _, u := range all {
		n = append(n, u.Pod.Name)
	}
	return strings.Join(n, " ")
}

func TestRank(t *testing.T) {
	const mi = 1 << 20
	request := func(q string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(q), corev1.ResourceEphemeralStorage: resource.MustParse(q)}
	}
	use := func(p *corev1.Pod, n, pids int64) Usage {
		return Usage{Pod: p, Memory: n, PIDs: pids, Containers: map[string]ContainerUsage{"c": {Memory: n, Disk: Disk{n, 1}}}}
	}
	all := []Usage{
		use(pod("guaranteed", 0, request("500Mi")), 400*mi, 9),
		use(pod("important", 100, nil), 900*mi, 1),
		use(pod("small", 0, nil), 10*mi, 7),
		use(pod("over", 0, request("100Mi")), 300*mi, 2),
		use(pod("critical", criticalPriority, nil), 2000*mi, 100),
		use(pod("low", -5, nil), 1*mi, 3),
	}
	for s, want := range map[Signal]string{
		MemoryAvailable:  "low over small important guaranteed",
		NodeFSAvailable:  "low over small important guaranteed",
		PIDAvailable:     "low guaranteed small over important",
		ImageFSAvailable: "low over small important guaranteed",
	} {
		if got := names(Rank(all, s)); got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
	}
	got := Message(Met{MemoryAvailable, 100 * mi, 50 * mi}, all[3])
	want := "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container c was using 300Mi, request is 100Mi, has larger consumption of memory. "
	if got != want {
		t.Errorf("message\n%s\nwant\n%s", got, want)
	}
	got = Message(Met{NodeFSAvailable, 100 * mi, 0}, all[2])
	want = "The node was low on resource: ephemeral-storage. Threshold quantity: 100Mi, available: 0. Container c was using 10Mi, request is 0, has larger consumption of ephemeral-storage. "
	if got != want {
		t.Errorf("message\n%s\nwant\n%s", got, want)
	}
}

func TestExceeded(t *testing.T) {
	limited := func(limit string, volume string) *corev1.Pod {
		p := pod("p", 0, nil)
		if limit != "" {
			p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse(limit)}
		}
		if volume != "" {
			q := resource.MustParse(volume)
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &q}}}}
		}
		return p
	}
	two := limited("5Mi", "")
	two.Spec.Containers = append(two.Spec.Containers, *two.Spec.Containers[0].DeepCopy())
	two.Spec.Containers[1].Name = "d"
	for _, c := range []struct {
		pod               *corev1.Pod
		container, volume int64
		want              string
	}{
		{limited("", ""), 1 << 40, 1 << 40, ""},
		{limited("5Mi", "5Mi"), 2 << 20, 2 << 20, ""},
		{limited("", "5Mi"), 0, 6 << 20, `Usage of EmptyDir volume "v" exceeds the limit "5Mi". `},
		{limited("5Mi", ""), 3 << 20, 3 << 20, "Pod ephemeral local storage usage exceeds the total limit of containers 5Mi. "},
		{two, 6 << 20, 0, `Container c exceeded its local ephemeral storage limit "5Mi". `},
	} {
		u := Usage{Pod: c.pod, Containers: map[string]ContainerUsage{"c": {Disk: Disk{Bytes: c.container}}}, Volumes: map[string]Disk{"v": {Bytes: c.volume}}}
		if got := Exceeded(u); got != c.want {
			t.Errorf("container %d, volume %d: %q, want %q", c.container, c.volume, got, c.want)
		}
		if c.want != "" && !Limited(c.pod) {
			t.Errorf("%q would not be looked at", c.want)
		}
	}
}

func TestDiskUse(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, n int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a", 1<<20)
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	write("sparse", 0)
	if err := os.Truncate(filepath.Join(dir, "sparse"), 1<<30); err != nil {
		t.Fatal(err)
	}
	got, err := DiskUse(dir)
	if err != nil || got.Bytes < 1<<20 || got.Bytes > 1<<20+64<<10 || got.Inodes != 3 {
		t.Errorf("%+v, %v; want one MiB in 3 inodes", got, err)
	}
	if got, err := DiskUse(filepath.Join(dir, "missing")); err != nil || got != (Disk{}) {
		t.Errorf("a missing folder takes %+v, %v", got, err)
	}
}

func TestReadTheMachine(t *testing.T) {
	all, err := Read(t.TempDir(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Signal{MemoryAvailable, NodeFSAvailable, ImageFSAvailable, PIDAvailable} {
		if a := all[s]; a.Available <= 0 || a.Capacity < a.Available {
			t.Errorf("%s: %+v", s, a)
		}
	}
}
