package semver_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"testing"

	masterminds "github.com/Masterminds/semver/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/chart/semver"
)

// TestHasMastermindsMethods: what templates can call on a version is the same, on
// pointers and on values.
func TestHasMastermindsMethods(t *testing.T) {
	ours, theirs := reflect.TypeFor[semver.Version](), reflect.TypeFor[masterminds.Version]()
	for _, pair := range [][2]reflect.Type{{ours, theirs}, {reflect.PointerTo(ours), reflect.PointerTo(theirs)}} {
		if diff := cmp.Diff(methods(pair[1]), methods(pair[0])); diff != "" {
			t.Error(diff)
		}
	}
	if got, want := ours.String(), theirs.String(); got != want {
		t.Errorf("the type is %s, want %s", got, want)
	}
}

// methods maps a type's methods to their signatures.
func methods(typ reflect.Type) map[string]string {
	out := map[string]string{}
	for m := range typ.Methods() {
		signature := m.Type.String()
		if m.Name == "Value" { // its result is an any under another name
			signature = strconv.Itoa(m.Type.NumIn()) + " in, " + strconv.Itoa(m.Type.NumOut()) + " out"
		}
		out[m.Name] = signature
	}
	return out
}

// sameError compares texts and, where Masterminds has a value for an error, whether
// ours is that which stands for it.
func sameError(t *testing.T, what string, theirs, ours error) (failed bool) {
	t.Helper()
	if (theirs == nil) != (ours == nil) || theirs != nil && theirs.Error() != ours.Error() {
		t.Fatalf("%s: error %v, want %v", what, ours, theirs)
	}
	for _, sentinel := range [][2]error{
		{masterminds.ErrInvalidSemVer, semver.ErrInvalidSemVer},
		{masterminds.ErrEmptyString, semver.ErrEmptyString},
		{masterminds.ErrInvalidCharacters, semver.ErrInvalidCharacters},
		{masterminds.ErrSegmentStartsZero, semver.ErrSegmentStartsZero},
		{masterminds.ErrInvalidMetadata, semver.ErrInvalidMetadata},
		{masterminds.ErrInvalidPrerelease, semver.ErrInvalidPrerelease},
		{masterminds.ErrVersionTooLong, semver.ErrVersionTooLong},
		{masterminds.ErrConstraintTooLong, semver.ErrConstraintTooLong},
		{masterminds.ErrTooManyConstraintGroups, semver.ErrTooManyConstraintGroups},
		{strconv.ErrRange, strconv.ErrRange},
		{strconv.ErrSyntax, strconv.ErrSyntax},
	} {
		if errors.Is(theirs, sentinel[0]) != errors.Is(ours, sentinel[1]) {
			t.Fatalf("%s: error %#v, want %#v", what, ours, theirs)
		}
	}
	return ours != nil
}

// sameVersion compares all that can be asked of two versions alone.
func sameVersion(t *testing.T, what string, theirs *masterminds.Version, ours *semver.Version) {
	t.Helper()
	if want, got := fmt.Sprintf("%#v", theirs), fmt.Sprintf("%#v", ours); got != want {
		t.Fatalf("%s: %s, want %s", what, got, want)
	}
	if want, got := theirs.String(), ours.String(); got != want {
		t.Fatalf("%s: %s, want %s", what, got, want)
	}
	if theirs.Original() != ours.Original() || theirs.Major() != ours.Major() || theirs.Minor() != ours.Minor() ||
		theirs.Patch() != ours.Patch() || theirs.Prerelease() != ours.Prerelease() || theirs.Metadata() != ours.Metadata() {
		t.Fatalf("%s: parts of %#v", what, ours)
	}
}

// sameParsing reads a text in all ways and returns the versions, nil if it is none.
func sameParsing(t *testing.T, text string) (*masterminds.Version, *semver.Version) {
	t.Helper()
	theirs, errTheirs := masterminds.StrictNewVersion(text)
	ours, errOurs := semver.StrictNewVersion(text)
	if what := fmt.Sprintf("StrictNewVersion(%q)", text); !sameError(t, what, errTheirs, errOurs) {
		sameVersion(t, what, theirs, ours)
	}
	theirs, errTheirs = masterminds.NewVersion(text)
	ours, errOurs = semver.NewVersion(text)
	what := fmt.Sprintf("NewVersion(%q)", text)
	if sameError(t, what, errTheirs, errOurs) {
		if ours != nil {
			t.Fatalf("%s: a version beside the error %v", what, errOurs)
		}
		return nil, nil
	}
	sameVersion(t, what, theirs, ours)
	return theirs, ours
}

