package pki

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
)

// Server is the API server's configuration. Client certificates are optional;
// one that is shown must be of this authority, so that whoever finds one in
// the connection's state can believe it.
func (p *PKI) Server() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		ClientAuth:     tls.VerifyClientCertIfGiven,
		ClientCAs:      p.pool,
		GetCertificate: p.serve(apiserverFile),
	}
}

// KubeletServer is the configuration of the node's HTTPS API. It lets in only
// the API server's kubelet client and members of system:masters.
func (p *PKI) KubeletServer() *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS12,
		NextProtos:       []string{"http/1.1"}, // streams are upgraded connections
		ClientAuth:       tls.RequireAndVerifyClientCert,
		ClientCAs:        p.pool,
		GetCertificate:   p.serve(kubeletFile),
		VerifyConnection: onlyMasters,
	}
}

// KubeletClient is what the API server uses to reach a node's HTTPS API. The
// caller sets ServerName to the node's name.
func (p *PKI) KubeletClient() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    p.pool,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c, err := p.current(kubeletClientFile)
			if err != nil {
				return nil, err
			}
			return c.tls(), nil
		},
	}
}

// AdminClient is for the cluster's own HTTPS clients of its API.
func (p *PKI) AdminClient() *tls.Config {
	c := p.KubeletClient()
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		a, err := p.current(adminFile)
		if err != nil {
			return nil, err
		}
		return a.tls(), nil
	}
	return c
}

// serve returns a leaf's GetCertificate, which renews it when it must.
func (p *PKI) serve(file string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		c, err := p.current(file)
		if err != nil {
			return nil, err
		}
		return c.tls(), nil
	}
}

// onlyMasters refuses certificates of this authority that belong to others.
func onlyMasters(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("a client certificate is required")
	}
	subject := s.PeerCertificates[0].Subject
	if subject.CommonName != kubeletClientName && !slices.Contains(subject.Organization, mastersGroup) {
		return fmt.Errorf("client %q may not use the node's API", subject.CommonName)
	}
	return nil
}
