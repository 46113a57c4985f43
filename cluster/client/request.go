package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

const mediaJSON = "application/json"

// How often and how long a request waits when the server asks for it.
const (
	maxRetries    = 5
	maxRetryAfter = 30 * time.Second
)

// request is one HTTP request. Body, if any, is a slice so that it can be sent
// again.
type request struct {
	method      string
	path        string // below the server's base, escaped where needed
	query       url.Values
	body        []byte
	contentType string
	accept      string
	warn        func(string) // instead of the client's
	etag        string       // sent as If-None-Match
}

// send sends a request and returns the answer if it is below 400; its body is
// the caller's to close. Other answers become *apierrors.StatusError.
func (c *Client) send(ctx context.Context, q request) (*http.Response, error) {
	for try := 0; ; try++ {
		resp, err := c.sendOnce(ctx, q)
		if err == nil || try == maxRetries {
			return resp, err
		}
		wait, ok := apierrors.SuggestsClientDelay(err)
		if !ok {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(min(time.Duration(wait)*time.Second, maxRetryAfter)):
		}
	}
}

func (c *Client) sendOnce(ctx context.Context, q request) (*http.Response, error) {
	if c.limit != nil {
		if err := c.limit.Wait(ctx); err != nil {
			return nil, err
		}
	}
	var body io.Reader
	if q.body != nil {
		body = bytes.NewReader(q.body)
	}
	hr, err := c.newRequest(ctx, q, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(hr)
	if err != nil {
		return nil, c.unreachable(err)
	}
	c.warnings(resp, q.warn)
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, statusError(resp, q)
}

func (c *Client) newRequest(ctx context.Context, q request, body io.Reader) (*http.Request, error) {
	u := *c.base
	if strings.Contains(q.path, "%") {
		raw := u.EscapedPath() + q.path
		path, err := url.PathUnescape(raw)
		if err != nil {
			return nil, err
		}
		u.Path, u.RawPath = path, raw
	} else {
		u.Path += q.path
	}
	u.RawQuery = q.query.Encode()
	hr, err := http.NewRequestWithContext(ctx, q.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	hr.Header.Set("Accept", mediaJSON)
	if q.accept != "" {
		hr.Header.Set("Accept", q.accept)
	}
	if q.contentType != "" {
		hr.Header.Set("Content-Type", q.contentType)
	}
	if q.etag != "" {
		hr.Header.Set("If-None-Match", q.etag)
	}
	return hr, nil
}

// UnreachableError says that the server did not answer at all.
type UnreachableError struct {
	Server string
	Err    error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("the cluster at %s does not answer: %v", e.Server, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// Hint is the next step.
func (e *UnreachableError) Hint() string {
	return "pkg cluster start starts this machine's cluster; a command that changes a release can be repeated, and goes on"
}

// unreachable drops the method and URL that net/http puts before the cause.
func (c *Client) unreachable(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &UnreachableError{Server: c.base.String(), Err: err}
}

// warnings passes on the texts of Warning headers (RFC 7234, code 299).
func (c *Client) warnings(resp *http.Response, warn func(string)) {
	if warn == nil {
		warn = c.warn
	}
	found, _ := utilnet.ParseWarningHeaders(resp.Header["Warning"]) // malformed ones are left out
	for _, w := range found {
		if w.Code == 299 && w.Text != "" {
			warn(w.Text)
		}
	}
}

// maxErrorBody bounds what is read of an error's answer.
const maxErrorBody = 1 << 20

// statusError makes the server's Status an error; an answer of another kind, such
// as a proxy's, becomes one with the beginning of its text.
func statusError(resp *http.Response, q request) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return fmt.Errorf("%s %s: %s: %w", q.method, q.path, resp.Status, err)
	}
	var status metav1.Status
	if json.Unmarshal(data, &status) == nil && status.Kind == "Status" && status.Code != 0 {
		if status.Details == nil {
			status.Details = &metav1.StatusDetails{}
		}
		if after := retryAfter(resp); status.Details.RetryAfterSeconds == 0 && after > 0 {
			status.Details.RetryAfterSeconds = int32(after)
		}
		return &apierrors.StatusError{ErrStatus: status}
	}
	out := apierrors.NewGenericServerResponse(resp.StatusCode, q.method, schema.GroupResource{}, q.path, strings.TrimSpace(string(data)), retryAfter(resp), true)
	out.ErrStatus.Message = fmt.Sprintf("%s %s: %s: %s", q.method, q.path, resp.Status, firstLine(string(data)))
	return out
}

func retryAfter(resp *http.Response) int {
	n, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil {
		return 0
	}
	return n
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// getJSON decodes the answer to a GET.
func (c *Client) getJSON(ctx context.Context, path, accept string, into any) error {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: path, accept: accept})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("answer to GET %s: %w", path, err)
	}
	return nil
}

// Stream sends any request and returns the answer's body, for what is no object:
// logs, proxies, health. body is sent as it is and only once. Errors are those of
// the verbs.
func (c *Client) Stream(ctx context.Context, method, path string, query url.Values, body io.Reader, contentType string) (io.ReadCloser, error) {
	q := request{method: method, path: path, query: query, contentType: contentType, accept: "*/*"}
	hr, err := c.newRequest(ctx, q, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(hr)
	if err != nil {
		return nil, c.unreachable(err)
	}
	c.warnings(resp, nil)
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		return nil, statusError(resp, q)
	}
	return resp.Body, nil
}
