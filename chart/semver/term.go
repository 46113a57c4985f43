package semver

import "cmp"

// operator says how versions must compare with that of a term. None means equal.
type operator string

func (o operator) known() bool {
	switch o {
	case "", "=", "!=", ">", "<", ">=", "=>", "<=", "=<", "~", "~>", "^":
		return true
	}
	return false
}

// term is an operator and a version, such as ">= 1.2".
type term struct {
	operator operator
	text     string  // the version as it was written
	version  Version // what is not given is 0
	given    int     // how many numbers are given, from the left: two in 1.2 and 1.2.x
}

// newTerm makes a term of a version that is written so, in these parts.
func newTerm(op operator, text string, p parts) (term, error) {
	t := term{operator: op, text: text, given: 3}
	full := text
	switch {
	case isWild(p.major):
		t.given, full = 0, "0.0.0"
	case isWild(p.minor):
		t.given, full = 1, p.major+".0.0"
	case isWild(p.patch):
		t.given, full = 2, p.major+"."+p.minor+".0"
	}
	if t.given < 3 && p.pre != "" {
		full += "-" + p.pre
	}
	var err error
	if t.version, err = parse(full); err != nil {
		return t, errNoVersion
	}
	return t, nil
}

func isWild(number string) bool {
	return number == "" || number == "x" || number == "X" || number == "*"
}

// reason says why a version is refused, in a format that takes it and the term's text.
// It is "" if nothing is wrong.
type reason string

const (
	isEqual        reason = "%q is equal to %q"
	isNotEqual     reason = "%q is not equal to %q"
	isLess         reason = "%q is less than %q"
	isLessOrEqual  reason = "%q is less than or equal to %q"
	isMore         reason = "%q is greater than %q"
	isMoreOrEqual  reason = "%q is greater than or equal to %q"
	otherMajor     reason = "%q does not have same major version as %q"
	otherMinor     reason = "%q does not have same minor version as %q"
	otherMajorOr   reason = "%q does not have same major and minor version as %q"
	otherMinorOf0  reason = "%q does not have same minor version as %q. Expected minor versions to match when constraint major version is 0"
	otherPatchOf00 reason = "%q does not equal %q. Expect version and constraint to equal when major and minor versions are 0"
)

// refuses tells why v does not satisfy the term, whether or not it is a prerelease.
//
// The one rule that no operator shares with another: which of the numbers that are not
// given count. And * is 0.0.0, so that "<*" is never satisfied and "<=*" by 0.0.x only.
func (t *term) refuses(v *Version) reason {
	switch t.operator {
	case "!=":
		return reasonIf(t.means(v), isEqual)
	case ">":
		return reasonIf(t.compareGiven(v) <= 0, isLessOrEqual)
	case "<":
		return reasonIf(v.Compare(&t.version) >= 0, isMoreOrEqual)
	case ">=", "=>":
		return reasonIf(v.Compare(&t.version) < 0, isLess)
	case "<=", "=<":
		return reasonIf(t.exceededBy(v), isMore)
	case "~", "~>":
		return t.tilde(v)
	case "^":
		return t.caret(v)
	}
	if t.given < 3 {
		return t.tilde(v)
	}
	return reasonIf(!v.Equal(&t.version), isNotEqual)
}

func reasonIf(refused bool, why reason) reason {
	if refused {
		return why
	}
	return ""
}

// means reports whether v is what the term names, or one of those: what != forbids.
func (t *term) means(v *Version) bool {
	switch t.given {
	case 1:
		return v.major == t.version.major
	case 2:
		return v.compareMajorMinor(&t.version) == 0 && comparePrereleases(v.pre, t.version.pre) == 0
	}
	return v.Equal(&t.version)
}

// compareGiven compares the numbers that are given, as > wants it: 1.2.3 is not >1.2.
func (t *term) compareGiven(v *Version) int {
	switch t.given {
	case 1:
		return cmp.Compare(v.major, t.version.major)
	case 2:
		return v.compareMajorMinor(&t.version)
	}
	return v.Compare(&t.version)
}

// exceededBy reports whether v is above all that <= allows: 1.2.3 is <=1.2.
func (t *term) exceededBy(v *Version) bool {
	switch t.given {
	case 0, 2:
		return v.compareMajorMinor(&t.version) > 0
	case 1:
		return v.major > t.version.major
	}
	return v.Compare(&t.version) > 0
}

// tilde wants the same major and, where it is given, minor: ~1 is >=1 <2, ~1.2 and
// ~1.2.3 stay below 1.3. ~0.0.0 and * take everything.
func (t *term) tilde(v *Version) reason {
	want := &t.version
	anything := want.major == 0 && want.minor == 0 && want.patch == 0 && (t.given == 0 || t.given == 3)
	switch {
	case v.LessThan(want):
		return isLess
	case anything:
		return ""
	case v.major != want.major:
		return otherMajor
	case v.minor != want.minor && t.given != 1:
		return otherMajorOr
	}
	return ""
}

// caret wants the same numbers up to the first that is not 0: ^1.2.3 is >=1.2.3 <2,
// ^0.2.3 stays below 0.3, and ^0.0.3 is that only. ^0.0 stays below 0.1, ^0 below 1.
func (t *term) caret(v *Version) reason {
	want := &t.version
	switch {
	case v.LessThan(want):
		return isLess
	case v.major != want.major:
		return otherMajor
	case want.major > 0 || t.given == 1:
		return ""
	case want.minor > 0 || t.given == 2:
		return reasonIf(v.minor != want.minor, otherMinorOf0)
	case v.minor > 0:
		return otherMinor
	}
	return reasonIf(v.patch != want.patch, otherPatchOf00)
}
