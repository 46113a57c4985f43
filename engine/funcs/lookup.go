package funcs

import (
	"errors"
	"math/rand"
	"path"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/huandu/xstrings"
)

// Lookup returns a function by its name, nil when there is none. Unlike a map the
// switches below need not be built when a program starts, and are no slower.
//
// Arguments often come in another order than in Go, so that the text comes last and
// can be piped in.
func Lookup(name string) any {
	if f := ofTexts(name); f != nil {
		return f
	}
	if f := ofCollections(name); f != nil {
		return f
	}
	if f := ofValues(name); f != nil {
		return f
	}
	return heavy(name)
}

// ofTexts are the functions of texts, paths, URLs and regular expressions.
func ofTexts(name string) any {
	switch name {
	case "abbrev":
		return abbrev
	case "abbrevboth":
		return abbrevBoth
	case "b64dec":
		return decodeBase64
	case "b64enc":
		return encodeBase64
	case "camelcase":
		return xstrings.ToPascalCase
	case "cat":
		return cat
	case "contains":
		return func(part, s string) bool { return strings.Contains(s, part) }
	case "hasPrefix":
		return func(prefix, s string) bool { return strings.HasPrefix(s, prefix) }
	case "hasSuffix":
		return func(suffix, s string) bool { return strings.HasSuffix(s, suffix) }
	case "indent":
		return func(spaces int, s string) string { return indent("", spaces, s) }
	case "initials":
		return initials
	case "join":
		return func(sep string, list any) string { return strings.Join(texts(list), sep) }
	case "kebabcase":
		return xstrings.ToKebabCase
	case "lower":
		return strings.ToLower
	case "nindent":
		return func(spaces int, s string) string { return indent("\n", spaces, s) }
	case "nospace":
		return noSpace
	case "plural":
		return plural
	case "quote":
		return quote
	case "repeat":
		return func(count int, s string) string { return strings.Repeat(s, count) }
	case "replace":
		return func(old, by, s string) string { return strings.ReplaceAll(s, old, by) }
	case "shuffle":
		return xstrings.Shuffle
	case "snakecase":
		return xstrings.ToSnakeCase
	case "split":
		return func(sep, s string) map[string]string { return numbered(strings.Split(s, sep)) }
	case "splitList":
		return func(sep, s string) []string { return strings.Split(s, sep) }
	case "splitn":
		return func(sep string, n int, s string) map[string]string { return numbered(strings.SplitN(s, sep, n)) }
	case "squote":
		return singleQuote
	case "substr":
		return substr
	case "swapcase":
		return swapCase
	case "title":
		return strings.Title
	case "toString":
		return text
	case "toStrings":
		return texts
	case "trim":
		return strings.TrimSpace
	case "trimAll", "trimall":
		return func(cutset, s string) string { return strings.Trim(s, cutset) }
	case "trimPrefix":
		return func(prefix, s string) string { return strings.TrimPrefix(s, prefix) }
	case "trimSuffix":
		return func(suffix, s string) string { return strings.TrimSuffix(s, suffix) }
	case "trunc":
		return trunc
	case "untitle":
		return untitle
	case "upper":
		return strings.ToUpper
	case "wrap":
		return func(width int, s string) string { return wrap(s, width, "", false) }
	case "wrapWith":
		return func(width int, newline, s string) string { return wrap(s, width, newline, true) }
	}
	return ofPatterns(name)
}

