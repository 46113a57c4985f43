package semver

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of a constraint: its length in bytes, and how many alternatives it may have.
const (
	MaxConstraintLen    = 512
	MaxConstraintGroups = 32
)

// Why something is no constraint, beside errors that quote what is wrong.
var (
	ErrConstraintTooLong       = errors.New("constraint string is too long (max 512 bytes)")
	ErrTooManyConstraintGroups = errors.New("too many constraint groups (max 32)")

	errNoVersion = errors.New("constraint parser error")
)

// Constraints say which versions will do.
//
// They are groups with || between, of which a version must satisfy one; a group is terms
// with spaces or commas between, all of which it must satisfy; a term is an operator (=,
// which may be left out, != > < >= => <= =< ~ ~> ^) and a version, in which x, X, * or
// nothing stands for any number. "1.2 - 3" means ">=1.2 <=3". Prereleases satisfy only a
// group that names a prerelease, of whatever version.
type Constraints struct {
	groups []group

	// IncludePrerelease lets prereleases satisfy all groups.
	IncludePrerelease bool
}

// group is terms that must be satisfied together.
type group struct {
	terms       []term
	prereleases bool // one of the terms names one
}

// NewConstraint reads constraints. An empty text is none.
func NewConstraint(text string) (*Constraints, error) {
	if len(text) > MaxConstraintLen {
		return nil, ErrConstraintTooLong
	}
	alternatives := strings.Split(spellRanges(text), "||")
	if len(alternatives) > MaxConstraintGroups {
		return nil, ErrTooManyConstraintGroups
	}
	cs := &Constraints{groups: make([]group, len(alternatives))}
	for i, text := range alternatives {
		if err := cs.groups[i].read(text); err != nil {
			return nil, err
		}
	}
	return cs, nil
}

// read sets the group to what a text says. That it is put together well is checked
// before any of its versions.
func (g *group) read(text string) error {
	c := cursor{text: text}
	var bad error
	for more := true; more; {
		c.spaces()
		op := operator(c.run(isOperator))
		c.spaces()
		start := c.at
		p, ok := c.version(isWildNumeral)
		if !ok || !op.known() {
			return fmt.Errorf("improper constraint: %q", text)
		}
		t, err := newTerm(op, c.text[start:c.at], p)
		if err != nil {
			bad = err
		}
		g.terms = append(g.terms, t)
		g.prereleases = g.prereleases || t.version.pre != ""

		apart := c.spaces()
		more = !c.done()
		if comma := c.sign(','); more && !comma && !apart {
			return fmt.Errorf("improper constraint: %q", text)
		}
	}
	return bad
}

// spellRanges replaces "A - B" by ">= A, <= B ". Texts that are taken for such ranges
// but are something else, as in "1.2.3.4 - 5", do not make a constraint afterwards.
func spellRanges(text string) string {
	spelt := text
	hyphen := strings.LastIndexByte(text, '-')
	for c := (cursor{text: text}); c.at < hyphen; {
		start := c.at
		if from, to, ok := c.versionRange(); ok {
			// The first place with this text is this one, in what can become a constraint.
			spelt = strings.Replace(spelt, text[start:c.at], ">= "+from+", <= "+to+" ", 1)
		} else {
			c.at = start + 1
		}
	}
	return spelt
}

// versionRange takes two versions with a hyphen and spaces between, and spaces around.
func (c *cursor) versionRange() (from, to string, ok bool) {
	c.spaces()
	start := c.at
	if _, ok := c.version(isWildNumeral); !ok {
		return "", "", false
	}
	from = c.text[start:c.at]
	if !c.spaces() || !c.sign('-') || !c.spaces() {
		return "", "", false
	}
	start = c.at
	if _, ok := c.version(isWildNumeral); !ok {
		return "", "", false
	}
	to = c.text[start:c.at]
	c.spaces()
	return from, to, true
}

// Check reports whether a version will do.
func (cs Constraints) Check(v *Version) bool {
	for _, g := range cs.groups {
		if g.allows(v, cs.IncludePrerelease) {
			return true
		}
	}
	return false
}

func (g *group) allows(v *Version, prereleases bool) bool {
	if v.pre != "" && !prereleases && !g.prereleases {
		return false
	}
	for i := range g.terms {
		if g.terms[i].refuses(v) != "" {
			return false
		}
	}
	return true
}

// Validate reports whether a version will do, and why not: one reason for each term of
// each group that it does not satisfy, but for prereleases only one of all groups that
// take none.
func (cs Constraints) Validate(v *Version) (bool, []error) {
	var reasons []error
	saidPrerelease := false
	for _, g := range cs.groups {
		if v.pre != "" && !cs.IncludePrerelease && !g.prereleases {
			if !saidPrerelease {
				saidPrerelease = true
				reasons = append(reasons, fmt.Errorf("%q is a prerelease version and the constraint is only looking for release versions", v))
			}
			continue
		}
		satisfied := true
		for _, t := range g.terms {
			if why := t.refuses(v); why != "" {
				satisfied = false
				reasons = append(reasons, fmt.Errorf(string(why), v, t.text))
			}
		}
		if satisfied {
			return true, []error{}
		}
	}
	return false, reasons
}

// String returns the constraints with ranges spelt out, a space between terms and
// " || " between groups.
func (cs Constraints) String() string {
	var out strings.Builder
	for i, g := range cs.groups {
		if i > 0 {
			out.WriteString(" || ")
		}
		for j, t := range g.terms {
			if j > 0 {
				out.WriteByte(' ')
			}
			out.WriteString(string(t.operator))
			out.WriteString(t.text)
		}
	}
	return out.String()
}
