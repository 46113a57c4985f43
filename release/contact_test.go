package release

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// flaky is a cluster that answers, or not.
type flaky struct {
	Cluster
	err atomic.Value // what it says instead of an answer; error
}

func (f *flaky) KubeVersion(context.Context) (string, error) {
	if err, ok := f.err.Load().(error); ok && !errors.Is(err, errAnswers) {
		return "", err
	}
	return "v1.36.3", nil
}

var (
	errAnswers = errors.New("answers")
	errSilent  = errors.New("connection refused")
)

func TestContact(t *testing.T) {
	for _, c := range []struct {
		name     string
		silent   error
		away     time.Duration
		lost     bool
		messages int
	}{
		{name: "never away"},
		{name: "started again", silent: errSilent, away: 10 * time.Second, messages: 2},
		{name: "gone", silent: errSilent, away: time.Hour, lost: true, messages: 1},
		{name: "may not be asked", silent: apierrors.NewUnauthorized("who are you?"), away: time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := &flaky{}
				var said []string
				w := &waiter{cluster: cluster, now: time.Now, say: func(format string, args ...any) {
					said = append(said, fmt.Sprintf(format, args...))
				}}
				err := w.inContact(t.Context(), func(ctx context.Context) error {
					steps := []error{c.silent, errAnswers}
					for i, pause := range []time.Duration{5 * time.Second, c.away} {
						if steps[i] != nil {
							time.AfterFunc(pause, func() { cluster.err.Store(fmt.Errorf("%w", steps[i])) })
						}
						select {
						case <-ctx.Done():
							return ctx.Err()
						case <-time.After(pause + 2*contactPeriod):
						}
					}
					return nil
				})
				var lost *LostError
				if errors.As(err, &lost) != c.lost || !c.lost && err != nil {
					t.Errorf("error %v", err)
				}
				if c.lost && lost.For < patience {
					t.Errorf("given up after %s", lost.For)
				}
				if len(said) != c.messages {
					t.Errorf("said:\n%s", strings.Join(said, "\n"))
				}
			})
		})
	}
}
