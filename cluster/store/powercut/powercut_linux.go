// Package powercut gives tests a disk whose power can be cut.
//
// Killing a process proves nothing about fsync, since the page cache survives
// it. A Disk is an ext4 file system in a file, on a loop device; Cut shuts the
// file system down without flushing its log, so that after Remount only what
// was synced is there. It needs root, mount(8), mkfs.ext4 and loop devices.
package powercut

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	// shutdownRequest is EXT4_IOC_SHUTDOWN of Linux' fs/ext4/ext4.h.
	shutdownRequest = 0x8004587d
	// noLogFlush is its flag to lose what the journal has only in memory.
	noLogFlush = 2
)

// Disk is a mounted file system. It is not safe for concurrent use.
type Disk struct {
	image string
	mount string
}

// ForTest makes a file system of so many bytes and mounts it until the test and the
// cleanups that it registers afterwards are done. Where that is impossible the test is
// skipped; in CI it fails.
func ForTest(t testing.TB, size int64) *Disk {
	t.Helper()
	d, err := newDisk(t.TempDir(), size)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs root, loop devices and mkfs.ext4: ", err)
	}
	t.Cleanup(func() {
		if err := d.detach(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func newDisk(dir string, size int64) (*Disk, error) {
	d := &Disk{image: filepath.Join(dir, "disk.img"), mount: filepath.Join(dir, "mnt")}
	if err := os.Mkdir(d.mount, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return nil, err
	}
	if err := run("mkfs.ext4", "-q", "-F", "-m", "0", d.image); err != nil {
		return nil, err
	}
	if err := d.attach(); err != nil {
		return nil, err
	}
	return d, nil
}

// Path is the folder to write in.
func (d *Disk) Path() string { return d.mount }

// Cut loses all that was not synced, and makes all further use of open files
// fail, until Remount.
func (d *Disk) Cut() error {
	f, err := os.Open(d.mount)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), shutdownRequest, noLogFlush); err != nil {
		return fmt.Errorf("shut down %s: %w", d.mount, err)
	}
	return nil
}

// Remount mounts anew, as after a restart; the journal is recovered. No file
// may be open.
func (d *Disk) Remount() error {
	if err := d.detach(); err != nil {
		return err
	}
	return d.attach()
}

// detach unmounts.
func (d *Disk) detach() error {
	if err := unix.Unmount(d.mount, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", d.mount, err)
	}
	return nil
}

// attach mounts with a loop device that goes away with the mount.
func (d *Disk) attach() error { return run("mount", "-t", "ext4", "-o", "loop", d.image, d.mount) }

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
