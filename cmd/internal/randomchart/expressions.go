package randomchart

import (
	"fmt"
	"strconv"
	"strings"
)

// maxExpression is how deep expressions nest.
const maxExpression = 3

// path draws a reference to a value; wild ones go through nothing.
func (g *gen) path() string {
	if g.odd() {
		return pick(g, "(eq "+g.operand()+" "+g.operand()+")", "(semverCompare \"^1.2\" "+g.textOperand()+")", "(lt "+g.operand()+" 1)", ".Values.zzz.yyy", ".Values.text.x", ".Nope", ".Values.list.x", "$.Values.a.b.c.d", ".Release.Nope", ".Chart.Nope", ".Capabilities.Nope", "$v9")
	}
	if len(g.vars) > 0 && g.oneIn(4) {
		return pick(g, g.vars...)
	}
	if g.oneIn(5) {
		return "(" + pick(g, "$.Values.map", "$.Values.image", "$.Values.a") + " | default dict)." + pick(g, keys...)
	}
	root := pick(g, "$.Values.", "$.Values.", "$.Values.", "(default dict $.Values.global).")
	return root + pick(g, keys...)
}

func (g *gen) object() string {
	return pick(g, "$.Release.Name", "$.Release.Namespace", "$.Release.IsInstall", "$.Release.IsUpgrade", "$.Release.Revision", "$.Release.Service", "$.Chart.Name",
		"$.Chart.Version", "$.Chart.AppVersion", "$.Chart.Type", "$.Chart.IsRoot", "$.Chart.Keywords", "$.Chart.Annotations",
		"$.Template.Name", "$.Template.BasePath", "$.Capabilities.KubeVersion", "$.Capabilities.KubeVersion.Version", "$.Capabilities.KubeVersion.Minor", "$.Capabilities.KubeVersion.GitVersion",
		"$.Capabilities.HelmVersion.Version", "$.Files", "($.Subcharts.alpha).Chart", "($.Subcharts.beta).Values", "$.Values", "$.Values.global", "$.Release")
}

func (g *gen) literal() string {
	return pick(g, "1", "0", "-3", "2.5", "1e3", "0x1F", "'a'", "true", "false", `"text"`, `"a,b,c"`, "`raw \\n`", `""`, `"v1.2.3"`, `"b: [1, 2]"`, `"{\"j\": [1, null]}"`, "1_000",
		`"ünïcode"`, `"two\nlines"`, `"10"`, `" x "`, `(list)`, `(dict)`, `(list 3 1 2)`, `(list "b" "a" "b")`, `(dict "k" "v" "n" 1)`, `(dict "k" (dict "z" nil))`)
}

// operand is something that can stand as an argument.
func (g *gen) operand() string {
	switch n := g.IntN(10); {
	case n < 5:
		return g.path()
	case n < 7:
		return g.literal()
	case n == 7:
		return g.object()
	}
	if g.depth >= maxExpression {
		return g.path()
	}
	return "(" + g.expr() + ")"
}

// text is an operand that is a string.
func (g *gen) textOperand() string {
	if g.odd() {
		return g.operand()
	}
	return pick(g, `"text"`, `"a-b-c"`, `"Some Words here"`, `" x "`, "(toString "+g.path()+")", "$.Release.Name", `"v1.2.3"`, "(print "+g.path()+")", "`q\"q`", `"ü€"`, `"aGVsbG8="`, "(toJson "+g.path()+")", `"camelCaseText"`)
}

func (g *gen) number() string {
	if g.odd() {
		return g.operand()
	}
	return pick(g, "0", "1", "2", "7", "-4", "10", "(int "+g.path()+")", "(len (list 1 2))", "2.5", `"3"`, "(float64 "+g.path()+")", "1000")
}

func (g *gen) listOperand() string {
	if g.odd() {
		return g.operand()
	}
	return pick(g, "(list 1 2 3)", `(list "b" "a" "b")`, "(list)", `(splitList "," "x,y,z")`, "(until 4)", "(list "+g.path()+" "+g.literal()+")", `(list nil "" 0 "a")`, "(default (list 1) nil)",
		"(untilStep 0 10 3)", `(list (list 1) (dict "a" 1))`, "(list 1 2.5 \"x\" true)", "(tuple 1 2)")
}

