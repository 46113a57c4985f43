package repo

import "net/url"

// Access is how a server is reached.
type Access struct {
	Username, Password    string
	Token                 string // sent as a bearer token, instead of user and password
	CertFile, KeyFile     string
	CAFile                string
	InsecureSkipTLSVerify bool
	PassCredentialsAll    bool // also to hosts other than the repository's
	PlainHTTP             bool // registries without TLS
}

// or completes the access with the credentials and files of another one. Where
// credentials may go is said with them: as in Helm, --pass-credentials means those of
// the command line.
func (a Access) or(other Access) Access {
	if a.Token == "" && (a.Username == "" || a.Password == "") {
		a.Username, a.Password, a.Token = other.Username, other.Password, other.Token
		a.PassCredentialsAll = a.PassCredentialsAll || other.PassCredentialsAll
	}
	if a.CertFile == "" && a.KeyFile == "" {
		a.CertFile, a.KeyFile = other.CertFile, other.KeyFile
	}
	if a.CAFile == "" {
		a.CAFile = other.CAFile
	}
	a.InsecureSkipTLSVerify = a.InsecureSkipTLSVerify || other.InsecureSkipTLSVerify
	a.PlainHTTP = a.PlainHTTP || other.PlainHTTP
	return a
}

// forTarget drops the credentials unless target has the scheme, host and port of the
// repository, or they may go everywhere (Helm's rule).
func (a Access) forTarget(base, target string) Access {
	if !a.PassCredentialsAll && !sameHost(base, target) {
		a.Username, a.Password, a.Token = "", "", ""
	}
	return a
}

// OfflineError says what would have to be fetched while that is not allowed.
type OfflineError struct {
	What string // "chart foo/web 1.0.0"
	Next string // the command that fetches it; "" for the same one
}

func (e *OfflineError) Error() string { return "offline: " + e.What + " is not cached" }

// Hint returns the command to try next.
func (e *OfflineError) Hint() string {
	if e.Next == "" {
		return "run it once without --offline"
	}
	return "with a network, run: " + e.Next
}

// redacted is a URL for people to see.
func redacted(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return target
	}
	return u.Redacted()
}
