package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const (
	maxBody      = 10 << 10 // bytes of an answer that are read
	maxRedirects = 10
	userAgent    = "kube-probe/1.36"
)

// newHTTPClient returns a client that trusts any certificate, uses no proxy,
// keeps no connection and follows redirects on the same host only.
func newHTTPClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // as the kubelet: the pod's own certificate
			DisableKeepAlives: true,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if r.URL.Hostname() != via[0].URL.Hostname() {
				return http.ErrUseLastResponse
			}
			if len(via) >= maxRedirects {
				return errors.New("stopped after 10 redirects")
			}
			return nil
		},
	}
}

// get succeeds for a status of 200 to 399.
func (p *Prober) get(ctx context.Context, a *corev1.HTTPGetAction, t Target) (bool, string) {
	address, err := t.address(a.Host, a.Port)
	if err != nil {
		return false, err.Error()
	}
	u, err := url.Parse(a.Path)
	if err != nil {
		u = &url.URL{Path: a.Path}
	}
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path
	}
	u.Scheme, u.Host = "http", address
	if a.Scheme == corev1.URISchemeHTTPS {
		u.Scheme = "https"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return false, err.Error()
	}
	r.Header.Set("User-Agent", userAgent)
	r.Header.Set("Accept", "*/*")
	for _, h := range a.HTTPHeaders {
		if strings.EqualFold(h.Name, "Host") {
			r.Host = h.Value
		}
		if h.Value == "" && (strings.EqualFold(h.Name, "Accept") || strings.EqualFold(h.Name, "User-Agent")) {
			r.Header.Del(h.Name)
			continue
		}
		r.Header.Set(h.Name, h.Value)
	}
	answer, err := p.http.Do(r)
	if err != nil {
		return false, err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxBody)) // a message at best
	if answer.StatusCode >= 200 && answer.StatusCode < 400 {
		return true, string(body)
	}
	return false, fmt.Sprintf("HTTP probe failed with statuscode: %d", answer.StatusCode)
}
