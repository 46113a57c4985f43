package repo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// Limits of what is read from a server, in bytes.
const (
	maxIndexSize   = 256 << 20
	maxArchiveSize = 100 << 20
	maxFileSize    = 100 << 20
)

// requestTimeout bounds one request with its body.
const requestTimeout = 2 * time.Minute

// Access is how a server is reached.
type Access struct {
	Username, Password    string
	CertFile, KeyFile     string
	CAFile                string
	InsecureSkipTLSVerify bool
	PassCredentialsAll    bool // also to hosts other than the repository's
	PlainHTTP             bool // registries without TLS
}

func (a Access) client() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if a.CAFile != "" || a.CertFile != "" || a.InsecureSkipTLSVerify {
		conf := &tls.Config{InsecureSkipVerify: a.InsecureSkipTLSVerify} // the user asked for it
		if a.CertFile != "" {
			pair, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("client certificate: %w", err)
			}
			conf.Certificates = []tls.Certificate{pair}
		}
		if a.CAFile != "" {
			pem, err := os.ReadFile(a.CAFile)
			if err != nil {
				return nil, err
			}
			conf.RootCAs = x509.NewCertPool()
			if !conf.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("%s: no certificate in it", a.CAFile)
			}
		}
		transport.TLSClientConfig = conf
	}
	return &http.Client{Transport: transport, Timeout: requestTimeout}, nil
}

// Fetch reads a whole URL.
func (r *Resolver) Fetch(ctx context.Context, url string, access Access) ([]byte, error) {
	return r.fetch(ctx, url, access, maxFileSize)
}

func (r *Resolver) fetch(ctx context.Context, url string, access Access, limit int64) ([]byte, error) {
	client, err := access.client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if r.UserAgent != "" {
		req.Header.Set("User-Agent", r.UserAgent)
	}
	if access.Username != "" && access.Password != "" {
		req.SetBasicAuth(access.Username, access.Password)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, plainHTTPError(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("failed to fetch %s : %s", url, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", url, limit)
	}
	return data, nil
}

// plainHTTPError adds to a TLS error that the server speaks plain HTTP.
func plainHTTPError(err error) error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return fmt.Errorf("%w (the server speaks plain HTTP: use http:// in the URL)", err)
	}
	return err
}