func (g *gen) dictOperand() string {
	if g.odd() {
		return g.operand()
	}
	return pick(g, `(dict "a" 1 "b" "x")`, "(dict)", `(dict "k" (dict "z" 1))`, `(dict "a" `+g.path()+")", "$.Values", "(deepCopy $.Values)", `(dict "x" nil)`,
		`(fromYaml "a: 1\nb: {c: x}")`, `(fromJson "{\"a\": 1.0, \"b\": [1]}")`, `(default dict $.Values.global)`, `(merge (dict "a" 5) (dict "a" 6 "q" 7))`)
}

// collection is what range can go over.
func (g *gen) collection() string {
	if g.odd() {
		return g.operand()
	}
	return pick(g, g.listOperand(), g.dictOperand(), `(default (list) $.Values.list)`, "(keys (dict \"a\" 1 \"b\" 2) | sortAlpha)", "(list)", "(dict)")
}

// quotable is an expression whose quoted text is one line.
func (g *gen) quotable() string {
	return pick(g, g.path(), "toJson "+g.operand(), "kindOf "+g.operand(), "typeOf "+g.operand(), g.stringCall(), g.numberCall(), g.boolCall())
}

// chain is an expression with pipes.
func (g *gen) chain() string {
	text := g.expr()
	for range g.IntN(3) {
		text += " | " + g.filter()
	}
	return text
}

// filter is what can stand behind a pipe and takes nearly anything.
func (g *gen) filter() string {
	if g.odd() {
		return pick(g, "upper", "add 1", "first", "keys", "nindent", "b64dec", "fromYaml", "len", "index", "join", "toDate", "int", "mustToJson", "trunc")
	}
	return pick(g, "toString", "quote", "squote", "toYaml", "toJson", "toPrettyJson", "default "+g.literal(), "empty", "kindOf", "typeOf", "print", "printf \"%v\"", "not", "list", "toRawJson",
		"toString | upper", "toString | trunc 5", "toString | nindent 2", "toString | b64enc", "toString | sha256sum", "toString | replace \"a\" \"b\"", "toString | trimSuffix \"x\"", "int", "float64", "int64",
		"atoi", "toYaml | indent 2", "coalesce nil", "empty | ternary 1 2", "toToml", "html", "js", "urlquery", "deepCopy", "toYamlPretty", "cat \"x\"", "not | ternary \"y\" \"n\" | quote")
}

// expr draws an expression. Its result may be anything.
func (g *gen) expr() string {
	g.depth++
	defer func() { g.depth-- }()
	if g.depth > maxExpression {
		return g.path()
	}
	switch g.IntN(14) {
	case 0, 1:
		return g.path()
	case 2:
		return g.literal()
	case 3, 4:
		return g.stringCall()
	case 5:
		return g.numberCall()
	case 6, 7:
		return g.boolCall()
	case 8:
		return g.listCall()
	case 9, 10:
		return g.dictCall()
	case 11:
		return g.chartCall()
	case 12:
		return g.operand() + " | " + g.filter()
	}
	return g.anyCall()
}

// fill replaces, in one of the patterns, S by a string, N by a number, L by a list,
// D by a dict and X by anything; each stands as a word of its own.
func (g *gen) fill(patterns ...string) string {
	words := strings.Split(pick(g, patterns...), " ")
	for i, w := range words {
		core := strings.Trim(w, "()")
		var text string
		switch core {
		case "S":
			text = g.textOperand()
		case "N":
			text = g.number()
		case "L":
			text = g.listOperand()
		case "D":
			text = g.dictOperand()
		case "X":
			text = g.operand()
		case "K":
			text = strconv.Quote(pick(g, "a", "b", "k", "x", "text"))
		default:
			continue
		}
		words[i] = strings.Replace(w, core, text, 1)
	}
	return strings.Join(words, " ")
}

