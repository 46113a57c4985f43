package cluster

import (
	"context"
	"net/http"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// awaitReady waits until this machine's node is Ready and the API says that it
// is, then calls ready and does what was put off.
func (k *Cluster) awaitReady(ctx context.Context, ready func()) error {
	isReady := make(chan struct{})
	watching, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { // ends with watching
		told := false
		done <- builtin.Nodes.Follow(watching, k.api, object.WatchOptions{}, func(n *corev1.Node, deleted bool) {
			if !told && !deleted && n.Name == k.nodeName && nodeReady(n) {
				told = true
				close(isReady)
			}
		}, nil)
	}()
	select {
	case <-ctx.Done():
	case <-isReady:
	}
	stop()
	if err := <-done; err != nil || ctx.Err() != nil {
		return err
	}
	if err := k.askReady(ctx); err != nil {
		return err
	}
	ready()
	k.api.Prepare()
	return nil
}

func nodeReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// askReady asks the API as its clients do, so that ready means ready for them.
func (k *Cluster) askReady(ctx context.Context) error {
	transport := &http.Transport{TLSClientConfig: k.pki.AdminClient()}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.config.Record.Server()+"/readyz", nil)
	if err != nil {
		return err
	}
	r, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return &notReadyError{r.Status}
	}
	return nil
}

// notReadyError is the API's own verdict.
type notReadyError struct{ status string }

func (e *notReadyError) Error() string { return "the API answers /readyz with " + e.status }
