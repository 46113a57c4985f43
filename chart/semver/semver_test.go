package semver_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed38700745/pkg/chart/semver"
)

func version(t testing.TB, text string) *semver.Version {
	t.Helper()
	v, err := semver.NewVersion(text)
	if err != nil {
		t.Fatalf("NewVersion(%q): %v", text, err)
	}
	return v
}

func TestNewVersion(t *testing.T) {
	long := strings.Repeat("1", semver.MaxVersionLen+1)
	for _, test := range []struct {
		text, want string
		err        error
	}{
		{text: "1.2.3", want: "1.2.3"},
		{text: "v1.2.3-rc.1+build.05", want: "1.2.3-rc.1+build.05"},
		{text: "1", want: "1.0.0"},
		{text: "v1.2-beta", want: "1.2.0-beta"},
		{text: "01.002.3", want: "1.2.3"},
		{text: "1+m", want: "1.0.0+m"},
		{text: "1.0.0--", want: "1.0.0--"},
		{text: "", err: semver.ErrInvalidSemVer},
		{text: "v", err: semver.ErrInvalidSemVer},
		{text: "V1", err: semver.ErrInvalidSemVer},
		{text: "1.", err: semver.ErrInvalidSemVer},
		{text: "1.2.3.4", err: semver.ErrInvalidSemVer},
		{text: "1.2.3-", err: semver.ErrInvalidSemVer},
		{text: "1.2.3-a..b", err: semver.ErrInvalidSemVer},
		{text: "1.2.3+a+b", err: semver.ErrInvalidSemVer},
		{text: " 1", err: semver.ErrInvalidSemVer},
		{text: "1\n", err: semver.ErrInvalidSemVer},
		{text: "1.2.3-01", err: semver.ErrSegmentStartsZero},
		{text: long, err: semver.ErrVersionTooLong},
	} {
		v, err := semver.NewVersion(test.text)
		switch {
		case !errors.Is(err, test.err) || (err == nil) != (test.err == nil):
			t.Errorf("%q: %v, want %v", test.text, err, test.err)
		case err == nil && v.String() != test.want:
			t.Errorf("%q is %s, want %s", test.text, v, test.want)
		case err == nil && v.Original() != test.text:
			t.Errorf("%q was %q", test.text, v.Original())
		}
	}
}