// ofPatterns are the functions of paths, URLs and regular expressions.
func ofPatterns(name string) any {
	switch name {
	case "base":
		return path.Base
	case "clean":
		return path.Clean
	case "dir":
		return path.Dir
	case "ext":
		return path.Ext
	case "isAbs":
		return path.IsAbs
	case "osBase":
		return filepath.Base
	case "osClean":
		return filepath.Clean
	case "osDir":
		return filepath.Dir
	case "osExt":
		return filepath.Ext
	case "osIsAbs":
		return filepath.IsAbs
	case "regexFind":
		return regexFind
	case "mustRegexFind":
		return mustRegexFind
	case "regexFindAll":
		return regexFindAll
	case "mustRegexFindAll":
		return mustRegexFindAll
	case "regexMatch":
		return regexMatch
	case "mustRegexMatch":
		return mustRegexMatch
	case "regexQuoteMeta":
		return regexQuoteMeta
	case "regexReplaceAll":
		return regexReplaceAll
	case "mustRegexReplaceAll":
		return mustRegexReplaceAll
	case "regexReplaceAllLiteral":
		return regexReplaceAllLiteral
	case "mustRegexReplaceAllLiteral":
		return mustRegexReplaceAllLiteral
	case "regexSplit":
		return regexSplit
	case "mustRegexSplit":
		return mustRegexSplit
	case "urlJoin":
		return urlJoin
	case "urlParse":
		return urlParse
	}
	return nil
}

// ofCollections are the functions of lists and tables.
func ofCollections(name string) any {
	switch name {
	case "append", "push":
		return func(list, v any) []any { return must(mustAppend(list, v)) }
	case "mustAppend", "mustPush":
		return mustAppend
	case "chunk":
		return func(size int, list any) [][]any { return must(mustChunk(size, list)) }
	case "mustChunk":
		return mustChunk
	case "compact":
		return func(list any) []any { return must(mustCompact(list)) }
	case "mustCompact":
		return mustCompact
	case "concat":
		return concat
	case "deepCopy":
		return deepCopy
	case "mustDeepCopy":
		return mustDeepCopy
	case "dict":
		return dict
	case "dig":
		return dig
	case "first":
		return func(list any) any { return must(mustFirst(list)) }
	case "mustFirst":
		return mustFirst
	case "get":
		return get
	case "has":
		return func(v, list any) bool { return must(mustHas(v, list)) }
	case "mustHas":
		return mustHas
	case "hasKey":
		return hasKey
	case "initial":
		return func(list any) []any { return must(mustInitial(list)) }
	case "mustInitial":
		return mustInitial
	case "keys":
		return keys
	case "last":
		return func(list any) any { return must(mustLast(list)) }
	case "mustLast":
		return mustLast
	case "list", "tuple":
		return func(items ...any) []any { return items }
	case "merge":
		return merge
	case "mustMerge":
		return mustMerge
	case "mergeOverwrite":
		return mergeOverwrite
	case "mustMergeOverwrite":
		return mustMergeOverwrite
	case "omit":
		return omit
	case "pick":
		return pick
	case "pluck":
		return pluck
	case "prepend":
		return func(list, v any) []any { return must(mustPrepend(list, v)) }
	case "mustPrepend":
		return mustPrepend
	case "rest":
		return func(list any) []any { return must(mustRest(list)) }
	case "mustRest":
		return mustRest
	case "reverse":
		return func(list any) []any { return must(mustReverse(list)) }
	case "mustReverse":
		return mustReverse
	case "set":
		return set
	case "slice":
		return func(list any, bounds ...any) any { return must(mustSlice(list, bounds...)) }
	case "mustSlice":
		return mustSlice
	case "sortAlpha":
		return sortAlpha
	case "uniq":
		return func(list any) []any { return must(mustUniq(list)) }
	case "mustUniq":
		return mustUniq
	case "unset":
		return unset
	case "values":
		return values
	case "without":
		return func(list any, those ...any) []any { return must(mustWithout(list, those...)) }
	case "mustWithout":
		return mustWithout
	}
	return nil
}

