package semver_test

import (
	"flag"
	"math/rand/v2"
	"strings"
	"testing"

	masterminds "github.com/Masterminds/semver/v3"

	"github.com/seed38700745/pkg/chart/semver"
)

var (
	rounds = flag.Int("rounds", 30_000, "how many texts TestLikeMasterminds makes up")
	seed   = flag.Uint64("seed", 1, "of what it makes up")
)

// maker makes up texts that are nearly versions and constraints.
type maker struct{ *rand.Rand }

func (m maker) pick(from ...string) string { return from[m.IntN(len(from))] }

// version is mostly right, and small enough that it often meets others.
func (m maker) version(wild bool) string {
	numbers := []string{"0", "0", "0", "1", "1", "1", "2", "2", "3", "10", "01", m.pick("18446744073709551615", "18446744073709551616")}
	if wild {
		numbers = append(numbers, "x", "X", "*", "*", m.pick("xx", "1|2", "x"))
	}
	out := m.pick("", "", "", "v") + m.pick(numbers...)
	for range m.IntN(3) {
		out += "." + m.pick(numbers...)
	}
	if m.IntN(3) == 0 {
		out += "-" + m.identifiers()
	}
	if m.IntN(6) == 0 {
		out += "+" + m.identifiers()
	}
	return out
}

func (m maker) identifiers() string {
	id := func() string {
		return m.pick("0", "1", "2", "10", "a", "b", "rc", "rc1", "alpha", "-", "--1", "1a", "x",
			m.pick("99999999999999999999", "100000000000000000000", "00", "01", "", "_", "é"))
	}
	out := id()
	for m.IntN(3) == 0 {
		out += "." + id()
	}
	return out
}

func (m maker) constraint() string {
	term := func() string {
		if m.IntN(8) == 0 {
			return m.version(true) + m.pick(" - ", " - ", "  -\t", "-", " -") + m.version(true)
		}
		return m.pick("", "=", "!=", ">", "<", ">=", "<=", "=>", "=<", "~", "~>", "^", m.pick("", "==", "!", "<>")) +
			m.pick("", "", " ", "\n") + m.version(true)
	}
	out := m.pick("", "", "", " ") + term()
	for m.IntN(3) == 0 {
		out += m.pick(" ", " ", ", ", ",", " , ", "||", " || ", m.pick(",,", "", "|")) + term()
	}
	return out + m.pick("", "", "", "", "", " ", "\t", ",", "||")
}

// mutate spoils a text a little.
func (m maker) mutate(text string) string {
	const bytes = "0123456789xX*|.-+vV<>=!~^, \t\n\v\r\f_aZz\x00\xff\""
	b := []byte(text)
	for range max(0, m.IntN(5)-2) {
		at := m.IntN(len(b) + 1)
		switch c := bytes[m.IntN(len(bytes))]; {
		case m.IntN(2) == 0 || at == len(b):
			b = append(b[:at], append([]byte{c}, b[at:]...)...)
		case m.IntN(2) == 0:
			b[at] = c
		default:
			b = append(b[:at], b[at+1:]...)
		}
	}
	return string(b)
}

// TestLikeMasterminds compares all results for texts that are made up.
func TestLikeMasterminds(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(*seed, 0))}
	var theirs [64]*masterminds.Version // some that were read before
	var ours [64]*semver.Version
	versions, constraints := 0, 0
	for i := range *rounds {
		if a, b := sameParsing(t, m.mutate(m.version(false))); b != nil {
			versions++
			slot := m.IntN(len(ours))
			theirs[slot], ours[slot] = a, b
			other := m.IntN(len(ours))
			if ours[other] != nil {
				sameOrder(t, a, theirs[other], b, ours[other])
			}
			if i%16 == 0 {
				sameMethods(t, a, b, m.mutate(m.identifiers()))
				sameEncoding(t, a, b, m.mutate(m.pick("", `"`)+m.version(false)+m.pick("", `"`)))
			}
		}
		if a, b := sameConstraint(t, m.mutate(m.constraint())); b != nil {
			constraints++
			for range 8 {
				if slot := m.IntN(len(ours)); ours[slot] != nil {
					sameAnswer(t, a, b, theirs[slot], ours[slot])
				}
			}
		}
	}
	t.Logf("%d texts and %d more, of which %d are versions and %d constraints", *rounds, *rounds, versions, constraints)
	if versions < *rounds/4 || constraints < *rounds/8 {
		t.Error("too few to mean anything")
	}
}

// FuzzVersion: two texts are read, compared, changed and encoded as Masterminds does.
func FuzzVersion(f *testing.F) {
	f.Add("v1.2.3-rc.1+m", "1.2")
	f.Add("18446744073709551615.1.1", `"1"`)
	f.Add("1.0.0-99999999999999999999", "1-100000000000000000000")
	f.Add(strings.Repeat("0", 256)+"1", "null")
	f.Fuzz(func(t *testing.T, text, other string) {
		theirs, ours := sameParsing(t, text)
		if ours == nil {
			return
		}
		sameMethods(t, theirs, ours, other)
		sameEncoding(t, theirs, ours, other)
		sameEncoding(t, theirs, ours, `"`+other+`"`)
		if theirB, b := sameParsing(t, other); b != nil {
			sameOrder(t, theirs, theirB, ours, b)
		}
	})
}

// FuzzConstraint: a constraint is read, and takes or refuses a version, as with Masterminds.
func FuzzConstraint(f *testing.F) {
	f.Add(">=1.2, <2 || ~3 ^4 != 5.x-0", "3.1.4-rc")
	f.Add("1.2 - 1.4.x||2.0.0 -  3", "2")
	f.Add("1.2.3.4 - 5 - 6, 5 - 6", "1")
	f.Add(strings.Repeat("1 - 1 ", 80), "1")
	f.Add(strings.Repeat("*||", 31)+"*", "0.0.1")
	f.Fuzz(func(t *testing.T, constraint, version string) {
		theirs, ours := sameConstraint(t, constraint)
		if ours == nil {
			return
		}
		if theirV, v := sameParsing(t, version); v != nil {
			sameAnswer(t, theirs, ours, theirV, v)
		}
	})
}
