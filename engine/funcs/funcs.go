// Package funcs has the functions of templates that depend on nothing but their
// arguments: those of the library sprig, in the version that go.mod names, and
// Helm's conversions. Charts and their users see what these return and how they
// fail, so all of that is sprig's and Helm's to the letter: the types of parameters,
// which messages quote; what odd arguments give; the texts of errors and panics (a
// panic is an error to text/template); even what lies between the length and the
// capacity of a list, since slice reaches it. The tests compare every function with
// sprig's.
//
// Sprig itself costs more to start than many charts to render. Here only few
// functions need a library that does: of certificates and passwords, of TOML. In
// programs built with the tag front these fail with an error that wraps
// [chart.ErrElsewhere]; in all others they are sprig's own.
//
// Left out are env and expandenv, as in Helm. Functions whose name begins with must
// return errors where their namesakes panic or give something empty.
package funcs

import "strings"

// Names are the names of all functions, in no order.
func Names() []string { return strings.Fields(names) }

const names = `
abbrev abbrevboth b64dec b64enc base camelcase cat clean contains dir
ext hasPrefix hasSuffix indent initials isAbs join kebabcase lower mustRegexFind
mustRegexFindAll mustRegexMatch mustRegexReplaceAll mustRegexReplaceAllLiteral
mustRegexSplit nindent nospace osBase osClean osDir osExt osIsAbs plural quote
regexFind regexFindAll regexMatch regexQuoteMeta regexReplaceAll
regexReplaceAllLiteral regexSplit repeat replace shuffle snakecase split splitList
splitn squote substr swapcase title toString toStrings trim trimAll trimPrefix
trimSuffix trimall trunc untitle upper urlJoin urlParse wrap wrapWith

append chunk compact concat deepCopy dict dig first get has hasKey initial keys last
list merge mergeOverwrite mustAppend mustChunk mustCompact mustDeepCopy mustFirst
mustHas mustInitial mustLast mustMerge mustMergeOverwrite mustPrepend mustPush
mustRest mustReverse mustSlice mustUniq mustWithout omit pick pluck prepend push rest
reverse set slice sortAlpha tuple uniq unset values without

add add1 add1f addf adler32sum ago all any atoi biggest ceil coalesce date dateInZone
dateModify date_in_zone date_modify deepEqual default div divf duration durationRound
empty fail float64 floor fromJson fromJsonArray fromYaml fromYamlArray hello htmlDate
htmlDateInZone int int64 kindIs kindOf max maxf min minf mod mul mulf mustDateModify
mustFromJson mustToDate mustToJson mustToPrettyJson mustToRawJson must_date_modify
now randAlpha randAlphaNum randAscii randBytes randInt randNumeric round semver
semverCompare seq sha1sum sha256sum sha512sum sub subf ternary toDate toDecimal toJson
toPrettyJson toRawJson toYaml typeIs typeIsLike typeOf unixEpoch until untilStep
uuidv4

` + heavyNames

// heavyNames are those of the functions that heavy returns.
const heavyNames = `
b32dec b32enc bcrypt buildCustomCert decryptAES derivePassword encryptAES fromToml
genCA genCAWithKey genPrivateKey genSelfSignedCert genSelfSignedCertWithKey
genSignedCert genSignedCertWithKey getHostByName htpasswd toToml toYamlPretty`

// isHeavy reports whether a name is one of heavyNames.
func isHeavy(name string) bool {
	switch name {
	case "b32dec", "b32enc", "bcrypt", "buildCustomCert", "decryptAES", "derivePassword", "encryptAES", "fromToml",
		"genCA", "genCAWithKey", "genPrivateKey", "genSelfSignedCert", "genSelfSignedCertWithKey",
		"genSignedCert", "genSignedCertWithKey", "getHostByName", "htpasswd", "toToml", "toYamlPretty":
		return true
	}
	return false
}

// must is for the functions that panic where others return an error.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
