package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// aptMaxAge is how old package lists may be, unless the newest are asked for.
const aptMaxAge = 12 * time.Hour

// aptDir is where a machine's own apt configuration is.
const aptDir = "/etc/apt"

// apt reads one suite's package lists, kept apart from the machine's own. The
// machine's settings (proxies, keys) apply, and signatures are checked.
type apt struct {
	suite string
	dir   string
	lines []string // of sources.list
	arch  string   // Debian's name
}

// sourceLines returns the machine's sources for a suite in apt's one-line
// format. A source counts when it is of this machine's own release; its suite
// is replaced by the one that is asked for.
func sourceLines(dir, release, suite string) ([]string, error) {
	var out []string
	files, err := filepath.Glob(filepath.Join(dir, "sources.list.d", "*"))
	if err != nil {
		return nil, err
	}
	for _, file := range append([]string{filepath.Join(dir, "sources.list")}, files...) {
		b, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var all []aptSource
		switch filepath.Ext(file) {
		case ".list":
			all = parseList(string(b))
		case ".sources":
			all = parseDeb822(string(b))
		}
		for _, s := range all {
			pocket, ok := strings.CutPrefix(s.suite, release)
			if ok && (pocket == "" || pocket[0] == '-' || pocket[0] == '/') {
				s.suite = suite + pocket
				out = append(out, s.line())
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the apt sources in %s offer nothing of this machine's release %q that %s could come from", dir, release, suite)
	}
	return slices.Compact(out), nil
}

// aptSource is one line of sources.list.
type aptSource struct {
	signedBy, uri, suite, components string
}

func (s aptSource) line() string {
	option := ""
	if s.signedBy != "" {
		option = "[signed-by=" + s.signedBy + "] "
	}
	return strings.TrimSpace("deb " + option + s.uri + " " + s.suite + " " + s.components)
}

// parseList reads the one-line format (sources.list(5)).
func parseList(text string) []aptSource {
	var out []aptSource
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !ok {
			continue
		}
		var s aptSource
		rest = strings.TrimSpace(rest)
		if options, after, ok := strings.Cut(rest, "]"); ok && strings.HasPrefix(options, "[") {
			rest = after
			for option := range strings.FieldsSeq(options[1:]) {
				if v, ok := strings.CutPrefix(option, "signed-by="); ok {
					s.signedBy = v
				}
			}
		}
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			continue
		}
		s.uri, s.suite, s.components = fields[0], fields[1], strings.Join(fields[2:], " ")
		out = append(out, s)
	}
	return out
}

// parseDeb822 reads the format of .sources files. Keys that are given in the
// file itself are not supported; such a source fails its signature check.
func parseDeb822(text string) []aptSource {
	var out []aptSource
	for stanza := range strings.SplitSeq(text+"\n", "\n\n") {
		fields := map[string]string{}
		last := ""
		for line := range strings.Lines(stanza) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
				fields[last] += " " + strings.TrimSpace(line)
				continue
			}
			if k, v, ok := strings.Cut(line, ":"); ok {
				last = strings.ToLower(strings.TrimSpace(k))
				fields[last] = strings.TrimSpace(v)
			}
		}
		if !slices.Contains(strings.Fields(fields["types"]), "deb") || strings.EqualFold(fields["enabled"], "no") {
			continue
		}
		for uri := range strings.FieldsSeq(fields["uris"]) {
			for suite := range strings.FieldsSeq(fields["suites"]) {
				out = append(out, aptSource{signedBy: fields["signed-by"], uri: uri, suite: suite, components: fields["components"]})
			}
		}
	}
	return out
}

// releaseName reads this machine's release from an os-release file.
func releaseName(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(v, `"'`), nil
		}
	}
	return "", fmt.Errorf("%s names no VERSION_CODENAME", path)
}

