package cluster

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// unmountBelow unmounts everything mounted below the folders, deepest first.
// The folders themselves may be mount points of somebody else and stay.
func unmountBelow(dirs ...string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		at := unescape.Replace(fields[4])
		for _, d := range dirs {
			if strings.HasPrefix(at, d+"/") {
				found = append(found, at)
			}
		}
	}
	var errs []error
	for i := len(found) - 1; i >= 0; i-- { // later mounts lie on earlier ones
		if err := unix.Unmount(found[i], unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", found[i], err))
		}
	}
	return errors.Join(errs...)
}

// unescape undoes the kernel's octal escapes in mountinfo.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
