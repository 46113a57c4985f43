package page

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/seed38700745/pkg/repo/server/depot"
	"github.com/seed38700745/pkg/repo/server/page/images"
)

// imageList is what is known of a version's images.
type imageList struct {
	images.List
	Problem string // why values.yaml had to be asked; "" when the manifests were
}

// imagesView is the page of a version's images.
type imagesView struct {
	*chartView
	Images *imageList // nil while they are being found
}

func (p *Page) serveImages(w http.ResponseWriter, r *http.Request, v *chartView) {
	view := &imagesView{v, p.images(r.Context(), v.Tenant, v.Entry, patience)}
	v.Refresh = view.Images == nil
	p.writeChart(w, r, v, "images.html", view)
}

// maxWaiting bounds the charts that wait for being rendered, as when somebody reads
// all pages one after the other.
const maxWaiting = 16

// maxNever bounds the charts that may have left a goroutine behind. From then on no
// chart is rendered any more.
const maxNever = 4

var errNotRendered = errors.New("rendering it takes too long")

// images finds a version's images, or returns nil when that takes longer than it may
// be waited for: the next request may find them.
func (p *Page) images(ctx context.Context, tenant string, e *depot.Entry, wait time.Duration) *imageList {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	key := "images " + tenant + " " + e.Digest
	if p.waiting.Load() >= maxWaiting && !p.keep.has(key) {
		return nil
	}
	list, err := get(ctx, p.keep, key, func() (*imageList, int, error) {
		p.waiting.Add(1)
		defer p.waiting.Add(-1)
		p.render <- struct{}{} // released when the rendering, which is limited in time, ends
		defer func() { <-p.render }()
		return p.findImages(tenant, e)
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return nil
	case err != nil:
		return &imageList{Problem: "the chart cannot be read"}
	}
	return list
}

func (p *Page) findImages(tenant string, e *depot.Entry) (*imageList, int, error) {
	c, err := p.config.Charts.Load(tenant, e)
	if err != nil {
		return &imageList{Problem: err.Error()}, len(err.Error()), nil
	}
	p.mu.Lock()
	never := p.never[e.Digest] || len(p.never) >= maxNever
	p.mu.Unlock()
	l := &imageList{}
	if never {
		l.List = images.Guess(c, errNotRendered)
	} else {
		var stopped bool
		if l.List, stopped = images.Of(context.Background(), c, images.Limits()); stopped {
			p.mu.Lock()
			p.never[e.Digest] = true
			p.mu.Unlock()
		}
	}
	if l.Guessed != nil {
		const longest = 600 // bytes
		l.Problem = l.Guessed.Error()
		l.Problem = l.Problem[:min(longest, len(l.Problem))]
	}
	size := len(l.Problem)
	for _, i := range l.Images {
		const each = 100 // bytes besides the texts
		size += len(i.Name) + each*(1+len(i.Users))
	}
	return l, size, nil
}
