package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/seed38700745/pkg/cluster/object"
)

// LogOptions choose the part of a container's log.
type LogOptions struct {
	Container string // "" for the only one
	Follow    bool   // go on until the container ends
	Previous  bool   // of the instance before the last restart
	Tail      int64  // last lines; 0 for all
}

// Logs streams the log of a container. Errors: NotFound, BadRequest (the
// container has not started).
func (c *Client) Logs(ctx context.Context, pod object.Key, o LogOptions) (io.ReadCloser, error) {
	q := url.Values{}
	set(q, "container", o.Container)
	set(q, "tailLines", strconv.FormatInt(o.Tail, 10))
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
