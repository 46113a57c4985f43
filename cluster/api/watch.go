package api

import (
	"bytes"
	"context"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/seed38700745/pkg/cluster/api/wire"
	"github.com/seed38700745/pkg/cluster/object"
)

// watch answers with a stream of events until the client leaves, the timeout
// passes or the server stops.
func (q *request) watch() error {
	lo, in, err := q.listOptions()
	if err != nil {
		return err
	}
	a, err := q.accept(wire.CanProtobuf(q.served.NewObject()))
	if err != nil {
		return err
	}
	if a.Format == wire.YAML || a.As == "PartialObjectMetadataList" {
		return notAcceptable()
	}
	o := object.WatchOptions{
		Namespace: lo.Namespace, Labels: lo.Labels, Fields: lo.Fields, ResourceVersion: in.ResourceVersion,
		AllowBookmarks: in.AllowWatchBookmarks, Timeout: watchTimeout(in),
		SendInitialEvents: in.SendInitialEvents != nil && *in.SendInitialEvents,
	}
	if in.SendInitialEvents != nil && !*in.SendInitialEvents && (o.ResourceVersion == "" || o.ResourceVersion == "0") {
		o.ResourceVersion = strconv.FormatInt(q.server.Store.Revision(), 10) // changes only
	}
	ctx, cancel := context.WithCancel(q.Context())
	defer cancel()
	st, err := q.server.openStream(ctx, q.gvr.GroupResource(), o)
	if err != nil && !apierrors.IsResourceExpired(err) {
		return err
	}
	expired := err // is told in the stream, as kube-apiserver does
	go func() {    // ends with ctx, when this function returns
		select {
		case <-q.server.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()

	contentType := a.ContentType()
	if a.Format != wire.JSON {
		contentType += ";stream=watch"
	}
	q.w.Header().Set("Content-Type", contentType)
	q.w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(q.w)
	_ = out.Flush()
	if err = expired; err == nil {
		err = q.sendEvents(ctx, st, a, out)
	}
	if err != nil {
		status := statusOf(err)
		if frame, err := wire.Frame(a.Format, watch.Error, &status); err == nil {
			_, _ = q.w.Write(frame)
			_ = out.Flush()
		}
	}
	return nil
}

// sendEvents sends a stream's events, batch by batch.
func (q *request) sendEvents(ctx context.Context, st *stream, a wire.Accepted, out *http.ResponseController) error {
	enc := eventEncoder{q: q, accepted: a, firstTable: true}
	var buf bytes.Buffer
	return st.run(ctx, func(batch []streamEvent) error {
		for _, e := range batch {
			frame, err := enc.frame(e)
			if err != nil {
				return err
			}
			buf.Write(frame)
			if buf.Len() >= 64<<10 {
				if _, err := buf.WriteTo(q.w); err != nil {
					return err
				}
			}
		}
		if _, err := buf.WriteTo(q.w); err != nil {
			return err
		}
		if buf.Cap() > 256<<10 { // after a burst of initial events
			buf = bytes.Buffer{}
		}
		return out.Flush()
	})
}

// eventEncoder turns the events of one watch into frames.
type eventEncoder struct {
	q          *request
	accepted   wire.Accepted
	firstTable bool // the next table is the first, and tells the columns
}

func (c *eventEncoder) frame(e streamEvent) ([]byte, error) {
	f := c.accepted.Format
	if c.accepted.Plain() && c.q.served.Alias == nil {
		if e.fresh {
			return c.q.server.frames.Frame(f, e.Type, e.Object)
		}
		return wire.Frame(f, e.Type, e.Object)
	}
	o, err := toServed(c.q.served, e.Object)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	var shown runtime.Object = o
	switch c.accepted.As {
	case "Table":
		t, err := c.q.table([]object.Object{o}, metav1.ListMeta{ResourceVersion: o.GetResourceVersion()}, c.accepted.Version)
		if err != nil {
			return nil, err
		}
		if !c.firstTable {
			t.ColumnDefinitions = nil
		}
		if e.Type == watch.Bookmark {
			t.Rows = bookmarkRow(o)
		}
		c.firstTable = false
		shown = t
	case "PartialObjectMetadata":
		shown = partial(o, c.accepted.Version)
	}
	return wire.Frame(f, e.Type, shown)
}

// bookmarkRow is a table's single row without cells that carries a bookmark's
// annotations.
func bookmarkRow(o object.Object) []metav1.TableRow {
	return []metav1.TableRow{{Cells: []any{}, Object: runtime.RawExtension{Object: partial(o, "v1")}}}
}
