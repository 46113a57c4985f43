package instance

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// DefaultGroup is the group of users who may use the cluster without being root.
// Its members are as powerful as root on this machine: they can run any pod.
const DefaultGroup = "pkg"

// NoGroup stands for nobody but root.
const NoGroup = "-"

// Share gives the administrator's kubeconfig at path to a group to read, mode 0640,
// or with NoGroup to root alone, 0600. An empty group means DefaultGroup where the
// machine has it. Errors: user.UnknownGroupError.
func Share(path, group string) error {
	gid, mode := 0, os.FileMode(0o600)
	if group != NoGroup {
		g, err := user.LookupGroup(cmp.Or(group, DefaultGroup))
		var unknown user.UnknownGroupError
		switch {
		case errors.As(err, &unknown) && group == "":
		case err != nil:
			return fmt.Errorf("share the cluster: %w", err)
		default:
			if gid, err = strconv.Atoi(g.Gid); err != nil {
				return fmt.Errorf("group %s has the id %q", g.Name, g.Gid)
			}
			mode = 0o640
		}
	}
	if err := os.Chown(path, 0, gid); err != nil && os.Geteuid() == 0 {
		return err
	}
	return os.Chmod(path, mode)
}

// SharedWith is the name of the group that may read a file; "" if it is root alone,
// a number where the group has no name.
func SharedWith(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode().Perm()&0o040 == 0 || st.Gid == 0 {
		return "", nil
	}
	gid := strconv.Itoa(int(st.Gid))
	g, err := user.LookupGroupId(gid)
	if err != nil {
		return gid, nil
	}
	return g.Name, nil
}