// ofValues are the functions of values of all kinds: what they are, and in which form.
func ofValues(name string) any {
	switch name {
	case "all":
		return all
	case "any":
		return anyOf
	case "coalesce":
		return coalesce
	case "deepEqual":
		return reflect.DeepEqual
	case "default":
		return defaultTo
	case "empty":
		return empty
	case "fail":
		return func(text string) (string, error) { return "", errors.New(text) }
	case "fromJson":
		return fromJSON
	case "fromJsonArray":
		return fromJSONArray
	case "mustFromJson":
		return mustFromJSON
	case "fromYaml":
		return fromYAML
	case "fromYamlArray":
		return fromYAMLArray
	case "hello":
		return func() string { return "Hello!" }
	case "kindIs":
		return func(kind string, v any) bool { return kind == kindOf(v) }
	case "kindOf":
		return kindOf
	case "semver":
		return semverOf
	case "semverCompare":
		return semverCompare
	case "adler32sum":
		return adler32Sum
	case "sha1sum":
		return sha1Sum
	case "sha256sum":
		return sha256Sum
	case "sha512sum":
		return sha512Sum
	case "ternary":
		return ternary
	case "toJson":
		return toJSON
	case "mustToJson":
		return mustToJSON
	case "toPrettyJson":
		return toPrettyJSON
	case "mustToPrettyJson":
		return mustToPrettyJSON
	case "toRawJson":
		return func(v any) string { return must(mustToRawJSON(v)) }
	case "mustToRawJson":
		return mustToRawJSON
	case "toYaml":
		return ToYAML
	case "typeIs":
		return func(name string, v any) bool { return name == typeOf(v) }
	case "typeIsLike":
		return typeIsLike
	case "typeOf":
		return typeOf
	}
	return ofNumbers(name)
}

// ofNumbers are the functions of numbers, dates and chance.
func ofNumbers(name string) any {
	switch name {
	case "add":
		return add
	case "add1":
		return func(v any) int64 { return toInt64(v) + 1 }
	case "add1f":
		return addOneFloat
	case "addf":
		return addFloats
	case "atoi":
		return func(s string) int { n, _ := strconv.Atoi(s); return n }
	case "ceil":
		return ceil
	case "div":
		return func(a, b any) int64 { return toInt64(a) / toInt64(b) }
	case "divf":
		return divFloats
	case "float64":
		return toFloat64
	case "floor":
		return floor
	case "int":
		return func(v any) int { return int(toInt64(v)) }
	case "int64":
		return toInt64
	case "max", "biggest":
		return maxOf
	case "maxf":
		return maxFloat
	case "min":
		return minOf
	case "minf":
		return minFloat
	case "mod":
		return func(a, b any) int64 { return toInt64(a) % toInt64(b) }
	case "mul":
		return mul
	case "mulf":
		return mulFloats
	case "round":
		return round
	case "seq":
		return seq
	case "sub":
		return func(a, b any) int64 { return toInt64(a) - toInt64(b) }
	case "subf":
		return subFloats
	case "toDecimal":
		return toDecimal
	case "until":
		return until
	case "untilStep":
		return untilStep
	case "ago":
		return ago
	case "date":
		return func(layout string, date any) string { return dateInZone(layout, date, "Local") }
	case "dateInZone", "date_in_zone":
		return dateInZone
	case "dateModify", "date_modify":
		return dateModify
	case "mustDateModify", "must_date_modify":
		return mustDateModify
	case "duration":
		return duration
	case "durationRound":
		return durationRound
	case "htmlDate":
		return func(date any) string { return dateInZone(time.DateOnly, date, "Local") }
	case "htmlDateInZone":
		return func(date any, zone string) string { return dateInZone(time.DateOnly, date, zone) }
	case "now":
		return time.Now
	case "toDate":
		return toDate
	case "mustToDate":
		return mustToDate
	case "unixEpoch":
		return func(date time.Time) string { return strconv.FormatInt(date.Unix(), 10) }
	case "randAlpha":
		return func(count int) string { return randomText(count, letters) }
	case "randAlphaNum":
		return func(count int) string { return randomText(count, letters+digits) }
	case "randAscii":
		return func(count int) string { return randomText(count, printable) }
	case "randBytes":
		return randBytes
	case "randInt":
		return func(from, below int) int { return rand.Intn(below-from) + from }
	case "randNumeric":
		return func(count int) string { return randomText(count, digits) }
	case "uuidv4":
		return uuidV4
	}
	return nil
}