// sameMethods compares what two equal versions become.
func sameMethods(t *testing.T, theirs *masterminds.Version, ours *semver.Version, argument string) {
	t.Helper()
	what := fmt.Sprintf("%q with %q: ", ours.Original(), argument)
	for name, pair := range map[string]struct {
		theirs func() masterminds.Version
		ours   func() semver.Version
	}{
		"IncPatch": {theirs.IncPatch, ours.IncPatch},
		"IncMinor": {theirs.IncMinor, ours.IncMinor},
		"IncMajor": {theirs.IncMajor, ours.IncMajor},
	} {
		want, paniced := caught(pair.theirs)
		got, panics := caught(pair.ours)
		if panics != paniced {
			t.Fatalf("%s%s: panic %v, want %v", what, name, panics, paniced)
		}
		sameVersion(t, what+name, &want, &got)
	}
	want, errWant := theirs.SetPrerelease(argument)
	got, errGot := ours.SetPrerelease(argument)
	sameError(t, what+"SetPrerelease", errWant, errGot)
	sameVersion(t, what+"SetPrerelease", &want, &got)
	want, errWant = theirs.SetMetadata(argument)
	got, errGot = ours.SetMetadata(argument)
	sameError(t, what+"SetMetadata", errWant, errGot)
	sameVersion(t, what+"SetMetadata", &want, &got)
}

func caught[V any](f func() V) (v V, panics any) {
	defer func() { panics = recover() }()
	return f(), nil
}

// sameEncoding compares the ways out and in again; text is JSON, or what versions may
// be read from.
func sameEncoding(t *testing.T, theirs *masterminds.Version, ours *semver.Version, text string) {
	t.Helper()
	what := fmt.Sprintf("%q, %q: ", ours.Original(), text)
	type out struct {
		JSON, Text []byte
		Value      any
	}
	var want, got out
	for _, err := range []error{
		set(&want.JSON)(json.Marshal(theirs)), set(&got.JSON)(json.Marshal(ours)),
		set(&want.Text)(theirs.MarshalText()), set(&got.Text)(ours.MarshalText()),
	} {
		if err != nil {
			t.Fatal(what, err)
		}
	}
	value, _ := theirs.Value() // has no errors
	want.Value = value
	got.Value, _ = ours.Value()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(what, diff)
	}
	for _, value := range []any{text, []byte(text), nil, 1} {
		a, b := *theirs, *ours
		sameError(t, what+"Scan", a.Scan(value), b.Scan(value))
		sameVersion(t, what+"Scan", &a, &b)
	}
	for name, read := range map[string]func(any) error{
		"JSON": func(v any) error { return json.Unmarshal([]byte(text), v) },
		"UnmarshalJSON": func(v any) error {
			return v.(json.Unmarshaler).UnmarshalJSON([]byte(text))
		},
		"UnmarshalText": func(v any) error {
			return v.(interface{ UnmarshalText([]byte) error }).UnmarshalText([]byte(text))
		},
	} {
		a, b := *theirs, *ours
		sameError(t, what+name, read(&a), read(&b))
		sameVersion(t, what+name, &a, &b)
	}
}

// set takes a result, and passes on the error.
func set[V any](to *V) func(V, error) error {
	return func(v V, err error) error {
		*to = v
		return err
	}
}

// sameOrder compares comparisons.
func sameOrder(t *testing.T, theirA, theirB *masterminds.Version, a, b *semver.Version) {
	t.Helper()
	want := []any{
		theirA.Compare(theirB), theirA.Equal(theirB), theirA.LessThan(theirB),
		theirA.LessThanEqual(theirB), theirA.GreaterThan(theirB), theirA.GreaterThanEqual(theirB),
	}
	got := []any{a.Compare(b), a.Equal(b), a.LessThan(b), a.LessThanEqual(b), a.GreaterThan(b), a.GreaterThanEqual(b)}
	if !reflect.DeepEqual(want, got) {
		t.Fatalf("%q and %q: %v, want %v", a.Original(), b.Original(), got, want)
	}
}

// sameConstraint reads a constraint and returns it, nil if it is none.
func sameConstraint(t *testing.T, text string) (*masterminds.Constraints, *semver.Constraints) {
	t.Helper()
	theirs, errTheirs := masterminds.NewConstraint(text)
	ours, errOurs := semver.NewConstraint(text)
	if sameError(t, fmt.Sprintf("NewConstraint(%q)", text), errTheirs, errOurs) {
		return nil, nil
	}
	if want, got := theirs.String(), ours.String(); got != want {
		t.Fatalf("NewConstraint(%q) is %q, want %q", text, got, want)
	}
	return theirs, ours
}

// sameAnswer asks constraints for a version.
func sameAnswer(t *testing.T, theirs *masterminds.Constraints, ours *semver.Constraints, theirV *masterminds.Version, v *semver.Version) {
	t.Helper()
	for _, include := range []bool{false, true} {
		a, b := *theirs, *ours
		a.IncludePrerelease, b.IncludePrerelease = include, include
		if want, got := a.Check(theirV), b.Check(v); got != want {
			t.Fatalf("%q, prereleases included: %v, takes %s: %v, want %v", ours, include, v, got, want)
		}
		wantOK, want := a.Validate(theirV)
		gotOK, got := b.Validate(v)
		if gotOK != wantOK || fmt.Sprintf("%#v", texts(got)) != fmt.Sprintf("%#v", texts(want)) {
			t.Fatalf("%q validates %s, prereleases included: %v:\n%v %q, want\n%v %q", ours, v, include, gotOK, got, wantOK, want)
		}
	}
}

func texts(errs []error) []string {
	if errs == nil {
		return nil
	}
	out := []string{}
	for _, err := range errs {
		out = append(out, err.Error())
	}
	return out
}