func (g *gen) stringCall() string {
	return g.fill("upper S", "lower S", "title S", "untitle S", "trim S", "trimAll \"x\" S", "trimPrefix \"v\" S", "trimSuffix \"c\" S", "trunc N S", "trunc -3 S", "abbrev 6 S", "abbrevboth 5 10 S",
		"initials S", "wrap 5 S", "wrapWith 4 \"|\" S", "contains S S", "quote X X", "squote X", "cat X S X", "indent 2 S", "nindent 2 S", "replace \"a\" \"b\" S", "plural \"one\" \"many\" N",
		"snakecase S", "camelcase S", "kebabcase S", "swapcase S", "regexMatch \"^[a-z]+$\" S", "regexFindAll \"[a-z]\" S -1", "regexFind \"[a-z]+\" S", "regexReplaceAll \"a(.)\" S \"${1}z\"",
		"regexReplaceAllLiteral \"a\" S \"$1\"", "regexSplit \"-\" S -1", "regexQuoteMeta S", "b64enc S", "b32enc S", "b64enc S | b64dec", "b32dec \"ME======\"", "sha1sum S", "sha256sum S", "sha512sum S", "adler32sum S", "printf \"%s|%5s|%q\" S S S",
		"printf \"%d %v %T\" N X X", "printf \"%05.2f\" (float64 N )", "printf \"%t %x\" true S", "printf \"%d\" X", "printf X", "print X X", "println S", "repeat 3 S", "substr 0 3 S", "substr 1 -1 S", "nospace S", "toString X", "join \",\" L", "join \"-\" X",
		"splitn \"-\" 2 S", "(split \"-\" S )._0", "base S", "dir S", "clean S", "ext S", "isAbs S", "osBase S", "urlParse \"http://u:p@h:80/p?q#f\"", "urlJoin (dict \"scheme\" \"http\" \"host\" \"h\" \"path\" \"/p\")",
		"html S", "js S", "urlquery S X", "toToml D", "hello", "now | kindOf", "date \"2006\" 0 | len", "semver \"1.2.3-a+b\"", "semverCompare \">=1.20-0\" $.Capabilities.KubeVersion.Version", "(semver \"1.2.3\").Major", "htmlDate 0 | len", "ago 0 | kindOf", "duration N", "durationRound \"2h10m\"", "shuffle \"a\"", "toDecimal \"777\"", "getHostByName \"localhost\"", "seq 1 3", "seq N N", "toStrings L")
}

func (g *gen) numberCall() string {
	return g.fill("add N N", "add1 N", "sub N N", "mul N N N", "div N 3", "mod N 4", "max N N", "min N N N", "floor N", "ceil N", "round N 1", "round 123.5555 N", "int X", "int64 X", "float64 X", "len L", "len D", "len S",
		"addf 1.5 N", "subf N 0.5", "mulf 1.5 N", "divf N 2.0", "add1f N", "maxf 1.5 N", "minf 1.5 N", "atoi S", "atoi \"12\"", "div N N", "mod N N", "toDecimal S", "biggest N N")
}

func (g *gen) boolCall() string {
	return g.fill("eq (toString X ) (toString X )", "ne S S", "lt N N", "le 1 2", "gt N N", "ge (int N ) 1", "eq S S S", "and X X", "or X X X", "not X", "empty X", "hasKey D K", "has X L", "kindIs \"map\" X", "kindIs \"string\" X", "typeIs \"int\" X", "typeIsLike \"string\" X",
		"hasPrefix \"v\" S", "hasSuffix \"c\" S", "contains \"e\" S", "any X X", "all X X", "$.Capabilities.APIVersions.Has S", "$.Capabilities.APIVersions.Has \"apps/v1/Deployment\"", "$.Capabilities.APIVersions.Has \"a/v1\"", "eq (kindOf X ) \"map\"", "deepEqual X X", "isAbs S", "eq X \"text\"")
}

func (g *gen) listCall() string {
	return g.fill("list X X", "first L", "rest L", "last L", "initial L", "append L X", "prepend L X", "concat L L", "reverse L", "uniq L", "without L X", "compact L", "slice L 1", "slice L 0 2", "slice L N N", "sortAlpha L", "chunk 2 L", "until 3", "untilStep 10 0 -4",
		"splitList \"-\" S", "index L 0", "index L N", "keys D | sortAlpha", "values (dict \"a\" X )", "pluck K D D", "toStrings L", "has X L", "mustFirst L", "mustAppend L X", "mustUniq L", "tuple X X", "seq 0 2 5", "fromYamlArray \"[a, 1]\"", "fromJsonArray \"[1, null]\"", "fromJsonArray S", "fromYamlArray S", "push L X", "list", "mustSlice L 1", "mustHas X L", "mustCompact L", "slice S 0 1")
}

