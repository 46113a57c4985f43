package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

// Policy says which charts have to be signed, and by whom.
type Policy struct {
	Signatures []Rule `json:"signatures"`
}

// Rule is for the charts below a reference. Of the rules of one file that fit a chart
// the one with the longest reference counts.
type Rule struct {
	// Charts is the beginning of references, whole parts of them: oci://HOST/PATH,
	// https://HOST/PATH, a repository's name (which also means its URL), or "*".
	Charts string `json:"charts"`
	// Keys are files with the public keys, in PEM form, of cosign signatures.
	Keys []string `json:"keys,omitempty"`
	// Keyring is a file with the OpenPGP keys of provenance files. A chart needs one
	// good signature of either kind; with neither keys nor keyring it needs none.
	Keyring string `json:"keyring,omitempty"`
}

// ReadPolicy reads a policy; one that does not exist asks for nothing.
func ReadPolicy(file string) (*Policy, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &Policy{}, nil
	}
	if err != nil {
		return nil, err
	}
	var p Policy
	if err := yaml.UnmarshalStrict(data, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for i, rule := range p.Signatures {
		if rule.Charts == "" {
			return nil, fmt.Errorf("%s: rule %d does not say for which charts it is", file, i+1)
		}
	}
	return &p, nil
}

// ChangePolicy changes a policy file under its lock; when change returns an error
// nothing is written.
func ChangePolicy(file string, change func(*Policy) error) error {
	return withLock(file, func() error {
		p, err := ReadPolicy(file)
		if err != nil {
			return err
		}
		if err := change(p); err != nil {
			return err
		}
		data, err := yaml.Marshal(p)
		if err != nil {
			return err
		}
		return writeFile(file, data, 0o644)
	})
}

// UnsignedError refuses a chart that a policy wants signed.
type UnsignedError struct {
	Ref    string
	Rule   Rule
	File   string // the policy
	Reason string
}

func (e *UnsignedError) Error() string {
	return fmt.Sprintf("chart %s is refused: the policy for %s (%s) wants a signature, and %s", e.Ref, e.Rule.Charts, e.File, e.Reason)
}

// Hint returns what to do next.
func (e *UnsignedError) Hint() string {
	how := "sign it with one of the policy's keys (pkg package --sign, then push the .prov with it)"
	if len(e.Rule.Keys) > 0 {
		how = "sign it with one of the policy's keys (cosign sign --key KEY " + strings.TrimPrefix(e.Ref, OCIScheme) + ")"
	}
	return how + ", or change the policy: pkg repo policy"
}

// checkPolicy refuses an archive that the policies want signed, and that is not.
func (r *Resolver) checkPolicy(ctx context.Context, a *Archive, req Request) error {
	for _, file := range r.Policies {
		p, err := ReadPolicy(file)
		if err != nil {
			return err
		}
		if len(p.Signatures) == 0 {
			continue
		}
		rule, err := r.ruleFor(p, a)
		if err != nil {
			return err
		}
		if rule == nil || len(rule.Keys) == 0 && rule.Keyring == "" {
			continue
		}
		if err := r.checkRule(ctx, *rule, file, a, req); err != nil {
			return err
		}
	}
	return nil
}

// ruleFor returns the rule that counts for an archive, nil when there is none.
func (r *Resolver) ruleFor(p *Policy, a *Archive) (*Rule, error) {
	list, err := r.Repositories()
	if err != nil {
		return nil, err
	}
	var best *Rule
	length := -1
	for i, rule := range p.Signatures {
		prefixes := []string{rule.Charts}
		name, rest, _ := strings.Cut(rule.Charts, "/")
		if e := find(list, name); e != nil {
			prefixes = append(prefixes, strings.TrimSuffix(strings.TrimSuffix(e.URL, "/")+"/"+rest, "/"))
		}
		for _, prefix := range prefixes {
			for _, origin := range a.origins {
				if below(prefix, origin) && len(prefix) > length {
					best, length = &p.Signatures[i], len(prefix)
				}
			}
		}
	}
	return best, nil
}

// below reports whether a reference begins with whole parts of another one.
func below(prefix, ref string) bool {
	if prefix == "*" {
		return true
	}
	rest, ok := strings.CutPrefix(ref, strings.TrimRight(prefix, "/*"))
	return ok && (rest == "" || strings.ContainsAny(rest[:1], "/:@"))
}