func TestStrictNewVersion(t *testing.T) {
	for text, want := range map[string]error{
		"1.2.3":        nil,
		"1.2.3-a.1+01": nil,
		"":             semver.ErrEmptyString,
		"1.2":          semver.ErrInvalidSemVer,
		"v1.2.3":       semver.ErrInvalidCharacters,
		"1.2.3.4":      semver.ErrInvalidCharacters,
		"1.02.3":       semver.ErrSegmentStartsZero,
		"1.2.3-":       semver.ErrInvalidPrerelease,
		"1.2.3-a.00":   semver.ErrSegmentStartsZero,
		"1.2.3-a_b":    semver.ErrInvalidPrerelease,
		"1.2.3-a+":     semver.ErrInvalidMetadata,
	} {
		if _, err := semver.StrictNewVersion(text); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
	const want = `strconv.ParseUint: parsing "": invalid syntax`
	if _, err := semver.StrictNewVersion("1..3"); err == nil || err.Error() != want {
		t.Errorf("1..3: %v, want %s", err, want)
	}
}

// TestOrder has the examples of the specification's rule 11.
func TestOrder(t *testing.T) {
	want := []string{
		"1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
		"1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.9.0", "1.10.0", "2.0.0",
	}
	var versions []*semver.Version
	for _, text := range want {
		versions = append(versions, version(t, text))
	}
	slices.Reverse(versions[2:9])
	slices.SortFunc(versions, (*semver.Version).Compare)
	var got []string
	for _, v := range versions {
		got = append(got, v.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !version(t, "1.0.0+a").Equal(version(t, "v1+b")) {
		t.Error("metadata counts")
	}
}

func TestConstraints(t *testing.T) {
	for _, test := range []struct{ constraint, fits, refuses string }{
		{"1.2.3", "1.2.3 v1.2.3+m", "1.2.4 1.2.3-a"},
		{"1.2.x", "1.2.0 1.2.9", "1.1.9 1.3.0"},
		{"1", "1.0.0 1.9.9", "0.9.9 2.0.0"},
		{"*", "0.0.0 9.9.9", "1.0.0-a"},
		{"*-0", "0.0.0 1.0.0-a", ""},
		{"!=1.2", "1.1.0 1.3.0", "1.2.0 1.2.9"},
		{"> 1.2", "1.3.0 2.0.0", "1.2.9"},
		{">1.2.3", "1.2.4", "1.2.3 1.3.0-a"},
		{">=1.2, <2 || 3", "1.2.0 1.9.9 3.5.0", "1.1.9 2.0.0 4.0.0"},
		{"=> 1.2 =< 1.4", "1.2.0 1.4.9", "1.5.0"},
		{"1.2 - 1.4.5", "1.2.0 1.4.5", "1.4.6 1.1.0"},
		{"~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3.0"},
		{"~>1", "1.0.0 1.9.0", "2.0.0"},
		{"^1.2.3", "1.2.3 1.9.0", "1.2.2 2.0.0"},
		{"^0.2.3", "0.2.3 0.2.9", "0.3.0 1.0.0"},
		{"^0.0.3", "0.0.3", "0.0.4 0.1.0"},
		{"^1.2.3-beta", "1.2.3-beta.1 1.9.0-a", "1.2.3-alpha 2.0.0"},
	} {
		c, err := semver.NewConstraint(test.constraint)
		if err != nil {
			t.Errorf("%q: %v", test.constraint, err)
			continue
		}
		for _, text := range strings.Fields(test.fits) {
			if !c.Check(version(t, text)) {
				t.Errorf("%q refuses %s", test.constraint, text)
			}
		}
		for _, text := range strings.Fields(test.refuses) {
			if c.Check(version(t, text)) {
				t.Errorf("%q takes %s", test.constraint, text)
			}
		}
	}
	c, err := semver.NewConstraint(">=1 <2")
	if err != nil {
		t.Fatal(err)
	}
	c.IncludePrerelease = true
	if !c.Check(version(t, "1.5.0-a")) {
		t.Error("a prerelease is refused that was to be included")
	}
}

func TestConstraintErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       `improper constraint: ""`,
		"1.2 || foo":                             `improper constraint: " foo"`,
		"1,":                                     `improper constraint: "1,"`,
		">>1":                                    `improper constraint: ">>1"`,
		"1=2":                                    `improper constraint: "1=2"`,
		"1x":                                     "constraint parser error",
		"1.2.3-01":                               "constraint parser error",
		strings.Repeat(" ", 512) + "1":           semver.ErrConstraintTooLong.Error(),
		strings.Repeat("1||", 32) + "1":          semver.ErrTooManyConstraintGroups.Error(),
		"1." + strings.Repeat("0", 255) + ".2.3": `improper constraint: "1.` + strings.Repeat("0", 255) + `.2.3"`,
		"1." + strings.Repeat("0", 255):          "constraint parser error",
	} {
		if _, err := semver.NewConstraint(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestValidate(t *testing.T) {
	c, err := semver.NewConstraint(">=2 !=1.x || ^3")
	if err != nil {
		t.Fatal(err)
	}
	ok, reasons := c.Validate(version(t, "1.5"))
	var got []string
	for _, why := range reasons {
		got = append(got, why.Error())
	}
	want := []string{`"1.5.0" is less than "2"`, `"1.5.0" is equal to "1.x"`, `"1.5.0" is less than "3"`}
	if diff := cmp.Diff(want, got); ok || diff != "" {
		t.Error(ok, diff)
	}
	if ok, reasons := c.Validate(version(t, "3.1")); !ok || len(reasons) > 0 {
		t.Error(ok, reasons)
	}
	if got, want := c.String(), ">=2 !=1.x || ^3"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestNext(t *testing.T) {
	v := version(t, "v1.2.3-rc.1+m")
	pre, err := v.SetPrerelease("")
	if err != nil {
		t.Fatal(err)
	}
	patch, again, minor, major := v.IncPatch(), pre.IncPatch(), v.IncMinor(), v.IncMajor()
	var got []string
	for _, v := range []*semver.Version{&pre, &patch, &again, &minor, &major} {
		got = append(got, v.Original())
	}
	if diff := cmp.Diff([]string{"v1.2.3+m", "v1.2.3", "v1.2.4", "v1.3.0", "v2.0.0"}, got); diff != "" {
		t.Error(diff)
	}
	defer func() {
		if got, want := recover(), "major version increment would overflow uint64"; got != want {
			t.Errorf("panic %v, want %s", got, want)
		}
	}()
	version(t, "18446744073709551615").IncMajor()
}
