// Package access decides who may do what on a hosting server.
//
// Who asks is known by a password (bcrypt, from an htpasswd file that is read
// again when it changes) or by a bearer token (JWT, RS256 or ES256, as docker's
// token flow and ChartMuseum use them). What a user may do in which repository
// stands in a rules file; without one everybody may pull and every user of the
// htpasswd file may do everything. What a token may do stands in the token.
package access

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Right is something one can do with a repository.
type Right string

const (
	Pull   Right = "pull"
	Push   Right = "push"
	Delete Right = "delete"
)

// Rule gives rights. A rules file is a YAML list of them.
type Rule struct {
	// Who is a user, "*" for every user, or "anonymous".
	Who string `json:"who"`
	// Repository is a tenant such as "org/repo", a pattern such as "org/*", or
	// "**" for all. The tenant at the root is "".
	Repository string  `json:"repository"`
	Can        []Right `json:"can"`
}

const (
	anyUser   = "*"
	anonymous = "anonymous"
	anywhere  = "**"
)

// Config says where users, tokens and rules come from. The zero value lets
// everybody pull and nobody push.
type Config struct {
	Htpasswd string   // file of users with bcrypt hashes
	Rules    string   // file of rules
	Keys     []string // PEM files with public keys that sign tokens
	Realm    string   // URL of the token server; "" asks for passwords
	Service  string   // the audience that tokens must name, "" for any
	// SigningKey is the PEM file of an EC key by which tokens are issued at /token. Where
	// there are users and no other token server, a key made at the start does that:
	// docker pulls without a password by tokens only.
	SigningKey    string
	AnonymousPush bool
}

// Access answers requests for rights. It is safe for concurrent use.
type Access struct {
	config Config
	users  *passwords
	tokens *tokens
	rules  []Rule
}

// Open reads the files that the configuration names.
func Open(c Config) (*Access, error) {
	c.Service = cmp.Or(c.Service, "pkg")
	a := &Access{config: c}
	var err error
	if c.Htpasswd != "" {
		if a.users, err = openPasswords(c.Htpasswd); err != nil {
			return nil, err
		}
	}
	if len(c.Keys) > 0 || c.SigningKey != "" || a.users != nil {
		if a.tokens, err = openTokens(c); err != nil {
			return nil, err
		}
	}
	a.rules = []Rule{
		{Who: anonymous, Repository: anywhere, Can: []Right{Pull}},
		{Who: anyUser, Repository: anywhere, Can: []Right{Pull, Push, Delete}},
	}
	if c.Rules != "" {
		if a.rules, err = readRules(c.Rules); err != nil {
			return nil, err
		}
	}
	if c.AnonymousPush {
		a.rules = append(a.rules, Rule{Who: anonymous, Repository: anywhere, Can: []Right{Pull, Push}})
	}
	return a, nil
}

func readRules(file string) ([]Rule, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var rules []Rule
	if err := yaml.UnmarshalStrict(data, &rules); err != nil {
		return nil, fmt.Errorf("rules %s: %w", file, err)
	}
	for _, r := range rules {
		if _, err := path.Match(r.Repository, ""); err != nil || r.Who == "" {
			return nil, fmt.Errorf("rules %s: bad rule for %q on %q", file, r.Who, r.Repository)
		}
		for _, right := range r.Can {
			if !slices.Contains([]Right{Pull, Push, Delete}, right) {
				return nil, fmt.Errorf("rules %s: right %q is none of pull, push, delete", file, right)
			}
		}
	}
	return rules, nil
}

// Target is what a right is wanted for.
type Target struct {
	Tenant string
	// Image is the repository's name in the registry, "org/repo/mysql", when the
	// request names one.
	Image string
}

// Denied is the refusal of a request.
type Denied struct {
	Status    int    // 401 when signing in may help, else 403
	Challenge string // WWW-Authenticate's value of a 401
	Reason    string
}

func (d *Denied) Error() string { return d.Reason }

// User is who asks: a name, and the grants of a token.
type User struct {
	Name   string // "" is anonymous
	token  bool
	grants []grant
	// lists says that a token issued here may list what its user may pull.
	lists bool
}

