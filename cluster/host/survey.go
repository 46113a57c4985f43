package host

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Grade is how bad a Finding is.
type Grade string

// The grades: nothing to do; works, but look at it; a cluster cannot run.
const (
	OK      Grade = "ok"
	Warning Grade = "warning"
	Failed  Grade = "failed"
)

// Finding is the result of one check.
type Finding struct {
	Name   string `json:"name"`
	Grade  Grade  `json:"result"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"` // what to do; empty where nothing is to be done
}

// Subject is the cluster that the machine is looked at for.
type Subject struct {
	Home        string
	ID          string // of the cluster; its links and tables bear it
	PodCIDR     netip.Prefix
	ServiceCIDR netip.Prefix
	APIPort     int
	Running     bool
	Env         func(string) string
}

// Survey looks at everything that a cluster needs of its host or that commonly
// stands in its way. It changes nothing but a file in the data folder, which it
// writes to measure the disk and removes.
func Survey(ctx context.Context, s Subject) []Finding {
	all := []Finding{checkUser()}
	for _, r := range Check() {
		if r.Name == "root" || r.Name == "capabilities" && os.Geteuid() != 0 {
			continue
		}
		f := Finding{Name: r.Name, Grade: OK, Detail: "there"}
		if r.Name == "cgroups" {
			f.Detail = cgroupVersion()
		}
		if r.Err != nil {
			f.Grade, f.Detail, f.Remedy = Failed, r.Err.Error(), r.Remedy
		}
		all = append(all, f)
	}
	return append(all, checkKernel(), checkNamespaces(), checkSeccomp(), checkForwarding(s), checkFirewall(ctx, s), checkRanges(s), checkPort(ctx, s),
		checkNames(ctx), checkProxy(s), checkSpace(s), checkSync(s), checkClock(), checkLimits(), checkBuilder(), checkOthers())
}

func checkUser() Finding {
	if os.Geteuid() == 0 {
		return Finding{Name: "rights", Grade: OK, Detail: "root"}
	}
	return Finding{Name: "rights", Grade: Warning, Detail: fmt.Sprintf("user %d: can use a cluster that runs and is shared with a group, but not start one", os.Geteuid()),
		Remedy: "sudo pkg cluster check looks at more; sudo pkg cluster start --group pkg shares"}
}

func cgroupVersion() string {
	if data, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return "version 2: " + strings.TrimSpace(string(data))
	}
	return "version 1"
}

func checkKernel() Finding {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Finding{Name: "kernel", Grade: Warning, Detail: err.Error()}
	}
	f := Finding{Name: "kernel", Grade: OK, Detail: unix.ByteSliceToString(u.Release[:])}
	var major, minor int
	if _, err := fmt.Sscanf(f.Detail, "%d.%d", &major, &minor); err == nil && (major < 5 || major == 5 && minor < 10) {
		f.Grade, f.Remedy = Warning, "5.10 or newer is what clusters are tested with"
	}
	return f
}

func checkNamespaces() Finding {
	f := Finding{Name: "namespaces", Grade: OK}
	var missing []string
	kinds := []string{"mnt", "net", "pid", "ipc", "uts"}
	for _, n := range kinds {
		if _, err := os.Stat("/proc/self/ns/" + n); err != nil || strings.TrimSpace(read("/proc/sys/user/max_"+n+"_namespaces")) == "0" {
			missing = append(missing, n)
		}
	}
	f.Detail = strings.Join(kinds, ", ")
	if len(missing) > 0 {
		f.Grade, f.Detail = Failed, "none of "+strings.Join(missing, ", ")+" can be made"
		f.Remedy = "sysctl user.max_" + missing[0] + "_namespaces=10000, or a kernel with them"
	}
	return f
}

func checkSeccomp() Finding {
	if actions := strings.TrimSpace(read("/proc/sys/kernel/seccomp/actions_avail")); actions != "" {
		return Finding{Name: "seccomp", Grade: OK, Detail: actions}
	}
	return Finding{Name: "seccomp", Grade: Failed, Detail: "the kernel does not filter system calls", Remedy: "use a kernel with CONFIG_SECCOMP_FILTER"}
}

// What is little: the kubelet's and inotify's users on one machine need more.
const (
	fewInstances = 256
	fewWatches   = 16384
	fewFiles     = 65536
)

func checkLimits() Finding {
	f := Finding{Name: "limits", Grade: OK}
	var low []string
	for _, l := range []struct {
		sysctl string
		least  int
	}{{"fs.inotify.max_user_instances", fewInstances}, {"fs.inotify.max_user_watches", fewWatches}, {"fs.file-max", fewFiles}} {
		text := strings.TrimSpace(read("/proc/sys/" + strings.ReplaceAll(l.sysctl, ".", "/")))
		n, err := strconv.ParseUint(text, 10, 64)
		if err == nil && n < uint64(l.least) {
			low = append(low, l.sysctl+"="+text)
			f.Remedy = fmt.Sprintf("sysctl %s=%d", l.sysctl, l.least)
		}
	}
	f.Detail = "inotify and open files suffice"
	if len(low) > 0 {
		f.Grade, f.Detail = Warning, "low: "+strings.Join(low, ", ")
	}
	return f
}

func checkBuilder() Finding {
	path, err := exec.LookPath("mmdebstrap")
	if err != nil {
		return Finding{Name: "mmdebstrap", Grade: Warning, Detail: "not installed: no image can be built where a registry does not answer",
			Remedy: "apt-get install mmdebstrap (Debian, Ubuntu)"}
	}
	return Finding{Name: "mmdebstrap", Grade: OK, Detail: path}
}

// checkOthers looks for other distributions of Kubernetes, which claim the same
// ports and ranges.
func checkOthers() Finding {
	f := Finding{Name: "other clusters", Grade: OK, Detail: "none runs"}
	var found []string
	names, _ := filepath.Glob("/proc/[0-9]*/comm") // the pattern is correct
	for _, n := range names {
		comm := strings.TrimSpace(read(n))
		if slices.Contains([]string{"kubelet", "kubelite", "k3s-server", "k3s-agent", "k3s", "k0s", "rke2", "kube-proxy", "dockerd"}, comm) && !slices.Contains(found, comm) {
			found = append(found, comm)
		}
	}
	switch {
	case slices.Equal(found, []string{"dockerd"}):
		f.Detail = "none runs; docker does, which sets the forward chain of iptables to drop: see firewall"
	case len(found) > 0:
		f.Grade, f.Detail, f.Remedy = Warning, strings.Join(found, ", ")+" runs: ports, ranges and rules may collide", "stop the other one while you use this"
	}
	return f
}

// read is a file's text, or nothing.
func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}