// openApt prepares the lists of a suite below cache, fetching them when they are
// old or refresh is set. Processes that want the same lists wait for each other.
func (s *Store) openApt(ctx context.Context, suite string, refresh bool) (*apt, error) {
	lines := s.config.AptSources
	if len(lines) == 0 {
		release, err := releaseName("/etc/os-release")
		if err != nil {
			return nil, err
		}
		if lines, err = sourceLines(aptDir, release, suite); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	a := &apt{suite: suite, lines: lines, arch: debianArch(s.config.Arch),
		dir: filepath.Join(s.config.Cache, "apt", suite+"-"+s.config.Arch+"-"+hex.EncodeToString(sum[:4]))}
	for _, d := range []string{"lists/partial", "cache/archives/partial", "etc"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	unlock, err := lockFile(ctx, filepath.Join(a.dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	stamp := filepath.Join(a.dir, "updated")
	if st, err := os.Stat(stamp); err == nil && time.Since(st.ModTime()) < aptMaxAge && !refresh {
		return a, nil
	}
	for name, content := range map[string]string{"sources.list": strings.Join(lines, "\n") + "\n", "status": ""} {
		if err := os.WriteFile(filepath.Join(a.dir, "etc", name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	if _, err := a.run(ctx, "apt-get", "update", "--error-on=any"); err != nil {
		if _, serr := os.Stat(stamp); serr == nil && ctx.Err() == nil { // off the network, what is known serves
			s.log.Warn("package lists cannot be renewed; older ones are used", "suite", suite, "error", err)
			return a, nil
		}
		return nil, fmt.Errorf("package lists of %s: %w", suite, err)
	}
	return a, os.WriteFile(stamp, nil, 0o644)
}

// debianArch is Debian's name of an architecture.
func debianArch(goarch string) string {
	if name, ok := map[string]string{"386": "i386", "arm": "armhf", "ppc64le": "ppc64el"}[goarch]; ok {
		return name
	}
	return goarch
}

// run runs one of apt's programs on the suite's lists.
func (a *apt) run(ctx context.Context, program string, args ...string) (string, error) {
	etc := filepath.Join(a.dir, "etc")
	options := []string{"-q",
		"-o", "Dir::Etc::sourcelist=" + filepath.Join(etc, "sources.list"), "-o", "Dir::Etc::sourceparts=-",
		"-o", "Dir::Etc::preferences=-", "-o", "Dir::Etc::preferencesparts=-",
		"-o", "Dir::State::lists=" + filepath.Join(a.dir, "lists"), "-o", "Dir::State::status=" + filepath.Join(etc, "status"),
		"-o", "Dir::Cache=" + filepath.Join(a.dir, "cache"), "-o", "Debug::NoLocking=1",
		"-o", "APT::Architecture=" + a.arch, "-o", "APT::Architectures=" + a.arch,
		"-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User=root",
		"-o", "APT::Update::Post-Invoke-Success=", "-o", "APT::Update::Post-Invoke="}
	cmd := exec.CommandContext(ctx, program, append(options, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", fmt.Errorf("%s %s: %w: %s", program, args[0], err, complaint(stderr.String()))
	}
	return stdout.String(), nil
}

// complaint picks the errors out of apt's or mmdebstrap's talk.
func complaint(talk string) string {
	var errs []string
	for line := range strings.Lines(talk) {
		if strings.HasPrefix(line, "E:") {
			errs = append(errs, strings.TrimSpace(line))
		}
	}
	if len(errs) == 0 {
		lines := strings.Split(strings.TrimSpace(talk), "\n")
		errs = lines[max(0, len(lines)-3):]
	}
	return strings.Join(errs, "; ")
}

// candidate is a package in the version that was chosen.
type candidate struct {
	Name, Version string
	standalone    bool // depends on no other package
}

// choose finds the newest version of each package of a reference, of the first
// one the newest with its prefix.
func (a *apt) choose(ctx context.Context, d DebRef) ([]candidate, error) {
	table, err := a.run(ctx, "apt-cache", append([]string{"madison"}, d.Packages...)...)
	if err != nil {
		return nil, err
	}
	versions := map[string][]string{} // by package, newest first
	for line := range strings.Lines(table) {
		if f := strings.Split(line, "|"); len(f) == 3 && !strings.Contains(f[2], "Sources") {
			name := strings.TrimSpace(f[0])
			versions[name] = append(versions[name], strings.TrimSpace(f[1]))
		}
	}
	out := make([]candidate, len(d.Packages))
	exact := make([]string, len(d.Packages)) // name=version
	for i, p := range d.Packages {
		if len(versions[p]) == 0 {
			return nil, fmt.Errorf("%s has no package %s", a.suite, p)
		}
		prefix := ""
		if i == 0 {
			prefix = d.Version
		}
		at := slices.IndexFunc(versions[p], func(v string) bool { return hasVersionPrefix(v, prefix) })
		if at < 0 {
			return nil, fmt.Errorf("%s has no version %s of %s; available: %s", a.suite, prefix, p, strings.Join(slices.Compact(versions[p]), ", "))
		}
		out[i] = candidate{Name: p, Version: versions[p][at]}
		exact[i] = p + "=" + out[i].Version
	}
	records, err := a.run(ctx, "apt-cache", append([]string{"show"}, exact...)...)
	if err != nil {
		return nil, err
	}
	depends := map[string]bool{} // "name=version" of those that need others
	for record := range strings.SplitSeq(records, "\n\n") {
		id := field(record, "Package") + "=" + field(record, "Version")
		depends[id] = field(record, "Depends") != "" || field(record, "Pre-Depends") != ""
	}
	for i := range out {
		out[i].standalone = !depends[exact[i]]
	}
	return out, nil
}

// field is a field's value in a package's record, or empty.
func field(record, name string) string {
	for line := range strings.Lines(record) {
		if v, ok := strings.CutPrefix(line, name+": "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// hasVersionPrefix compares a version without its epoch. A prefix ends where a
// number does: 10.1 is no prefix of 10.11.
func hasVersionPrefix(version, prefix string) bool {
	if _, after, ok := strings.Cut(version, ":"); ok && !strings.Contains(prefix, ":") {
		version = after
	}
	rest, ok := strings.CutPrefix(version, prefix)
	if !ok || prefix == "" || rest == "" {
		return ok
	}
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	return !digit(rest[0]) || !digit(prefix[len(prefix)-1])
}

// lockPoll is how often a lock that another process holds is tried.
const lockPoll = 100 * time.Millisecond

// lockFile takes a lock that other processes respect.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			_ = f.Close()
			return nil, err
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}
