package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/seed38700745/pkg/cluster/api/wire"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/store"
)

// modified is Kubernetes' wording for a lost race.
const modified = "the object has been modified; please apply your changes to the latest version and try again"

// storeError turns an error of the store into the API's.
func storeError(err error, r object.Resource, name string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return apierrors.NewNotFound(r, name)
	case errors.Is(err, store.ErrExists):
		return apierrors.NewAlreadyExists(r, name)
	case errors.Is(err, store.ErrConflict):
		return apierrors.NewConflict(r, name, errors.New(modified))
	case errors.Is(err, store.ErrExpired):
		return apierrors.NewResourceExpired("The resourceVersion for the provided watch is too old.")
	case errors.Is(err, store.ErrFull), errors.Is(err, store.ErrBroken):
		return apierrors.NewInternalError(fmt.Errorf("cannot store %s %q: %w", r, name, err))
	case errors.Is(err, store.ErrClosed):
		return apierrors.NewServiceUnavailable("the server is shutting down")
	case errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewTimeoutError("the server did not get to the request in time", 1)
	case errors.Is(err, context.Canceled):
		return err
	}
	return apierrors.NewInternalError(err)
}

// notServed is the answer for a resource that does not exist.
func notServed() error {
	return apierrors.NewGenericServerResponse(404, "", schema.GroupResource{}, "", "404 page not found", 0, true)
}

// asStatus returns err if it is the API's, else an internal error around it.
func asStatus(err error) error {
	st := apierrors.APIStatus(nil)
	if err == nil || errors.As(err, &st) || errors.Is(err, context.Canceled) {
		return err
	}
	return apierrors.NewInternalError(err)
}

// unsupportedMedia is a 415.
func unsupportedMedia(message string, supported []string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: message + strings.Join(supported, ", "),
	}}
}

// notAcceptable is a 406.
func notAcceptable() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable,
		Message: "only the following media types are accepted: " + strings.Join(wire.Supported(), ", "),
	}}
}

// WriteError answers a request to one of Config.Paths with an error, as a Status.
func WriteError(w http.ResponseWriter, err error) {
	status := statusOf(err)
	w.Header().Set("Content-Type", wire.JSON.ContentType())
	w.WriteHeader(int(status.Code))
	_ = wire.Encode(w, wire.JSON, false, &status) // a Status always encodes
}
