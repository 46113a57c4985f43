package kubelet

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// maxErrorBody bounds what is read of an agent's error message.
const maxErrorBody = 50 << 10

// log serves pods/log: the agent's /containerLogs, each piece as it comes.
func (s *Server) log(w http.ResponseWriter, r *http.Request, t Target) error {
	o, err := parseLogOptions(t.Name, r.URL.Query())
	if err != nil {
		return err
	}
	pod, container, err := s.pod(r.Context(), t, o.Container)
	if err != nil {
		return err
	}
	if pod.Spec.NodeName == "" { // nothing has run yet: an empty log, as in Kubernetes
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusOK)
		return nil
	}
	path := "/containerLogs/" + pod.Namespace + "/" + pod.Name + "/" + container
	out, err := http.NewRequestWithContext(r.Context(), http.MethodGet, nodeURL(pod.Spec.NodeName, path, logQuery(o)).String(), nil)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	resp, err := s.nodes.RoundTrip(out)
	if err != nil {
		return unreachable(pod.Spec.NodeName, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return agentError(resp, pod.Name)
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	flush.Flush() // a follower learns at once that it is connected
	buffer := make([]byte, 32<<10)
	for {
		n, err := resp.Body.Read(buffer)
		if n > 0 {
			if _, werr := w.Write(buffer[:n]); werr != nil {
				return nil // the client went away
			}
			flush.Flush()
		}
		if err != nil { // the end, or a cut that only a shorter log can show
			return nil
		}
	}
}

// agentError turns an agent's answer into the API's error.
func agentError(resp *http.Response, pod string) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	message := strings.TrimSpace(string(body))
	switch resp.StatusCode {
	case http.StatusBadRequest:
		return apierrors.NewBadRequest(message)
	case http.StatusInternalServerError:
		return apierrors.NewInternalError(fmt.Errorf("%s", message))
	}
	return apierrors.NewGenericServerResponse(resp.StatusCode, "get", builtin.Pods.Resource, pod, message, 0, true)
}

// parseLogOptions reads the query of pods/log. Errors: BadRequest, Invalid.
func parseLogOptions(pod string, q url.Values) (*corev1.PodLogOptions, error) {
	p := logParser{query: q}
	o := &corev1.PodLogOptions{
		Container:    q.Get("container"),
		Follow:       p.flag("follow"),
		Previous:     p.flag("previous"),
		Timestamps:   p.flag("timestamps"),
		SinceSeconds: p.number("sinceSeconds"),
		TailLines:    p.number("tailLines"),
		LimitBytes:   p.number("limitBytes"),
	}
	if text := q.Get("sinceTime"); text != "" {
		at, err := time.Parse(time.RFC3339, text)
		p.note("sinceTime", err)
		since := metav1.NewTime(at)
		o.SinceTime = &since
	}
	if text := q.Get("stream"); text != "" {
		o.Stream = &text
	}
	if p.err != nil {
		return nil, p.err
	}
	if errs := validateLogOptions(o); len(errs) > 0 {
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("PodLogOptions").GroupKind(), pod, errs)
	}
	return o, nil
}

// logParser reads parameters and keeps the first error.
type logParser struct {
	query url.Values
	err   error
}

func (p *logParser) note(name string, err error) {
	if err != nil && p.err == nil {
		p.err = apierrors.NewBadRequest(fmt.Sprintf("parameter %s: %v", name, err))
	}
}

// flag reads a boolean; like Kubernetes' decoder, anything but false and 0 is true.
func (p *logParser) flag(name string) bool {
	if !p.query.Has(name) {
		return false
	}
	text := p.query.Get(name)
	return !strings.EqualFold(text, "false") && text != "0"
}

func (p *logParser) number(name string) *int64 {
	text := p.query.Get(name)
	if text == "" {
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	p.note(name, err)
	return &n
}

// validateLogOptions has Kubernetes' rules and wording.
func validateLogOptions(o *corev1.PodLogOptions) field.ErrorList {
	var errs field.ErrorList
	if o.TailLines != nil && *o.TailLines < 0 {
		errs = append(errs, field.Invalid(field.NewPath("tailLines"), *o.TailLines, "must be greater than or equal to 0"))
	}
	if o.LimitBytes != nil && *o.LimitBytes < 1 {
		errs = append(errs, field.Invalid(field.NewPath("limitBytes"), *o.LimitBytes, "must be greater than 0"))
	}
	switch {
	case o.SinceSeconds != nil && o.SinceTime != nil:
		errs = append(errs, field.Forbidden(field.NewPath(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
	case o.SinceSeconds != nil && *o.SinceSeconds < 1:
		errs = append(errs, field.Invalid(field.NewPath("sinceSeconds"), *o.SinceSeconds, "must be greater than 0"))
	}
	if o.Stream != nil {
		switch *o.Stream {
		case corev1.LogStreamAll, corev1.LogStreamStdout, corev1.LogStreamStderr:
			if *o.Stream != corev1.LogStreamAll && o.TailLines != nil {
				errs = append(errs, field.Forbidden(field.NewPath(""), "`tailLines` and specific `stream` are mutually exclusive for now"))
			}
		default:
			errs = append(errs, field.NotSupported(field.NewPath("stream"), *o.Stream,
				[]string{corev1.LogStreamAll, corev1.LogStreamStdout, corev1.LogStreamStderr}))
		}
	}
	return errs
}

// logQuery is the query of the kubelet's /containerLogs.
func logQuery(o *corev1.PodLogOptions) url.Values {
	q := url.Values{}
	for name, set := range map[string]bool{"follow": o.Follow, "previous": o.Previous, "timestamps": o.Timestamps} {
		if set {
			q.Set(name, "true")
		}
	}
	for name, n := range map[string]*int64{"sinceSeconds": o.SinceSeconds, "tailLines": o.TailLines, "limitBytes": o.LimitBytes} {
		if n != nil {
			q.Set(name, strconv.FormatInt(*n, 10))
		}
	}
	if o.SinceTime != nil {
		q.Set("sinceTime", o.SinceTime.Format(time.RFC3339Nano))
	}
	if o.Stream != nil {
		q.Set("stream", *o.Stream)
	}
	return q
}
