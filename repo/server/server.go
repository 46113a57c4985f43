// Package server hosts charts and images: a Helm repository, ChartMuseum's API, an
// OCI registry and a page for people, over one folder.
//
//	/index.yaml  /charts/FILE            Helm's repository of the root tenant
//	/ORG/REPO/index.yaml  ...            that of the tenant ORG/REPO
//	/api/charts...  /api/ORG/REPO/...    ChartMuseum's API
//	/v2/...                              the registry: tenant/chart is the repository
//	/  /ORG/REPO/  /ORG/REPO/-/NAME/...  the page
//	/health /info /metrics /token
//
// What is stored where is said by package depot for charts and package registry
// for the rest. Who may do what is decided by package access, for each request,
// before anything else happens.
package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed38700745/pkg/chart/provenance"
	"github.com/seed38700745/pkg/repo/server/access"
	"github.com/seed38700745/pkg/repo/server/depot"
	"github.com/seed38700745/pkg/repo/server/page"
	"github.com/seed38700745/pkg/repo/server/registry"
)

// DefaultListen is an address that only this machine reaches.
const DefaultListen = "127.0.0.1:8879"

// Config is how a Server is opened. Data is required.
type Config struct {
	Data    string // folder of charts
	Listen  string // address; port 0 takes a free one; "" is DefaultListen
	Version string // of the program, for /info

	Charts depot.Config  // Dir and Log are set by Open
	Access access.Config // zero: everybody pulls, nobody pushes

	TLSCert, TLSKey string // PEM files
	TLSSelfMade     bool   // a certificate made at the first start, kept in the folder

	Keyring string // OpenPGP public keys whose signatures of charts the page calls verified

	Patience time.Duration // how long a client may move nothing; 0 is DefaultPatience
	Rate     float64       // requests a second from one address; 0 is no limit
	AuditLog string        // file that gets a JSON line for every write; "" is none
	Log      *slog.Logger
}

// Server is a folder that is open for hosting.
type Server struct {
	config   Config
	charts   *depot.Depot
	registry *registry.Registry
	page     *page.Page
	access   *access.Access
	limits   *access.Limiter
	audit    io.WriteCloser // nil without a file
	metrics  *metrics
	tls      *tls.Config // nil: plain HTTP
}

// Open opens the folder. Nothing listens yet.
func Open(c Config) (*Server, error) {
	c.Listen = cmp.Or(c.Listen, DefaultListen)
	c.Patience = cmp.Or(c.Patience, DefaultPatience)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{config: c, metrics: newMetrics(), limits: access.NewLimiter(c.Rate)}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open() error {
	c := s.config
	var err error
	if s.access, err = access.Open(c.Access); err != nil {
		return err
	}
	c.Charts.Dir = c.Data
	c.Charts.Log = func(msg string) { c.Log.Warn(msg) }
	if s.charts, err = depot.Open(c.Charts); err != nil {
		return err
	}
	if s.registry, err = registry.Open(s.charts.StatePath("registry"), s.charts, c.Log); err != nil {
		return err
	}
	pages := page.Config{Charts: s.charts, Cosigned: s.registry.Cosigned, Log: c.Log}
	if c.Keyring != "" {
		if pages.Keyring, err = provenance.ReadKeyring(c.Keyring); err != nil {
			return fmt.Errorf("keyring: %w", err)
		}
	}
	s.page = page.New(pages)
	if c.AuditLog != "" {
		if s.audit, err = os.OpenFile(c.AuditLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640); err != nil {
			return err
		}
	}
	s.tls, err = s.openTLS()
	return err
}

// Close closes the folder. Serve must have returned.
func (s *Server) Close() error {
	var errs []error
	if s.charts != nil {
		errs = append(errs, s.charts.Close())
	}
	if s.audit != nil {
		errs = append(errs, s.audit.Close())
	}
	return errors.Join(errs...)
}

// Listen takes the address, so that one that is taken is known at once.
func (s *Server) Listen() (net.Listener, error) {
	l, err := net.Listen("tcp", s.config.Listen)
	if err != nil {
		return nil, err
	}
	return listener{l.(*net.TCPListener), s.config.Patience}, nil
}

// Scheme is "http" or "https".
func (s *Server) Scheme() string {
	if s.tls != nil {
		return "https"
	}
	return "http"
}

// Times that a connection may take. Transfers have none of their own, but must go on:
// see conn and steadyBody.
const (
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	// ShutdownTime is what requests have that run when the server is to stop.
	ShutdownTime = 20 * time.Second
)

// Serve answers until ctx ends, then lets requests finish. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	web := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: 64 << 10,
		ConnContext: withConn, TLSConfig: s.tls,
		ErrorLog: slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.charts.Run(ctx) })
	group.Go(func() error { return s.registry.Run(ctx) })
	group.Go(func() error {
		serve := web.Serve
		if s.tls != nil { // with HTTP/2
			serve = func(l net.Listener) error { return web.ServeTLS(l, "", "") }
		}
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), ShutdownTime)
		defer cancel()
		if err := web.Shutdown(finish); err != nil {
			return web.Close()
		}
		return nil
	})
	return group.Wait()
}
