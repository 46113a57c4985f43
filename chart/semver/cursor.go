package semver

// cursor walks over a text. Its methods take what stands next, if it is what they
// look for, and leave the cursor where it was otherwise.
type cursor struct {
	text string
	at   int
}

// parts are a version as it is written, without the signs between. What is left out is "".
type parts struct {
	major, minor, patch string
	pre, metadata       string
}

// version takes the longest version that stands next: [v]N[.N[.N]][-pre][+metadata],
// where numeral tells of what N consists.
func (c *cursor) version(numeral func(byte) bool) (p parts, ok bool) {
	start := c.at
	c.sign('v')
	if p.major = c.run(numeral); p.major == "" {
		c.at = start
		return p, false
	}
	p.minor = c.after('.', numeral)
	p.patch = c.after('.', numeral)
	p.pre = c.identifiers('-')
	p.metadata = c.identifiers('+')
	return p, true
}

// identifiers takes a sign and identifiers with dots between, which it returns.
func (c *cursor) identifiers(sign byte) string {
	first := c.after(sign, isIdentifier)
	if first == "" {
		return ""
	}
	start := c.at - len(first)
	for c.after('.', isIdentifier) != "" { // takes one more
	}
	return c.text[start:c.at]
}

// after takes a sign and the bytes of a kind that follow it, which it returns; nothing
// if none do.
func (c *cursor) after(sign byte, is func(byte) bool) string {
	start := c.at
	if !c.sign(sign) {
		return ""
	}
	run := c.run(is)
	if run == "" {
		c.at = start
	}
	return run
}

// run takes all bytes of a kind.
func (c *cursor) run(is func(byte) bool) string {
	start := c.at
	for c.at < len(c.text) && is(c.text[c.at]) {
		c.at++
	}
	return c.text[start:c.at]
}

// sign takes one byte.
func (c *cursor) sign(b byte) bool {
	if c.done() || c.text[c.at] != b {
		return false
	}
	c.at++
	return true
}

// spaces reports whether there were any.
func (c *cursor) spaces() bool { return c.run(isSpace) != "" }

// done reports whether all has been taken.
func (c *cursor) done() bool { return c.at == len(c.text) }

func consistsOf(text string, is func(byte) bool) bool {
	for i := range len(text) {
		if !is(text[i]) {
			return false
		}
	}
	return true
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// isWildNumeral tells of what the numbers in constraints consist. The bar is one of
// the surprises: "1||2 - 3" means ">=1 || 2, <=3", and "1|2" is no number.
func isWildNumeral(b byte) bool {
	return isDigit(b) || b == 'x' || b == 'X' || b == '*' || b == '|'
}

func isIdentifier(b byte) bool {
	return isDigit(b) || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '-'
}

func isOperator(b byte) bool {
	return b == '=' || b == '!' || b == '<' || b == '>' || b == '~' || b == '^'
}

func isSpace(b byte) bool {
	return b == ' ' || b == '\t' || b == '\n' || b == '\f' || b == '\r'
}