func (g *gen) dictCall() string {
	return g.fill("dict K X", "get D K", "set (dict) K X", "unset (deepCopy D ) K", "hasKey D K", "pick D K K", "omit D K", "merge (dict K X ) D", "mergeOverwrite (dict K X ) D", "mustMerge (dict) D", "mustMergeOverwrite (dict \"a\" (dict \"b\" 1)) D", "deepCopy X", "dig \"a\" \"b\" \"none\" D", "dig K X D", "index D K", "fromYaml S", "fromYaml (toYaml D )", "fromJson (toJson D )", "fromJson S", "fromToml \"a = 1\"", "fromToml S", "toYaml X", "toJson X", "toPrettyJson X", "toRawJson X", "mustToJson X", "mustToPrettyJson X",
		"keys D D | uniq | sortAlpha", "values D | len", "dict \"a\"", "dict K X K", "set D K (toJson X ) | len", "merge D D | len", "unset D \"nothere\" | len", "mustToRawJson X", "mustFromJson S", "mustDeepCopy D", "toYamlPretty D", "dict 1 X", "index $.Values K", "index $.Values K K", "get $.Values K", "pick $.Values K | toYaml", "omit $.Values \"a\" \"b\" | toJson", "len $.Values")
}

// chartCall uses what only charts have.
func (g *gen) chartCall() string {
	return g.fill("include \"shared\" $", "include \"shared\" $", "include \"labels\" $ | nindent 4", "include \"args\" D", "include \"args\" L", "include \"down\" 3", "include (print \"sha\" \"red\") $", "tpl S $", "tpl (toYaml X ) $", "tpl \"{{ .x }}\" (dict \"x\" X )", "tpl \"{{ include \\\"shared\\\" . }}\" $", "tpl \"{{ tpl .Values.text . }}\" $", "tpl (default \"\" $.Values.text | toString) $",
		"tpl \"{{ $x := 1 }}{{ $x }}{{ define \\\"shared\\\" }}mine{{ end }}{{ include \\\"shared\\\" . }}\" $", "$.Files.Get \"config/app.conf\"", "$.Files.Get S", "$.Files.Lines \"config/app.conf\"", "$.Files.Glob \"config/*\" | len", "($.Files.Glob \"config/**\").AsConfig", "($.Files.Glob \"**.conf\").AsSecrets", "$.Files.AsConfig", "$.Files.GetBytes \"bin.dat\"", "$.Files.Glob \"[\" | len", "lookup \"v1\" \"Secret\" \"ns\" \"x\"", "required \"needed\" \"x\"", "required \"needed\" X", "$.Capabilities.APIVersions | len", "$.Capabilities.APIVersions.Has S", "toYaml $.Chart", "toJson $.Chart.Metadata", "toYaml $.Capabilities.KubeVersion", "toYaml $.Subcharts | len", "toYaml $.Release", "$.Template.Name | base", "toJson $.Files | len", "include \"odd\" $", "include \"odd\" .", "tpl X $", "include \"args\" X", "toYaml $.Template", "$.Capabilities.HelmVersion.Version", "print $.Capabilities.KubeVersion", "include \"odd\" $")
}

func (g *gen) anyCall() string {
	return g.fill("default X X", "coalesce X X X", "ternary X X true", "ternary X X (empty X )", "X | default X", "kindOf X", "typeOf X", "toString X", "empty X | ternary X X", "and X X", "or X X", "index X 0", "index X K", "slice X 0", "call X", "len X", "first X", "deepCopy X", "fromYaml (toYaml X )", "quote X", fmt.Sprintf("and %s X", g.path()), "eq (typeOf X ) (typeOf X )", "toJson X", "int X", "toYaml $.Chart", "len $.Subcharts", "toJson $.Chart.Maintainers", "toYaml $.Chart.Dependencies", "$.Values", "X")
}
