package network

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/vishvananda/netlink"
)

// pin makes a network namespace that lives without a process: bound to a file.
func pin(path string) error {
	if pinned(path) {
		return nil
	}
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		return err
	}
	done := make(chan error, 1)
	// The thread that unshares is not fit for other goroutines: it stays
	// locked and so ends with this one.
	go func() {
		runtime.LockOSThread()
		done <- makeNamespace(path)
	}()
	if err := <-done; err != nil {
		return errors.Join(fmt.Errorf("network namespace: %w", err), unpin(path))
	}
	return nil
}

// podSysctls are those that containers get in a namespace of their own, as
// containerd sets them: any port and ping without capabilities.
var podSysctls = map[string]string{
	"net/ipv4/ip_unprivileged_port_start": "0",
	"net/ipv4/ping_group_range":           "0 2147483647",
}

// makeNamespace moves this thread into a new namespace and binds that to path.
func makeNamespace(path string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	if err := unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, ""); err != nil {
		return err
	}
	for name, value := range podSysctls {
		if err := os.WriteFile(sysctlPath(name), []byte(value), 0o644); err != nil {
			return err
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// unpin lets the namespace go.
func unpin(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// pinned tells whether path is bound to a namespace.
func pinned(path string) bool {
	var s unix.Statfs_t
	return unix.Statfs(path, &s) == nil && s.Type == unix.NSFS_MAGIC
}
