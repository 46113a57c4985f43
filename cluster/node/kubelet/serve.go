package kubelet

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"
)

// mastersGroup is Kubernetes' group of those who may do anything.
const mastersGroup = "system:masters"

// Serve serves h on l with TLS until ctx ends. Clients need a certificate that
// the configuration's ClientCAs signed and whose common name is one of clients
// or which is a member of system:masters.
func Serve(ctx context.Context, l net.Listener, h http.Handler, c *tls.Config, clients []string) error {
	if c == nil || len(c.Certificates) == 0 && c.GetCertificate == nil || c.ClientCAs == nil {
		return errors.New("kubelet API: needs a certificate and the authorities of its clients")
	}
	c = c.Clone()
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.NextProtos = []string{"http/1.1"} // streams are upgrades, which HTTP/2 does not have
	s := &http.Server{
		Handler:           allow(h, clients),
		TLSConfig:         c,
		ReadHeaderTimeout: 30 * time.Second,
	}
	stop := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if s.Shutdown(end) != nil {
			s.Close() // long streams are cut
		}
	})
	defer stop()
	if err := s.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// allow lets only certain certificates through.
func allow(h http.Handler, clients []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		who := r.TLS.PeerCertificates[0].Subject
		if !slices.Contains(clients, who.CommonName) && !slices.Contains(who.Organization, mastersGroup) {
			http.Error(w, "Forbidden (user="+who.CommonName+")", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}
