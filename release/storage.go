package release

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/object"
)

// Helm's storage: Secret sh.helm.release.v1.NAME.vN of type helm.sh/release.v1,
// whose key "release" holds base64(gzip(JSON)) below the API's own base64.
const (
	secretPrefix = "sh.helm.release.v1."
	secretType   = "helm.sh/release.v1"
	secretKey    = "release"
	secretOwner  = "helm"
)

// systemLabels are those of every Secret; all others are the user's.
func systemLabels() []string {
	return []string{"name", "owner", "status", "version", "createdAt", "modifiedAt"}
}

// checkLabels refuses labels that belong to the record itself (Helm's words).
func checkLabels(labels map[string]string) error {
	for k := range labels {
		if slices.Contains(systemLabels(), k) {
			return fmt.Errorf("user supplied labels contains system reserved label name. System labels: %+v", systemLabels())
		}
	}
	return nil
}

// holderAnnotation of a pending revision's Secret names who works on it, for the
// case that the Lease is gone.
const holderAnnotation = "pkg.internal/holder"

// secretMeta is what a stored revision's Secret says besides the release.
type secretMeta struct {
	written time.Time // of its last write, by its labels
	holder  string    // holderAnnotation
	parts   parts     // zero if everything is in it
	outline bool      // the rest was not read
}

// storage reads and writes the revisions of one namespace ("" to list in all).
type storage struct {
	cluster   Cluster
	namespace string
	now       func() time.Time
}

func secretName(name string, revision int) string {
	return fmt.Sprintf("%s%s.v%d", secretPrefix, name, revision)
}

// history returns all revisions of a release, oldest first. Of those before the last
// one that worked, and is not deployed, nothing is read but what labels and annotations
// say: see whole. A revision that cannot be decoded is left out, as helm does. Errors:
// NotFoundError.
func (s storage) history(ctx context.Context, name string) ([]*Release, error) {
	all, err := s.outline(ctx, name)
	if err != nil {
		return nil, err
	}
	var out []*Release
	needed := true
	for _, r := range slices.Backward(all) {
		if needed || r.Info.Status == StatusDeployed {
			whole, err := s.whole(ctx, r)
			var gone *NotFoundError
			if errors.Is(err, errUnreadable) || errors.As(err, &gone) {
				continue
			}
			if err != nil {
				return nil, err
			}
			r = whole
		}
		needed = needed && !worked(r.Info.Status)
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, &NotFoundError{Name: name, Namespace: s.namespace}
	}
	slices.Reverse(out)
	return out, nil
}

// outline returns all revisions of a release, oldest first, with what their Secrets'
// metadata says. Errors: NotFoundError.
func (s storage) outline(ctx context.Context, name string) ([]*Release, error) {
	l, err := s.cluster.Metadata(ctx, secrets(), object.ListOptions{
		Namespace: s.namespace, Labels: labels.Set{"owner": secretOwner, "name": name}.AsSelector(),
	})
	if err != nil {
		return nil, fmt.Errorf("read release %s: %w", name, err)
	}
	var out []*Release
	for _, o := range l.Items {
		revision, err := strconv.Atoi(o.GetLabels()["version"])
		if err != nil || o.GetName() != secretName(name, revision) {
			continue
		}
		r := &Release{Name: name, Namespace: o.GetNamespace(), Revision: revision, Info: &Info{Status: Status(o.GetLabels()["status"])}}
		r.readMeta(o)
		r.stored.outline = true
		if r.stored.parts, err = partsOf(o); err != nil {
			continue
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, &NotFoundError{Name: name, Namespace: s.namespace}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Revision < out[j].Revision })
	return out, nil
}

// whole reads what history has left out of a revision. Errors: NotFoundError,
// errUnreadable.
func (s storage) whole(ctx context.Context, r *Release) (*Release, error) {
	if !r.stored.outline {
		return r, nil
	}
	return s.get(ctx, r.Name, r.Revision)
}

// errUnreadable says that a stored revision cannot be decoded.
var errUnreadable = errors.New("unreadable record")

// revisions returns all revisions of a release, oldest first, read whole. Errors:
// NotFoundError.
func (s storage) revisions(ctx context.Context, name string) ([]*Release, error) {
	all, err := s.list(ctx, labels.Set{"owner": secretOwner, "name": name}.AsSelector())
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, &NotFoundError{Name: name, Namespace: s.namespace}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Revision < all[j].Revision })
	return all, nil
}

