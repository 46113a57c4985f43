package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/api/wire"
	"github.com/seed38700745/pkg/cluster/kind"
	"github.com/seed38700745/pkg/cluster/object"
)

// Limits of requests (kube-apiserver's own).
const (
	maxBody        = 3 << 20
	requestTimeout = 60 * time.Second
)

// request is one HTTP request at work.
type request struct {
	*http.Request
	server *Server
	w      http.ResponseWriter
	route
	user   auth.User
	served kind.Served // of resource requests that are not virtual
	warned int         // bytes of warnings sent
	// missing: there is no such resource or path.
	missing bool
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{Request: r, server: s, w: w, route: parseRoute(r)}
	if s.Observe != nil {
		answer := &watched{ResponseWriter: w}
		q.w, w = answer, answer
		ended := s.Observe(q.observed())
		defer func() { ended(Outcome{Code: answer.code, Bytes: answer.bytes, Served: !q.missing}) }()
	}
	defer q.recover()
	w.Header().Set("Cache-Control", "no-cache, private")
	if err := q.serve(); err != nil {
		q.fail(err)
	}
}

// recover answers a panic without its details, which go to the log.
func (q *request) recover() {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	q.server.Logger.Error("panic in a request", "method", q.Method, "path", q.URL.Path, "panic", p, "stack", string(debug.Stack()))
	q.fail(apierrors.NewInternalError(errors.New("the server failed at this request; its log says why")))
}

// serve asks who and whether, then dispatches.
func (q *request) serve() error {
	if err := q.authenticate(); err != nil {
		return err
	}
	a := q.attributes(q.user, q.Request)
	allowed, reason, err := q.server.Authorize(q.Context(), a)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if !allowed {
		return auth.Forbidden(a, reason)
	}
	if !q.resource {
		return q.servePath()
	}
	return q.serveResource()
}

func (q *request) authenticate() error {
	q.user = auth.Anonymous()
	if f := q.server.Authenticate; f != nil {
		u, err := f(q.Request)
		if err != nil {
			q.server.Logger.Debug("authentication failed", "path", q.URL.Path, "error", err)
			return apierrors.NewUnauthorized("Unauthorized")
		}
		q.user = u
	}
	for name := range q.Header {
		if strings.HasPrefix(name, "Impersonate-") {
			if q.server.Impersonate == nil {
				return apierrors.NewBadRequest("impersonation is not possible here")
			}
			u, err := q.server.Impersonate(q.Context(), q.user, q.Header)
			if err != nil {
				return asStatus(err)
			}
			q.user = u
			return nil
		}
	}
	return nil
}

// serveResource dispatches requests about resources.
func (q *request) serveResource() error {
	s := q.server
	if v := s.virtual[q.gvr]; v != nil {
		return q.serveVirtual(v)
	}
	served, ok := s.Kinds.ForGVR(q.gvr)
	if !ok || (served.Kind.Namespaced && q.key.Namespace == "" && q.key.Name != "") {
		return notServed()
	}
	if !served.Kind.Namespaced {
		q.key.Namespace = ""
	}
	q.served = served
	if connect := s.Connect[q.gvr.Resource+"/"+q.sub]; connect != nil && q.sub != "" {
		return q.connect(connect)
	}
	if q.verb == "watch" {
		return q.watch()
	}
	return q.inTurn(func() error {
		switch q.verb {
		case "get":
			return q.get()
		case "list":
			return q.list()
		case "create":
			return q.create()
		case "update":
			return q.update()
		case "patch":
			return q.patch()
		case "delete":
			return q.delete()
		case "deletecollection":
			return q.deleteCollection()
		}
		return apierrors.NewMethodNotSupported(q.gvr.GroupResource(), q.verb)
	})
}

// inTurn runs work within the limits of time and of requests at once.
func (q *request) inTurn(work func() error) error {
	ctx, cancel := context.WithTimeout(q.Context(), requestTimeout)
	defer cancel()
	select {
	case q.server.slots <- struct{}{}:
	case <-ctx.Done():
		return apierrors.NewTimeoutError("the server did not get to the request in time", 1)
	}
	defer func() { <-q.server.slots }()
	q.Request = q.Request.WithContext(ctx)
	return work()
}

// connect hands the request to who serves the subresource.
func (q *request) connect(c Connector) error {
	gr, name := q.gvr.GroupResource(), q.key.Name
	key := q.key
	if q.sub == "proxy" { // "https:name:port"
		key.Name = proxiedName(name)
	}
	o, err := q.server.Store.Get(gr, key)
	if err != nil {
		return storeError(err, gr, key.Name)
	}
	return asStatus(c(q.w, q.Request, Target{Resource: gr, Subresource: q.sub, Object: o, Name: name, Path: q.rest, User: q.user}))
}

// proxiedName is the object's name in "[scheme:]name[:port]".
func proxiedName(s string) string {
	parts := strings.Split(s, ":")
	if len(parts) == 3 {
		return parts[1]
	}
	return parts[0]
}

// body reads the request's body.
func (q *request) body() ([]byte, error) {
	if q.ContentLength > maxBody {
		return nil, tooLarge()
	}
	size := q.ContentLength
	if size < 0 {
		size = 512
	}
	buf := make([]byte, 0, size+1)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := q.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > maxBody {
			return nil, tooLarge()
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, apierrors.NewBadRequest("the request's body ended early: " + err.Error())
		}
	}
}

func tooLarge() error {
	return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", maxBody))
}

