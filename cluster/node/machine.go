package node

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/seed38700745/pkg/cluster/node/eviction"
)

// capacity is what a machine with these amounts has.
func capacity(amounts map[eviction.Signal]eviction.Amount) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(amounts[eviction.MemoryAvailable].Capacity, resource.BinarySI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(amounts[eviction.NodeFSAvailable].Capacity, resource.BinarySI),
	}
}

// systemInfo says what runs on the machine.
func systemInfo() (corev1.NodeSystemInfo, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return corev1.NodeSystemInfo{}, fmt.Errorf("uname: %w", err)
	}
	return corev1.NodeSystemInfo{
		MachineID:       line("/etc/machine-id"),
		SystemUUID:      line("/sys/class/dmi/id/product_uuid"),
		BootID:          line("/proc/sys/kernel/random/boot_id"),
		KernelVersion:   unix.ByteSliceToString(u.Release[:]),
		OSImage:         osImage(),
		OperatingSystem: runtime.GOOS,
		Architecture:    runtime.GOARCH,
	}, nil
}

// line returns a file's text, or nothing: these files may be missing.
func line(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// osImage is the distribution's name by os-release(5).
func osImage() string {
	for l := range strings.Lines(line("/etc/os-release")) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(l), "PRETTY_NAME="); ok {
			return strings.Trim(value, `"'`)
		}
	}
	return "Linux"
}
