package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Identity names a process so that others can tell whether it still works.
type Identity struct {
	// Machine is the boot of the kernel and the process namespace in which PID
	// counts. On another machine, after a reboot, and in another container it
	// is another.
	Machine string `json:"machine"`
	PID     int    `json:"pid"`
	Start   string `json:"start"` // of the process, in ticks since the boot
	Host    string `json:"host"`
	Command string `json:"command"` // "upgrade"
}

// String is "pkg upgrade, pid 12 on host a".
func (i Identity) String() string {
	return fmt.Sprintf("pkg %s, pid %d on host %s", i.Command, i.PID, i.Host)
}

// encode is what Leases and pending revisions hold.
func (i Identity) encode() string {
	data, err := json.Marshal(i)
	if err != nil {
		return "" // strings and a number always encode
	}
	return string(data)
}

func decodeIdentity(text string) (Identity, bool) {
	var i Identity
	return i, text != "" && json.Unmarshal([]byte(text), &i) == nil
}

// ThisProcess is the identity of the running process.
func ThisProcess() (Identity, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Identity{}, err
	}
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return Identity{}, err
	}
	host, err := os.Hostname()
	if err != nil {
		return Identity{}, err
	}
	start, err := startOf(os.Getpid())
	if err != nil {
		return Identity{}, err
	}
	return Identity{Machine: strings.TrimSpace(string(boot)) + " " + ns, PID: os.Getpid(), Start: start, Host: host}, nil
}

// Alive tells whether other's process runs. known is false when self can not see
// it because it is, or was, on another machine.
func (i Identity) Alive(other Identity) (alive, known bool) {
	if i.Machine == "" || i.Machine != other.Machine {
		return false, false
	}
	start, err := startOf(other.PID)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return false, true
	}
	if err != nil {
		return false, false
	}
	return start == other.Start, true
}

// startTicks is the place of the start time in /proc/PID/stat, counted after the
// process's name, which may hold blanks (proc(5), field 22).
const startTicks = 19

func startOf(pid int) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	text := string(data)
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(f) <= startTicks {
		return "", fmt.Errorf("/proc/%d/stat is too short", pid)
	}
	if f[0] == "Z" || f[0] == "X" { // ended, and not yet collected by its parent
		return "", os.ErrNotExist
	}
	return f[startTicks], nil
}
