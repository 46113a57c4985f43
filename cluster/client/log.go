package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/seed38700745/pkg/cluster/object"
)

// LogOptions choose the part of a container's log.
type LogOptions struct {
	Container  string        // "" for the only one
	Follow     bool          // go on until the container ends
	Previous   bool          // of the instance before the last restart
	Timestamps bool          // before each line
	Since      time.Duration // only younger lines, if not 0; rounded up to seconds
	Tail       *int64        // last lines; nil for all
}

// Logs streams the log of a container. Errors: NotFound, BadRequest (the
// container has not started).
func (c *Client) Logs(ctx context.Context, pod object.Key, o LogOptions) (io.ReadCloser, error) {
	q := url.Values{}
	set(q, "container", o.Container)
	if o.Tail != nil {
		q.Set("tailLines", strconv.FormatInt(*o.Tail, 10))
	}
	if o.Since > 0 {
		q.Set("sinceSeconds", strconv.FormatInt(int64((o.Since+time.Second-1)/time.Second), 10))
	}
	if o.Timestamps {
		q.Set("timestamps", "true")
	}
	if o.Follow {
		q.Set("follow", "true")
	}
	if o.Previous {
		q.Set("previous", "true")
	}
	path := "/api/v1/namespaces/" + pod.Namespace + "/pods/" + escape(pod.Name) + "/log"
	return c.Stream(ctx, http.MethodGet, path, q, nil, "")
}

// Node sends a request to the agent of a node, through the API's proxy: path is
// below the agent's root.
func (c *Client) Node(ctx context.Context, node, method, path string, query url.Values, body io.Reader, contentType string) (io.ReadCloser, error) {
	return c.Stream(ctx, method, "/api/v1/nodes/"+escape(node)+"/proxy"+path, query, body, contentType)
}
