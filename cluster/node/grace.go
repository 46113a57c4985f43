package node

import (
	"strconv"
	"time"

	"github.com/seed38700745/pkg/cluster/cri"
)

// Grace is how long a container that this agent or an earlier one started has
// to end by itself: its pod's termination grace period, or ok is false where the
// record does not say.
func Grace(c cri.Container) (grace time.Duration, ok bool) {
	n, err := strconv.Atoi(c.Labels[labelGrace])
	return time.Duration(n) * time.Second, err == nil
}
