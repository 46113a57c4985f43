// Package semver reads versions and the constraints on them, as they stand in
// Chart.yaml (version, kubeVersion, dependencies), on command lines and in templates.
//
// They are part of what a chart means, so the rules are those of Helm, which are those
// of Masterminds/semver v3.5: Semantic Versioning (https://semver.org/spec/v2.0.0.html)
// where versions may leave out parts ("v1", "1.2"), and the constraints that
// https://github.com/Masterminds/semver#checking-version-constraints describes. What is
// accepted, every result and the text of every error are the same, surprises
// included; tests compare the two. Templates get a *Version from the function semver
// and may call all its methods, so it has all those of Masterminds', and its fields
// have the same names for `printf "%#v"`.
//
// Unlike there, nothing is prepared when the program starts.
package semver

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxVersionLen bounds a version, in bytes.
const MaxVersionLen = 256

// Why something is no version. Numbers that do not fit in 64 bits give an error of
// strconv instead.
var (
	ErrInvalidSemVer     = errors.New("invalid semantic version")
	ErrEmptyString       = errors.New("version string empty")
	ErrInvalidCharacters = errors.New("invalid characters in version")
	ErrSegmentStartsZero = errors.New("version segment starts with 0")
	ErrInvalidMetadata   = errors.New("invalid metadata string")
	ErrInvalidPrerelease = errors.New("invalid prerelease string")
	ErrVersionTooLong    = errors.New("version string is too long (max 256 bytes)")
)

// Version is a semantic version, valid and never changed but by unmarshalling into it.
type Version struct {
	major, minor, patch uint64
	pre                 string // without the hyphen
	metadata            string // without the plus
	original            string // as it was written
}

// NewVersion reads a version that may begin with a v, leave out minor and patch, and
// have leading zeros in its numbers: v1.02 is 1.2.0.
func NewVersion(text string) (*Version, error) {
	v, err := parse(text)
	if err != nil {
		return nil, err
	}
	return &v, nil
}

func parse(text string) (Version, error) {
	if len(text) > MaxVersionLen {
		return Version{}, ErrVersionTooLong
	}
	c := cursor{text: text}
	p, ok := c.version(isDigit)
	if !ok || !c.done() {
		return Version{}, ErrInvalidSemVer
	}
	v := Version{pre: p.pre, metadata: p.metadata, original: text}
	if err := v.setNumbers(p.major, cmp.Or(p.minor, "0"), cmp.Or(p.patch, "0")); err != nil {
		return Version{}, fmt.Errorf("error parsing version segment: %w", err)
	}
	if v.pre == "" {
		return v, nil
	}
	return v, checkPrerelease(v.pre)
}

// setNumbers reads three numbers of any length.
func (v *Version) setNumbers(major, minor, patch string) (err error) {
	if v.major, err = strconv.ParseUint(major, 10, 64); err != nil {
		return err
	}
	if v.minor, err = strconv.ParseUint(minor, 10, 64); err != nil {
		return err
	}
	v.patch, err = strconv.ParseUint(patch, 10, 64)
	return err
}

// StrictNewVersion reads a version to the letter of the specification: three numbers
// without leading zeros, and no v. Its errors say what is wrong.
func StrictNewVersion(text string) (*Version, error) {
	if text == "" {
		return nil, ErrEmptyString
	}
	if len(text) > MaxVersionLen {
		return nil, ErrVersionTooLong
	}
	major, rest, _ := strings.Cut(text, ".")
	minor, rest, complete := strings.Cut(rest, ".")
	if !complete {
		return nil, ErrInvalidSemVer
	}
	rest, metadata, hasMetadata := strings.Cut(rest, "+")
	if hasMetadata {
		if err := checkMetadata(metadata); err != nil {
			return nil, err
		}
	}
	patch, pre, hasPre := strings.Cut(rest, "-")
	if hasPre {
		if err := checkPrerelease(pre); err != nil {
			return nil, err
		}
	}
	for _, number := range [...]string{major, minor, patch} {
		switch {
		case !consistsOf(number, isDigit):
			return nil, ErrInvalidCharacters
		case len(number) > 1 && number[0] == '0':
			return nil, ErrSegmentStartsZero
		}
	}
	v := Version{pre: pre, metadata: metadata, original: text}
	if err := v.setNumbers(major, minor, patch); err != nil {
		return nil, err
	}
	return &v, nil
}

// checkPrerelease checks identifiers with dots between them: letters, digits and
// hyphens, and numbers without leading zeros.
func checkPrerelease(pre string) error {
	for rest, more := pre, true; more; {
		var id string
		id, rest, more = strings.Cut(rest, ".")
		switch {
		case id == "" || !consistsOf(id, isIdentifier):
			return ErrInvalidPrerelease
		case len(id) > 1 && id[0] == '0' && consistsOf(id, isDigit):
			return ErrSegmentStartsZero
		}
	}
	return nil
}

// checkMetadata checks identifiers as checkPrerelease does; numbers may begin with 0.
func checkMetadata(metadata string) error {
	for rest, more := metadata, true; more; {
		var id string
		if id, rest, more = strings.Cut(rest, "."); id == "" || !consistsOf(id, isIdentifier) {
			return ErrInvalidMetadata
		}
	}
	return nil
}

// Major returns the first number.
func (v Version) Major() uint64 { return v.major }

// Minor returns the second number.
func (v Version) Minor() uint64 { return v.minor }

// Patch returns the third number.
func (v Version) Patch() uint64 { return v.patch }

// Prerelease returns what follows the hyphen, such as "rc.1".
func (v Version) Prerelease() string { return v.pre }

// Metadata returns what follows the plus.
func (v Version) Metadata() string { return v.metadata }

// Original returns the version as it was written; String spells it out.
func (v *Version) Original() string { return v.original }
