package semver

import (
	"cmp"
	"strconv"
	"strings"
)

// Compare returns -1, 0 or 1 as v is older than o, as old or newer. A prerelease is
// older than its release; metadata does not count.
func (v *Version) Compare(o *Version) int {
	if d := v.compareNumbers(o); d != 0 {
		return d
	}
	switch {
	case v.pre == o.pre:
		return 0
	case v.pre == "":
		return 1
	case o.pre == "":
		return -1
	}
	return comparePrereleases(v.pre, o.pre)
}

func (v *Version) compareNumbers(o *Version) int {
	if d := v.compareMajorMinor(o); d != 0 {
		return d
	}
	return cmp.Compare(v.patch, o.patch)
}

func (v *Version) compareMajorMinor(o *Version) int {
	if d := cmp.Compare(v.major, o.major); d != 0 {
		return d
	}
	return cmp.Compare(v.minor, o.minor)
}

// comparePrereleases compares identifier by identifier: numbers by value, and they are
// lower than words, which are compared byte by byte. Where one list ends it is lower.
func comparePrereleases(a, b string) int {
	for more := true; more; {
		var idA, idB string
		idA, a, _ = strings.Cut(a, ".")
		idB, b, _ = strings.Cut(b, ".")
		if d := compareIdentifiers(idA, idB); d != 0 {
			return d
		}
		more = a != "" || b != ""
	}
	return 0
}

func compareIdentifiers(a, b string) int {
	if a == "" || b == "" {
		return cmp.Compare(len(a), len(b)) // the list has ended
	}
	numberA, isNumberA := number(a)
	numberB, isNumberB := number(b)
	switch {
	case isNumberA && isNumberB:
		return cmp.Compare(numberA, numberB)
	case isNumberA:
		return -1
	case isNumberB:
		return 1
	}
	return cmp.Compare(a, b)
}

// number reads digits. More of them than fit in 64 bits are a word.
func number(id string) (n uint64, ok bool) {
	if !consistsOf(id, isDigit) {
		return 0, false // strconv would allocate an error
	}
	n, err := strconv.ParseUint(id, 10, 64)
	return n, err == nil
}

// Equal is Compare(o) == 0, for nil versions, too: they are equal to each other only.
func (v *Version) Equal(o *Version) bool {
	if v == nil || o == nil {
		return v == o
	}
	return v.Compare(o) == 0
}

// LessThan is Compare(o) < 0.
func (v *Version) LessThan(o *Version) bool { return v.Compare(o) < 0 }

// LessThanEqual is Compare(o) <= 0.
func (v *Version) LessThanEqual(o *Version) bool { return v.Compare(o) <= 0 }

// GreaterThan is Compare(o) > 0.
func (v *Version) GreaterThan(o *Version) bool { return v.Compare(o) > 0 }

// GreaterThanEqual is Compare(o) >= 0.
func (v *Version) GreaterThanEqual(o *Version) bool { return v.Compare(o) >= 0 }
