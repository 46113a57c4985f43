package semver_test

import (
	"errors"
	"testing"

	masterminds "github.com/Masterminds/semver/v3"

	"github.com/seed38700745/pkg/chart/semver"
)

func BenchmarkNewVersion(b *testing.B) {
	for name, read := range map[string]func(string) error{
		"ours":        func(text string) error { _, err := semver.NewVersion(text); return err },
		"masterminds": func(text string) error { _, err := masterminds.NewVersion(text); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, text := range []string{"1.2.3", "v1.25", "4.10.0-rc.1+build.5"} {
					if err := read(text); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

const benchConstraint = ">=1.19.0-0, <2 || ^3.1"

func BenchmarkNewConstraint(b *testing.B) {
	for name, read := range map[string]func(string) error{
		"ours":        func(text string) error { _, err := semver.NewConstraint(text); return err },
		"masterminds": func(text string) error { _, err := masterminds.NewConstraint(text); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := read(benchConstraint); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	ours, err := semver.NewConstraint(benchConstraint)
	if err != nil {
		b.Fatal(err)
	}
	theirs, err := masterminds.NewConstraint(benchConstraint)
	if err != nil {
		b.Fatal(err)
	}
	var taken, refused semver.Version
	var theirTaken, theirRefused masterminds.Version
	for text, to := range map[string][2]interface{ UnmarshalText([]byte) error }{
		"1.37.0-rc.1": {&taken, &theirTaken},
		"2.5.0":       {&refused, &theirRefused},
	} {
		if err := errors.Join(to[0].UnmarshalText([]byte(text)), to[1].UnmarshalText([]byte(text))); err != nil {
			b.Fatal(err)
		}
	}
	for name, check := range map[string]func() bool{
		"ours":        func() bool { return ours.Check(&taken) && !ours.Check(&refused) },
		"masterminds": func() bool { return theirs.Check(&theirTaken) && !theirs.Check(&theirRefused) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !check() {
					b.Fatal("a wrong answer")
				}
			}
		})
	}
}