// list returns the revisions whose Secrets fit. One that cannot be decoded is
// left out, as helm does.
func (s storage) list(ctx context.Context, which labels.Selector) ([]*Release, error) {
	l, err := s.cluster.List(ctx, secrets(), object.ListOptions{Namespace: s.namespace, Labels: which})
	if err != nil {
		return nil, fmt.Errorf("read releases: %w", err)
	}
	var out []*Release
	for _, o := range l.Items {
		if r, err := s.read(ctx, o); err == nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// get returns one revision. Errors: NotFoundError, errUnreadable.
func (s storage) get(ctx context.Context, name string, revision int) (*Release, error) {
	o, err := s.cluster.Get(ctx, secrets(), object.Key{Namespace: s.namespace, Name: secretName(name, revision)})
	if apierrors.IsNotFound(err) {
		return nil, &NotFoundError{Name: name, Namespace: s.namespace, Revision: revision}
	}
	if err != nil {
		return nil, fmt.Errorf("read release %s: %w", name, err)
	}
	r, err := s.read(ctx, o)
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return r, err
}

// create stores a new revision. holder, if any, is noted beside it.
func (s storage) create(ctx context.Context, r *Release, holder string) error {
	return s.write(ctx, r, "createdAt", holder, s.cluster.Create)
}

// update replaces a stored revision.
func (s storage) update(ctx context.Context, r *Release, holder string) error {
	return s.write(ctx, r, "modifiedAt", holder, s.cluster.Update)
}

// write stores a revision by Create or Update: parts that do not fit first, so that
// the Secret never names what is not there, then the Secret, and at the end what it
// has replaced is removed.
func (s storage) write(ctx context.Context, r *Release, stamp, holder string,
	write func(context.Context, object.Resource, object.Object, object.WriteOptions) (object.Object, error)) error {
	err := func() error {
		if r.stored.outline {
			return errors.New("it was not read whole")
		}
		text, err := encode(r)
		if err != nil {
			return err
		}
		head, rest, p := split(text)
		if err := s.writeParts(ctx, r, p, rest); err != nil {
			return err
		}
		o, err := s.toSecret(r, head, p, stamp, holder)
		if err != nil {
			return err
		}
		if _, err := write(ctx, secrets(), o, object.WriteOptions{FieldManager: fieldManager, Brief: true}); err != nil {
			return err
		}
		before := r.stored.parts
		r.stored.parts = p
		if before == p && p.count == 0 {
			return nil
		}
		return s.sweep(ctx, r, p)
	}()
	if err != nil {
		return fmt.Errorf("record revision %d of release %s: %w", r.Revision, r.Name, err)
	}
	return nil
}

// remove deletes a stored revision; one that is gone already is no error.
func (s storage) remove(ctx context.Context, r *Release) error {
	_, err := s.cluster.Delete(ctx, secrets(), object.Key{Namespace: s.namespace, Name: secretName(r.Name, r.Revision)}, object.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove revision %d of release %s: %w", r.Revision, r.Name, err)
	}
	if r.stored.parts.count == 0 {
		return nil
	}
	return s.sweep(ctx, r, parts{})
}

// prune removes the oldest revisions until at most limit are left; see surplus.
func (s storage) prune(ctx context.Context, history []*Release, limit int) error {
	var errs []error
	for _, r := range surplus(history, limit) {
		errs = append(errs, s.remove(ctx, r))
	}
	return errors.Join(errs...)
}

// surplus are the oldest revisions of a history beyond limit (negative: no limit),
// the last deployed one never among them.
func surplus(history []*Release, limit int) (out []*Release) {
	if limit < 0 {
		return nil
	}
	kept := lastDeployed(history)
	for _, r := range history {
		if len(history)-len(out) <= limit {
			break
		}
		if r != kept {
			out = append(out, r)
		}
	}
	return out
}

// lastDeployed returns the newest deployed revision of a history, or nil.
func lastDeployed(history []*Release) *Release {
	for _, r := range slices.Backward(history) {
		if r.Info.Status == StatusDeployed {
			return r
		}
	}
	return nil
}

// toSecret makes the Secret of a revision, whose first piece of text is head.
func (s storage) toSecret(r *Release, head string, p parts, stamp, holder string) (object.Object, error) {
	summary, err := summarize(r)
	if err != nil {
		return nil, err
	}
	marks := map[string]any{}
	for k, v := range r.Labels {
		if !slices.Contains(systemLabels(), k) {
			marks[k] = v
		}
	}
	marks["name"], marks["owner"] = r.Name, secretOwner
	marks["status"], marks["version"] = string(r.Info.Status), strconv.Itoa(r.Revision)
	marks[stamp] = strconv.FormatInt(s.now().Unix(), 10)
	meta := map[string]any{"name": secretName(r.Name, r.Revision), "namespace": s.namespace, "labels": marks}
	notes := map[string]any{summaryAnnotation: summary}
	if holder != "" {
		notes[holderAnnotation] = holder
	}
	if keep := object.KeepImages(r.needs()); keep != "" {
		notes[object.ImagesAnnotation] = keep
	}
	if p.count > 0 {
		notes[partsAnnotation] = p.String()
	}
	meta["annotations"] = notes
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": secretType, "metadata": meta,
		"data": map[string]any{secretKey: base64.StdEncoding.EncodeToString([]byte(head))},
	}}, nil
}

// read decodes a revision's Secret, fetching the parts that did not fit into it.
func (s storage) read(ctx context.Context, o object.Object) (*Release, error) {
	text, err := secretData(o)
	if err != nil {
		return nil, err
	}
	p, err := partsOf(o)
	if err == nil && p.count > 0 {
		text, err = s.join(ctx, o, text, p)
	}
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", object.KeyOf(o), err)
	}
	r, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", object.KeyOf(o), err)
	}
	r.readMeta(o)
	r.stored.parts = p
	return r, nil
}

// secretData is what a Secret has under secretKey.
func secretData(o object.Object) (string, error) {
	u, err := asUnstructured(o)
	if err != nil {
		return "", err
	}
	text, _, err := unstructured.NestedString(u.Object, "data", secretKey)
	if err != nil {
		return "", fmt.Errorf("secret %s: %w", object.KeyOf(o), err)
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("secret %s: %w", object.KeyOf(o), err)
	}
	return string(data), nil
}

// readMeta takes over what labels and annotations of the Secret say.
func (r *Release) readMeta(o object.Object) {
	marks := o.GetLabels()
	for _, stamp := range []string{"modifiedAt", "createdAt"} {
		if sec, err := strconv.ParseInt(marks[stamp], 10, 64); err == nil {
			r.stored.written = time.Unix(sec, 0)
			break
		}
	}
	r.stored.holder = o.GetAnnotations()[holderAnnotation]
	for k, v := range marks {
		if slices.Contains(systemLabels(), k) {
			continue
		}
		if r.Labels == nil {
			r.Labels = map[string]string{}
		}
		r.Labels[k] = v
	}
}
