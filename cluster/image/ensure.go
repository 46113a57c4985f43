package image

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/seed38700745/pkg/cluster/cri"
)

// Ensure makes the image present. Errors wrap ErrInvalidName, ErrNeverPull or
// describe why neither registry nor substitute gave it. Calls for one reference
// with one set of credentials share the work. progress may be nil.
func (s *Store) Ensure(ctx context.Context, reference string, policy cri.PullPolicy, creds cri.Credentials, progress func(cri.ImageProgress)) (cri.Image, error) {
	normal, err := Normalize(reference)
	if err != nil {
		return cri.Image{}, err
	}
	local, present := s.Present(reference)
	switch {
	case policy == cri.PullNever && !present:
		return cri.Image{}, neverPullError{reference}
	case present && policy != cri.PullAlways:
		return local, nil
	case policy == cri.PullNever:
		return local, nil
	}
	key := normal + fmt.Sprint(creds)
	return s.flights.do(ctx, key, progress, func(ctx context.Context, progress func(cri.ImageProgress)) (cri.Image, error) {
		img, err := s.resolve(ctx, normal, policy, creds, progress)
		if err != nil {
			return cri.Image{}, fmt.Errorf("image %s: %w", reference, err)
		}
		return img, nil
	})
}

// neverPullError has Kubernetes' text.
type neverPullError struct{ name string }

func (e neverPullError) Error() string {
	return fmt.Sprintf("Container image %q is not present with pull policy of Never", e.name)
}
func (neverPullError) Unwrap() error { return ErrNeverPull }

// resolve fetches or builds an image.
func (s *Store) resolve(ctx context.Context, normal string, policy cri.PullPolicy, creds cri.Credentials, progress func(cri.ImageProgress)) (cri.Image, error) {
	report := func(p cri.ImageProgress) {
		p.Name = normal
		progress(p)
	}
	ref, err := parse(normal)
	if err != nil {
		return cri.Image{}, err
	}
	refresh := policy == cri.PullAlways
	if ref.Context().RegistryStr() == debDomain {
		d, err := parseDebRef(ref)
		if err != nil {
			return cri.Image{}, err
		}
		return s.ensureBuilt(ctx, refRecord{Name: normal}, d, Overrides{}, refresh, report)
	}
	report(cri.ImageProgress{Stage: "resolving"})
	img, err := s.pull(ctx, normal, creds, report)
	var unreachable *connectError
	if err == nil || !errors.As(err, &unreachable) {
		return img, err
	}
	if _, ok := s.config.Substitutes[normal]; !ok {
		return s.instead(normal, ref.Context().RegistryStr(), err)
	}
	sub, d, serr := s.substitute(normal, err)
	if serr != nil {
		return img, serr
	}
	s.log.Info("no registry answers; an image of Debian packages stands in", "image", normal, "substitute", sub.Image, "error", err)
	record := refRecord{Name: normal, Origin: fmt.Sprintf("since %s could not be reached", hubName(ref.Context().RegistryStr()))}
	built, berr := s.ensureBuilt(ctx, record, d, sub.Config, refresh, report)
	if berr != nil {
		return img, fmt.Errorf("%w; its substitute %s: %w", err, sub.Image, berr)
	}
	return built, nil
}

// substitute is what stands in for an image whose registry does not answer, as cause
// says. The error wraps cause.
func (s *Store) substitute(normal string, cause error) (Substitute, DebRef, error) {
	sub, ok := s.config.Substitutes[normal]
	switch {
	case !ok:
		return sub, DebRef{}, cause
	case s.config.NoSubstitution:
		return sub, DebRef{}, fmt.Errorf("%w (the substitute %s is not used: substitution is switched off)", cause, sub.Image)
	}
	d, err := ParseDebRef(sub.Image)
	if err != nil {
		return sub, d, errors.Join(cause, err)
	}
	return sub, d, nil
}

// instead returns the node's own copy of an image whose registry does not
// answer: under Always a machine without network still runs what was loaded or
// pulled before. Without a copy it returns err.
func (s *Store) instead(normal, registry string, err error) (cri.Image, error) {
	local, present := s.Present(normal)
	if !present {
		return cri.Image{}, err
	}
	s.log.Info("no registry answers; the image that is here is used", "image", normal, "error", err)
	note := fmt.Sprintf("the copy on this node, since %s could not be reached", hubName(registry))
	if local.Origin != "" {
		note = local.Origin + "; " + note
	}
	local.Origin = note
	return local, nil
}

// ParseDebRef reads a deb.internal reference.
func ParseDebRef(reference string) (DebRef, error) {
	ref, err := name.ParseReference(reference)
	if err != nil || ref.Context().RegistryStr() != debDomain {
		return DebRef{}, fmt.Errorf("%w: %q is no reference of %s", ErrInvalidName, reference, debDomain)
	}
	return parseDebRef(ref)
}

// flights lets equal calls share one piece of work, which is cancelled when all
// callers have gone.
type flights struct {
	mu      sync.Mutex
	running map[string]*flight // guarded by mu
}

type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	callers int // guarded by flights.mu
	img     cri.Image
	err     error

	mu        sync.Mutex
	listeners map[int]func(cri.ImageProgress) // guarded by mu
	last      cri.ImageProgress               // guarded by mu
	next      int                             // guarded by mu
}

// tell passes progress on to all callers.
func (f *flight) tell(p cri.ImageProgress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = p
	for _, l := range f.listeners {
		l(p)
	}
}

// listen adds a caller's function, which hears the latest progress at once, and
// returns what takes it away.
func (f *flight) listen(progress func(cri.ImageProgress)) (stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if progress == nil {
		return func() {}
	}
	id := f.next
	f.next++
	f.listeners[id] = progress
	if f.last.Stage != "" {
		progress(f.last)
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.listeners, id)
	}
}

func (fs *flights) do(ctx context.Context, key string, progress func(cri.ImageProgress), work func(context.Context, func(cri.ImageProgress)) (cri.Image, error)) (cri.Image, error) {
	fs.mu.Lock()
	f := fs.running[key]
	if f == nil {
		workCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f = &flight{done: make(chan struct{}), cancel: cancel, listeners: map[int]func(cri.ImageProgress){}}
		fs.running[key] = f
		go func() { // ends with the work, which the last caller's leaving cancels
			defer cancel()
			f.img, f.err = work(workCtx, f.tell)
			fs.mu.Lock()
			if fs.running[key] == f {
				delete(fs.running, key)
			}
			fs.mu.Unlock()
			close(f.done)
		}()
	}
	f.callers++
	fs.mu.Unlock()
	stop := f.listen(progress)
	defer stop()
	select {
	case <-f.done:
		return f.img, f.err
	case <-ctx.Done():
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.callers--; f.callers == 0 {
		f.cancel()
		if fs.running[key] == f { // a new caller begins anew
			delete(fs.running, key)
		}
	}
	return cri.Image{}, context.Cause(ctx)
}
