package cadvisor

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// Hardware is what a machine is made of.
type Hardware struct {
	Threads, Cores, Sockets                int
	Memory, Swap                           uint64 // bytes
	MachineID, SystemUUID, BootID          string
	KernelVersion, OSImage, ProductVersion string
}

// FileSystem is the use of one, in bytes.
type FileSystem struct {
	Device                         string
	Size, Used, Inodes, InodesFree uint64
}

// Interface is what went through a network interface.
type Interface struct {
	Name           string
	Received, Sent Traffic
}

// Traffic is one direction of an Interface.
type Traffic struct{ Bytes, Packets, Errors, Dropped uint64 }

// collect hands out the machine_* metrics.
func (m *Machine) collect(s sink) {
	h := m.Hardware
	ids := prometheus.Labels{"boot_id": h.BootID, "machine_id": h.MachineID, "system_uuid": h.SystemUUID}
	put := func(name, help string, value float64) {
		s.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, ids), gauge, value)
	}
	put("machine_cpu_cores", "Number of logical CPU cores.", float64(h.Threads))
	put("machine_cpu_physical_cores", "Number of physical CPU cores.", float64(h.Cores))
	put("machine_cpu_sockets", "Number of CPU sockets.", float64(h.Sockets))
	put("machine_memory_bytes", "Amount of memory installed on the machine.", float64(h.Memory))
	put("machine_swap_bytes", "Amount of swap memory available on the machine.", float64(h.Swap))
	s.out <- prometheus.MustNewConstMetric(prometheus.NewDesc("machine_scrape_error",
		"1 if there was an error while getting machine metrics, 0 otherwise.", nil, nil), gauge, 0)
	s.out <- prometheus.MustNewConstMetric(prometheus.NewDesc("container_scrape_error",
		"1 if there was an error while getting container metrics, 0 otherwise.", nil, nil), gauge, 0)
	s.out <- prometheus.MustNewConstMetric(prometheus.NewDesc("cadvisor_version_info",
		"A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor version & cadvisor revision.", nil,
		prometheus.Labels{"kernelVersion": h.KernelVersion, "osVersion": h.OSImage, "dockerVersion": "", "cadvisorVersion": "pkg " + h.ProductVersion, "cadvisorRevision": ""},
	), gauge, 1)
}

// CPUs counts hardware threads, cores and sockets by /proc/cpuinfo; where that
// does not tell (arm64) every thread is a core of one socket.
func CPUs() (threads, cores, sockets int) {
	threads = runtime.NumCPU()
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return threads, threads, 1
	}
	return countCPUs(data, threads)
}

func countCPUs(cpuinfo []byte, threads int) (int, int, int) {
	coreSet, socketSet := map[string]bool{}, map[string]bool{}
	socket := ""
	for s := bufio.NewScanner(bytes.NewReader(cpuinfo)); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), ":")
		switch strings.TrimSpace(key) {
		case "physical id":
			socket = strings.TrimSpace(value)
			socketSet[socket] = true
		case "core id":
			coreSet[socket+"/"+strings.TrimSpace(value)] = true
		}
	}
	if len(coreSet) == 0 || len(socketSet) == 0 {
		return threads, threads, 1
	}
	return threads, len(coreSet), len(socketSet)
}

// Usage reads the file system of a path, and the device it is on by
// /proc/self/mountinfo.
func Usage(path string) (FileSystem, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return FileSystem{}, err
	}
	size := uint64(st.Bsize)
	f := FileSystem{Size: st.Blocks * size, Used: (st.Blocks - st.Bfree) * size, Inodes: st.Files, InodesFree: st.Ffree}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return f, err
	}
	f.Device = deviceOf(string(mounts), path)
	return f, nil
}

// deviceOf is the source of the mount that holds a path: the one with the longest
// mount point, the last of those (proc_pid_mountinfo(5)).
func deviceOf(mounts, path string) string {
	device, longest := "", -1
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		fields, source := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(source) < 2 {
			continue
		}
		point := strings.TrimSuffix(fields[4], "/")
		if (path == point || strings.HasPrefix(path, point+"/")) && len(point) >= longest {
			device, longest = source[1], len(point)
		}
	}
	return device
}

// Interfaces reads the network interfaces in the namespace of a process, without
// lo, from /proc/PID/net/dev.
func Interfaces(pid int) ([]Interface, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/net/dev")
	if err != nil {
		return nil, err
	}
	return parseInterfaces(string(data)), nil
}

// parseInterfaces reads lines "eth0: rbytes rpackets rerrs rdrop 4 more tbytes
// tpackets terrs tdrop ..." (proc_pid_net(5)).
func parseInterfaces(data string) []Interface {
	var all []Interface
	for line := range strings.Lines(data) {
		name, rest, ok := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if name = strings.TrimSpace(name); !ok || name == "lo" || len(fields) < 12 {
			continue
		}
		var n [12]uint64
		for i := range n {
			n[i], _ = strconv.ParseUint(fields[i], 10, 64) // what is no number counts as 0
		}
		all = append(all, Interface{
			Name:     name,
			Received: Traffic{n[0], n[1], n[2], n[3]},
			Sent:     Traffic{n[8], n[9], n[10], n[11]},
		})
	}
	return all
}

// Booted is when the machine started, by /proc/stat's btime.
func Booted() (time.Time, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "btime "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return time.Unix(n, 0), err
		}
	}
	return time.Time{}, errors.New("/proc/stat has no btime")
}
