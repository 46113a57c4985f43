package node

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed38700745/pkg/cluster/isolate"
)

// The tests mount, so they run in a mount namespace of their own: nothing stays
// mounted whatever happens.
func TestMain(m *testing.M) {
	os.Exit(isolate.Main(m, isolate.Isolation{Namespaces: unix.CLONE_NEWNS}))
}