// warn sends one Warning header (RFC 7234, section 5.5; k8s.io/apimachinery,
// util/net, NewWarningHeader), up to 4 KiB of them in all.
func (q *request) warn(text string) {
	const maxWarnings = 4096
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if q.warned += len(text); q.warned > maxWarnings {
		return
	}
	q.w.Header().Add("Warning", `299 - `+strconv.Quote(text))
}

// fail answers with an error.
func (q *request) fail(err error) {
	_, known := q.server.Kinds.ForGVR(q.gvr)
	q.missing = !known && q.server.virtual[q.gvr] == nil
	if errors.Is(err, context.Canceled) && q.Request.Context().Err() == context.Canceled {
		return // nobody is listening
	}
	status := statusOf(err)
	if status.Code == http.StatusUnauthorized {
		q.w.Header().Set("WWW-Authenticate", `Bearer realm="kubernetes"`)
	}
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		q.w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	a, ok := wire.Negotiate(q.Header.Get("Accept"), func(a wire.Accepted) bool { return true })
	if !ok {
		a = wire.Accepted{}
	}
	q.write(int(status.Code), wire.Accepted{Format: a.Format}, &status)
}

// statusOf turns any error into a Status.
func statusOf(err error) metav1.Status {
	api := apierrors.APIStatus(nil)
	if !errors.As(err, &api) {
		if errors.Is(err, context.DeadlineExceeded) {
			api = apierrors.NewTimeoutError("the request took too long", 1)
		} else {
			api = apierrors.NewInternalError(err)
		}
	}
	st := api.Status()
	st.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	if st.Code == 0 {
		st.Code = http.StatusInternalServerError
	}
	if st.Status == "" {
		st.Status = metav1.StatusFailure
	}
	return st
}

// accept negotiates the answer's form; transforms are those into Table and
// partial metadata.
func (q *request) accept(protobuf bool) (wire.Accepted, error) {
	a, ok := wire.Negotiate(q.Header.Get("Accept"), func(a wire.Accepted) bool {
		switch a.As {
		case "":
			return protobuf || a.Format != wire.Protobuf
		case "Table":
			return a.Group == metav1.GroupName && (a.Version == "v1" || a.Version == "v1beta1") && a.Format != wire.Protobuf
		case "PartialObjectMetadata", "PartialObjectMetadataList":
			return a.Group == metav1.GroupName && (a.Version == "v1" || a.Version == "v1beta1")
		}
		return false
	})
	if !ok {
		return a, notAcceptable()
	}
	a.Pretty = a.Pretty || q.pretty()
	return a, nil
}

// pretty: asked for, or a person with curl (apiserver: negotiation).
func (q *request) pretty() bool {
	if strings.Contains(q.URL.RawQuery, "pretty") {
		if v := q.URL.Query().Get("pretty"); v != "" {
			ok, _ := strconv.ParseBool(v)
			return ok
		}
	}
	agent := q.UserAgent()
	return strings.HasPrefix(agent, "curl") || strings.HasPrefix(agent, "Wget") || strings.HasPrefix(agent, "Mozilla/5.0")
}

// write answers with one object. What fails to encode is answered as an error.
func (q *request) write(code int, a wire.Accepted, o runtime.Object) {
	q.w.Header().Set("Content-Type", a.ContentType())
	out := q.respond(code)
	if err := wire.Encode(out, a.Format, a.Pretty, o); err != nil && !out.begun() {
		q.server.Logger.Error("encode an answer", "path", q.URL.Path, "error", err)
		st := statusOf(err)
		out = q.respond(http.StatusInternalServerError)
		q.w.Header().Set("Content-Type", wire.JSON.ContentType())
		_ = wire.Encode(out, wire.JSON, false, &st) // a Status always encodes
	}
	out.Close()
}

// methodNotAllowed is the answer for paths that know only GET.
func methodNotAllowed(method string) error {
	return apierrors.NewGenericServerResponse(http.StatusMethodNotAllowed, method, schema.GroupResource{}, "", "", 0, true)
}

// writeOptions reads the options that all writes share.
func (q *request) writeOptions(dryRun []string, manager, validation string) (object.WriteOptions, error) {
	w := object.WriteOptions{FieldManager: manager, FieldValidation: validation, Warn: q.warn, Subresource: q.sub}
	if w.FieldValidation == "" {
		w.FieldValidation = metav1.FieldValidationWarn
	}
	switch w.FieldValidation {
	case metav1.FieldValidationIgnore, metav1.FieldValidationWarn, metav1.FieldValidationStrict:
	default:
		return w, apierrors.NewBadRequest(fmt.Sprintf("fieldValidation: Unsupported value: %q: supported values: \"Ignore\", \"Strict\", \"Warn\"", validation))
	}
	if len(manager) > maxManagerLength {
		return w, apierrors.NewInvalid(metav1.SchemeGroupVersion.WithKind("Options").GroupKind(), "", field.ErrorList{
			field.TooLong(field.NewPath("fieldManager"), manager, maxManagerLength)})
	}
	for _, d := range dryRun {
		if d != metav1.DryRunAll {
			return w, apierrors.NewBadRequest(fmt.Sprintf("dryRun: Unsupported value: %q: supported values: \"All\"", d))
		}
		w.DryRun = true
	}
	return w, nil
}

// maxManagerLength bounds names of managers (meta/v1/validation).
const maxManagerLength = 128

// manager is the field manager: as given, else the program in User-Agent.
func (q *request) manager(given string) string {
	if given != "" {
		return given
	}
	name, _, _ := strings.Cut(q.UserAgent(), "/")
	if len(name) > maxManagerLength {
		name = name[:maxManagerLength]
	}
	return name
}
