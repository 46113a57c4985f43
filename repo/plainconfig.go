package repo

import (
	"time"

	"github.com/seed38700745/pkg/chart/plain"
)

// plainConfig reads a repositories.yaml as Helm and pkg write it. It is false for every
// other one, which the full parser reads: that takes ten times as long when it is called
// for the first time, and every use of repository/chart reads the file.
func plainConfig(text string) (*Config, bool) {
	values, ok := plain.Values(text)
	if !ok {
		return nil, false
	}
	c := &Config{}
	for key, v := range values {
		switch key {
		case "apiVersion":
			c.APIVersion, ok = v.(string)
		case "generated":
			c.Generated, ok = plainTime(v)
		case "repositories":
			c.Repositories, ok = plainRepositories(v)
		default:
			ok = false
		}
		if !ok {
			return nil, false
		}
	}
	return c, true
}

func plainTime(v any) (t time.Time, ok bool) {
	text, ok := v.(string)
	return t, ok && t.UnmarshalText([]byte(text)) == nil
}

func plainRepositories(v any) ([]*Repository, bool) {
	list, ok := v.([]any)
	if !ok {
		return nil, false
	}
	out := make([]*Repository, len(list))
	for i, v := range list {
		values, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		out[i] = &Repository{}
		for key, v := range values {
			if !out[i].set(key, v) {
				return nil, false
			}
		}
	}
	return out, true
}

// set sets the field with a key of the file; false if there is none of this type.
func (r *Repository) set(key string, v any) (ok bool) {
	switch key {
	case "name":
		r.Name, ok = v.(string)
	case "url":
		r.URL, ok = v.(string)
	case "username":
		r.Username, ok = v.(string)
	case "password":
		r.Password, ok = v.(string)
	case "token":
		r.Token, ok = v.(string)
	case "certFile":
		r.CertFile, ok = v.(string)
	case "keyFile":
		r.KeyFile, ok = v.(string)
	case "caFile":
		r.CAFile, ok = v.(string)
	case "insecure_skip_tls_verify":
		r.InsecureSkipTLSVerify, ok = v.(bool)
	case "pass_credentials_all":
		r.PassCredentialsAll, ok = v.(bool)
	case "plain_http":
		r.PlainHTTP, ok = v.(bool)
	}
	return ok
}
