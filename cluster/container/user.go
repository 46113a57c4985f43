package container

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"

	securejoin "github.com/cyphar/filepath-securejoin"
	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed38700745/pkg/cluster/cri"
)

// ErrNonRoot is wrapped when a container that must not run as root would.
var ErrNonRoot = errors.New("container has runAsNonRoot and image will run as root")

// maxUserFile bounds an image's passwd and group files.
const maxUserFile = 8 << 20

// lookUser finds who a container's process is, in the image's own passwd and
// group files. As in Kubernetes, a given UID's primary group and memberships
// are the image's, unless a GID is given.
func lookUser(rootfs string, u cri.User) (specs.User, error) {
	passwd, err := readUserFile(rootfs, "etc/passwd")
	if err != nil {
		return specs.User{}, err
	}
	group, err := readUserFile(rootfs, "etc/group")
	if err != nil {
		return specs.User{}, err
	}
	name := u.Name
	if u.UID != nil {
		name = strconv.FormatInt(*u.UID, 10)
	}
	found, err := user.GetExecUser(name, &user.ExecUser{}, passwd, group)
	if err != nil {
		return specs.User{}, fmt.Errorf("user %q: %w", name, err)
	}
	out := specs.User{UID: uint32(found.Uid), GID: uint32(found.Gid)}
	if u.GID != nil {
		out.GID = uint32(*u.GID)
	}
	if u.NonRoot && out.UID == 0 {
		return specs.User{}, ErrNonRoot
	}
	groups := []uint32{out.GID}
	for _, g := range found.Sgids {
		groups = append(groups, uint32(g))
	}
	for _, g := range u.Groups {
		groups = append(groups, uint32(g))
	}
	slices.Sort(groups)
	out.AdditionalGids = slices.Compact(groups)
	return out, nil
}

// readUserFile reads one file of the image; a missing one is empty. Links are
// followed as in the container, so that they cannot lead to the host's files;
// nothing runs in it yet that could change them meanwhile.
func readUserFile(rootfs, name string) (io.Reader, error) {
	path, err := securejoin.SecureJoin(rootfs, name)
	if err != nil {
		return nil, err
	}
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && !st.Mode().IsRegular()) {
		return &bytes.Reader{}, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxUserFile))
	return bytes.NewReader(b), err
}
