package cadvisor

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseInterfaces(t *testing.T) {
	const dev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0
eth1:5 6 0 0 0 0 0 0 7 8 0 0 0 0 0 0
`
	want := []Interface{
		{"eth0", Traffic{1000, 10, 1, 2}, Traffic{2000, 20, 3, 4}},
		{"eth1", Traffic{5, 6, 0, 0}, Traffic{7, 8, 0, 0}},
	}
	if diff := cmp.Diff(want, parseInterfaces(dev)); diff != "" {
		t.Error(diff)
	}
}

func TestDeviceOf(t *testing.T) {
	const mounts = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 8:2 / /var rw - xfs /dev/sdb rw
31 30 0:5 / /var/lib/other rw - tmpfs tmpfs rw
32 22 8:3 / /var rw master:1 - ext4 /dev/over rw
`
	for path, want := range map[string]string{
		"/": "/dev/sda1", "/home/x": "/dev/sda1", "/var/lib/pkg": "/dev/over", "/variable": "/dev/sda1", "/var/lib/other/a": "tmpfs",
	} {
		if got := deviceOf(mounts, path); got != want {
			t.Errorf("device of %s: %q, want %q", path, got, want)
		}
	}
}

func TestCountCPUs(t *testing.T) {
	const two = "processor\t: 0\nphysical id\t: 0\ncore id\t\t: 0\n\nprocessor\t: 1\nphysical id\t: 0\ncore id\t\t: 0\n\nprocessor\t: 2\nphysical id\t: 1\ncore id\t\t: 0\n"
	if threads, cores, sockets := countCPUs([]byte(two), 3); threads != 3 || cores != 2 || sockets != 2 {
		t.Errorf("%d threads, %d cores, %d sockets", threads, cores, sockets)
	}
	if threads, cores, sockets := countCPUs([]byte("processor\t: 0\n"), 4); threads != 4 || cores != 4 || sockets != 1 {
		t.Errorf("without topology: %d threads, %d cores, %d sockets", threads, cores, sockets)
	}
}
