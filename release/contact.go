package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// contactPeriod is how often a waiting operation asks whether the cluster is
	// there: watches alone do not tell silence from absence.
	contactPeriod = time.Second
	// contactTimeout is how long an answer may take.
	contactTimeout = 5 * time.Second
	// patience is how long a waiting operation survives without its cluster, which
	// is enough to start it again.
	patience = 30 * time.Second
)

// LostError says that the cluster has not answered for too long. What was applied
// stays, and the cluster goes on with it when it is back.
type LostError struct {
	For time.Duration
	Err error // of the last try
}

func (e *LostError) Error() string {
	return fmt.Sprintf("the cluster has not answered for %s: %v", e.For, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

// Hint is the next step.
func (e *LostError) Hint() string {
	return "when it is back (this machine's: pkg cluster start), the command can be repeated, and goes on"
}

// inContact does work that waits for the cluster, and ends it when the cluster is
// lost. Errors: work's, *LostError.
func (w *waiter) inContact(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lost := make(chan error, 1)
	go func() { // ends with ctx
		lost <- w.keepContact(ctx)
		cancel()
	}()
	err := work(ctx)
	cancel()
	return cmp.Or(<-lost, err)
}

// keepContact asks the cluster again and again until ctx ends, and tells when it
// stops answering and when it answers again. Errors: *LostError.
func (w *waiter) keepContact(ctx context.Context) error {
	tick := time.NewTicker(contactPeriod)
	defer tick.Stop()
	answered, missing := w.now(), false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := w.ask(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			if missing {
				w.say("the cluster answers again")
			}
			answered, missing = w.now(), false
			continue
		}
		silent := w.now().Sub(answered)
		if silent >= patience {
			return &LostError{For: silent.Round(time.Second), Err: err}
		}
		if !missing {
			missing = true
			w.say("%v; waiting up to %s for it", err, patience)
		}
	}
}

// ask returns nil if the cluster gives any answer, also that we may not ask.
func (w *waiter) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	_, err := w.cluster.KubeVersion(ctx)
	var answer apierrors.APIStatus
	if errors.As(err, &answer) {
		return nil
	}
	return err
}