// errBadCredentials hides which part was wrong.
var errBadCredentials = errors.New("wrong user name, password or token")

// Identify finds out who sends a request. Wrong credentials are an error, none
// are the anonymous user.
func (a *Access) Identify(r *http.Request) (User, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return User{}, nil
	}
	if name, password, ok := r.BasicAuth(); ok && a.users != nil && a.users.check(name, password) {
		return User{Name: name}, nil
	}
	scheme, token, _ := strings.Cut(header, " ")
	if strings.EqualFold(scheme, "bearer") && a.tokens != nil {
		if u, err := a.tokens.parse(strings.TrimSpace(token), time.Now()); err == nil {
			return u, nil
		}
	}
	return User{}, a.denied(r, Target{}, "", errBadCredentials.Error(), http.StatusUnauthorized)
}

// Allow returns who sends a request, or *Denied when that user lacks the right.
func (a *Access) Allow(r *http.Request, t Target, right Right) (string, error) {
	u, err := a.Identify(r)
	if err != nil {
		var d *Denied
		if errors.As(err, &d) {
			d.Challenge = a.challenge(r, t, right)
		}
		return "", err
	}
	if a.may(u, t, right) {
		return cmp.Or(u.Name, anonymous), nil
	}
	status, reason := http.StatusForbidden, fmt.Sprintf("%s may not %s here", cmp.Or(u.Name, anonymous), right)
	if u.Name == "" || u.token {
		status, reason = http.StatusUnauthorized, fmt.Sprintf("to %s here, sign in", right)
	}
	return u.Name, a.denied(r, t, right, reason, status)
}

func (a *Access) may(u User, t Target, right Right) bool {
	byName := u.Name != "" && (!u.token || u.lists && right == Pull)
	for _, r := range a.rules {
		who := r.Who == anonymous || byName && (r.Who == anyUser || r.Who == u.Name)
		if who && matches(r.Repository, t.Tenant) && slices.Contains(r.Can, right) {
			return true
		}
	}
	return slices.ContainsFunc(u.grants, func(g grant) bool { return g.covers(t, right) })
}

func matches(pattern, name string) bool {
	if pattern == anywhere || pattern == name {
		return true
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

func (a *Access) denied(r *http.Request, t Target, right Right, reason string, status int) *Denied {
	d := &Denied{Status: status, Reason: reason}
	if status == http.StatusUnauthorized {
		d.Challenge = a.challenge(r, t, right)
	}
	return d
}

const basicChallenge = `Basic realm="pkg", charset="UTF-8"`

// PasswordChallenge makes a browser ask for a password; "" when there are none.
func (a *Access) PasswordChallenge() string {
	if a.users == nil {
		return ""
	}
	return basicChallenge
}

// challenge is what a client needs to know to sign in: the registry's clients get a token,
// where tokens are issued; others, browsers among them, send the password itself.
func (a *Access) challenge(r *http.Request, t Target, right Right) string {
	realm := a.config.Realm
	registry := r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/")
	if realm == "" && a.Issues() && (registry || a.users == nil) {
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		realm = scheme + "://" + r.Host + "/token"
	}
	if realm == "" {
		return basicChallenge
	}
	text := fmt.Sprintf("Bearer realm=%q,service=%q", realm, a.config.Service)
	if r.URL.Path == "/v2/_catalog" {
		text += `,scope="registry:catalog:*"`
	} else if name := cmp.Or(t.Image, t.Tenant); name != "" && right != "" {
		actions := string(right)
		if right == Push {
			actions = "pull,push"
		}
		text += fmt.Sprintf(",scope=%q", "repository:"+name+":"+actions)
	}
	return text
}

// Ping refuses requests without credentials where there are users or tokens, since
// registry clients sign in only when they are asked to at first.
func (a *Access) Ping(r *http.Request) error {
	if _, err := a.Identify(r); err != nil {
		return err
	}
	if r.Header.Get("Authorization") == "" && (a.users != nil || a.tokens != nil) {
		return a.denied(r, Target{}, "", "sign in", http.StatusUnauthorized)
	}
	return nil
}
