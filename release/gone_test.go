package release

import (
	"context"
	"testing"
	"time"

	"github.com/seed38700745/pkg/cluster/object"
)

// TestGoneWithItsDefinition: objects of a kind that the cluster does not have are gone.
func TestGoneWithItsDefinition(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r := object.Resource{Group: "example.com", Resource: "things"}
	if err := awaitNone(ctx, newCluster(t), r, object.WatchOptions{Namespace: "default"}); err != nil {
		t.Error(err)
	}
}
