package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// frontFiles are the charts and values of TestFrontAnswersAsTheWhole. SERVER and
// REGISTRY stand for where those are.
const frontFiles = `
-- web/Chart.yaml --
apiVersion: v2
name: web
version: 1.0.0
-- web/values.yaml --
a: 1
-- web/templates/cm.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data: {a: "{{ .Values.a }}"}
-- said/Chart.yaml --
apiVersion: v2
name: said
version: 1.0.0
deprecated: true
-- said/requirements.yaml --
dependencies: []
-- said/templates/cm.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: said}
-- fails/Chart.yaml --
apiVersion: v2
name: fails
version: 1.0.0
-- fails/templates/a.yaml --
a: 1
-- fails/templates/b.yaml --
{{ fail "as it should" }}
-- heavy/Chart.yaml --
apiVersion: v2
name: heavy
version: 1.0.0
deprecated: true
-- heavy/values.yaml --
call: ""
-- heavy/templates/cm.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: heavy}
data: {{ tpl .Values.call . | default (dict "a" "{{ getHostByName \"localhost\" }}") | toJson }}
-- near/Chart.yaml --
apiVersion: v2
name: near
version: 1.0.0
dependencies: [{name: web, version: 1.x, repository: "file://../web"}]
-- cached/Chart.yaml --
apiVersion: v2
name: cached
version: 1.0.0
dependencies: [{name: web, version: ~1.0, repository: "SERVER"}]
-- alias/Chart.yaml --
apiVersion: v2
name: alias
version: 1.0.0
dependencies: [{name: web, version: ~1.0, repository: "@r"}, {name: nginx, version: "*", repository: "@stable"}]
-- remote/Chart.yaml --
apiVersion: v2
name: remote
version: 1.0.0
deprecated: true
dependencies: [{name: web, version: 1.0.0, repository: "oci://REGISTRY/x"}]
-- remote/requirements.lock --
dependencies: []
-- lost/Chart.yaml --
apiVersion: v2
name: lost
version: 1.0.0
dependencies: [{name: web, version: 1.0.0}]
-- nochart/README --
none
-- rare/Chart.yaml --
apiVersion: v2
name: rare
version: 1.0.0
-- rare/values.schema.json --
{"properties": {"a": {"type": "string"}}}
-- rare/values.yaml --
a: 1
-- v.yaml --
a: 2
-- bad.yaml --
a: [
-- sops.yaml --
a: ENC[]
sops: {mac: x, version: 3.9.0}
-- age.yaml --
age-encryption.org/v1
-- armor.yaml --
-----BEGIN AGE ENCRYPTED FILE-----
-- policy.yaml --
signatures: [{charts: r/web, keyring: /missing}]
-- elsewhere.yaml --
signatures: [{charts: oci://other.test/x, keyring: /missing}]
-- badpolicy.yaml --
signature: []
`

// TestFrontAnswersAsTheWhole runs command lines with pkg and with pkg-release, from the
// same state: they must say the same, with the same exit code, and leave the same files.
// Those that pkg runs itself are run where pkg-release is missing.
func TestFrontAnswersAsTheWhole(t *testing.T) {
	front, full, alone := frontPrograms(t)
	server := chartServer(t, "web", []string{"1.0.0", "1.1.0", "2.0.0-rc.1"}, nil)
	registry := memoryRegistry(t)
	state := frontState(t, full, server.URL, registry)
	for _, c := range frontCases(server.URL, registry) {
		t.Run(c.name()+" "+c.line, func(t *testing.T) {
			t.Parallel()
			work := filepath.Join(t.TempDir(), "work")
			run := func(program string) (answer, map[string]string) {
				return c.run(t, filepath.Join(filepath.Dir(program), c.name()), state, work)
			}
			program := front
			if c.here {
				program = alone
			}
			want, wantLeft := run(full)
			got, left := run(program)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: answers (-pkg-release +pkg):\n%s", c.before, diff)
			}
			if diff := cmp.Diff(wantLeft, left); diff != "" {
				t.Errorf("%s: leaves (-pkg-release +pkg):\n%s", c.before, diff)
			}
			if c.here || c.asHelm {
				return
			}
			const missing = "pkg-release is missing beside"
			if got, _ := run(alone); !strings.Contains(got.Out+got.Err, missing) || strings.Contains(want.Out+want.Err, missing) {
				t.Errorf("%s: pkg ran it itself:\n%s%s", c.before, got.Out, got.Err)
			}
		})
	}
}

// frontState makes a folder with the charts, and below home the configuration of three
// repositories and a cache that has two of a chart's three versions.
func frontState(t *testing.T, pkg, server, registry string) string {
	t.Helper()
	state := t.TempDir()
	files := strings.NewReplacer("SERVER", server, "REGISTRY", registry).Replace(frontFiles)
	for _, f := range txtar.Parse([]byte(files)).Files {
		name := filepath.Join(state, f.Name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, f.Data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range []string{
		"repo add r " + server, "repo add reg oci://" + registry + "/x", "package web", "push web-1.0.0.tgz oci://" + registry + "/x",
		"template x r/web --version 1.0.0", "template x r/web --devel",
	} {
		if a := ask(t, pkg, state, filepath.Join(state, "home"), strings.Fields(line)...); a.Code != 0 {
			t.Fatalf("pkg %s: %s", line, a.Err)
		}
	}
	list, err := os.OpenFile(filepath.Join(state, "home", "repositories.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = list.WriteString("- name: other\n  url: http://127.0.0.1:1\n") // where nobody answers
		err = errors.Join(err, list.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// run runs the command line in a copy of the state, and lists the files that it leaves.
func (c frontCase) run(t *testing.T, program, state, work string) (answer, map[string]string) {
	t.Helper()
	home := filepath.Join(work, "home")
	env := append(os.Environ(), "HOME="+home, "PKG_CONFIG_HOME="+home+"/pkg", "PKG_CACHE_HOME="+home+"/pkgcache", "HELM_REPOSITORY_CONFIG="+home+"/repositories.yaml",
		"HELM_REPOSITORY_CACHE="+home+"/repository", "HELM_REGISTRY_CONFIG="+home+"/registry.json", "KUBECONFIG=/dev/null", "GNUPGHOME="+home, "SOPS_AGE_KEY=", "XDG_CONFIG_HOME="+home)
	reset := exec.Command("sh", "-c", `rm -rf "$1" && cp -a "$2" "$1" && mkdir -p "$1/home/pkg" && cd "$1" && eval "$3"`, "sh", work, state, c.before)
	reset.Env = env
	if out, err := reset.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", c.before, err, out)
	}
	cmd := exec.Command("sh", "-c", `printf 'a: 9\n' | "$0" `+c.line, program)
	cmd.Dir, cmd.Env = work, env
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return answer{logTime.ReplaceAllString(out.String(), ""), logTime.ReplaceAllString(talk.String(), ""), cmd.ProcessState.ExitCode()}, treeOf(t, work)
}

// logTime begins log lines.
var logTime = regexp.MustCompile(`(?m)^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d `)

// frontCase is a command line: without here it goes on in pkg-release.
type frontCase struct {
	here   bool
	line   string // for sh, behind the program; its standard input is "a: 9"
	before string // commands for sh that change the state
	asHelm bool
}

func (c frontCase) name() string {
	if c.asHelm {
		return "helm"
	}
	return "pkg"
}

func frontCases(server, registry string) []frontCase {
	const here, there = true, false
	local := func(line string) frontCase { return frontCase{here: here, line: line} }
	left := func(line string) frontCase { return frontCase{here: there, line: line} }
	calling := func(text, flags string) frontCase {
		return frontCase{here: there, line: "template x heavy --set-file call=call " + flags, before: "echo '" + text + "' >call"}
	}
	list := []frontCase{
		local("version"), local("version --short"), local("version --template '{{.Version}} {{.GoVersion}}'"), left("version --bad"), left("version x"),
		left("template --help"), left("template"), local("template a b c"), left("template --bad"),
		local("template x web"), local("template x ./web -f v.yaml --set a=3"), local("template x web-1.0.0.tgz"), local("template -g web --name-template x web"),
		local("template x web -f bad.yaml"), local("template x web -f missing.yaml"), local("template x web --set-file a=missing"), local("template x web --set-file a=v.yaml"),
		local("template X_ web"), local("template x web -s templates/none.yaml"), local("template x web --kube-version bad"),
		local("template x web --output-dir out"), local("template x said --output-dir out"), local("template x web --output-dir v.yaml"),
		left("template x web --post-renderer cat"), left("template x web --post-renderer ./missing"), left("template x web --post-renderer false"),
		local("template x fails"), local("template x fails --debug"), local("template x said"), local("template x said 2>&1"),
		local("template x heavy"), local("template x web --name-template 'x-{{ divf 7 2 }}'"),
		local("template x rare"), local("template x lost --dependency-update=false -s none"),
		local("template x stable/mysql --set auth.password=a,auth.rootPassword=b 2>&1"), local("template x bundled/nginx"),
		local("template x bundled/nginx --version '>0'"),
		local("template x r/web --version 1.0.0"), local("template x r/web --version '~1.0'"), local("template x r/web --devel"), local("template x r/web --devel --version 1.0.0"),
		local("template x r/web --version '>=2.0.0-0'"), local("template x near"), local("template x cached"), local("template x alias"), local("template x r/web --version 1.0.0 --offline"),
		{here: here, line: "template x r/web --version 1.0.0", before: "cp elsewhere.yaml home/pkg/policy.yaml"},
		{here: here, line: "template x web", before: "cp policy.yaml home/pkg/policy.yaml"},
		{here: here, line: "template x web 2>&1", before: "cp -r web/templates shared && rm web/templates/cm.yaml && ln -s ../../shared web/templates/shared"},
		{line: "template x web", before: "ln -s .. web/templates/up"},
		{line: "template x r/web --version 1.0.0", before: "cp badpolicy.yaml home/pkg/policy.yaml"},
		{here: here, line: "template x alias", before: "pkg dependency update --offline alias && rm -r alias/charts && sed -i /generated/d alias/Chart.lock"},

		left("-n y template x web"), left("--debug template x fails"), left("templat"), left("--help"), left("repo list"), left("template x web --validate --kube-apiserver http://127.0.0.1:1"),
		calling("{{ b32enc `x` }}", ""), calling("{{ (genCA `x` 1).Nope }}", "--debug"), calling("{{ genSignedCert }}", ""), calling("{{ toToml .Values }}", "--output-dir out"),
		calling("{{ derivePassword 1 `long` `p` `u` `s` | fail }}", ""), left("template web --name-template 'x{{ b32enc `x` | lower }}'"),
		left("template x web -f -"), left("template x web -f v.yaml -f /dev/stdin"), left("template x web --set-file a=-"), left("template x /dev/stdin"),
		left("template x r/web --version 1.0.0 --repository-config /dev/stdin"), left("template x fails -f -"), left("template x web -f v.yaml,-"),
		left("template x web -f " + server + "/none.yaml"), left("template x web -f " + server + "/index.yaml"), left("template x web --set-file a=" + server + "/none"),
		left("template x web -f sops.yaml"), left("template x web -f age.yaml"), left("template x web -f armor.yaml"), left("template x web --set-file a=age.yaml"),
		left("template x r/web"), left("template x r/web --version '^1'"), left("template x r/web --version 9.9"), left("template x r/web --version 'a b'"), left("template x r/none"),
		left("template x r/web --version 1.0.0 --verify"), left("template x web-1.0.0.tgz --verify"), left("template x stable/mysql --verify"), left("template x web --verify"),
		left("template x nobody/web"), left("template x nothing"), left("template x ./nothing"), left("template x nochart"), left("template x nochart/README"), left("template x v.yaml"), left("template x ."),
		left("template x stable/none"), left("template x bundled/nginx --version 9.9"), left("template x bundle:none"),
		left("template x other/web"), left("--offline template x other/web"), left("--offline template x r/web"),
		left("template x reg/web"), left("template x reg/none"), left("--offline template x reg/web"),
		left("template x oci://" + registry + "/x/web"), left("template x oci://" + registry + "/x/none"), left("--offline template x oci://" + registry + "/x/web"), left("template x oci://" + registry + "/x/web --version 1.0.0"),
		left("template x " + server + "/web-1.0.0.tgz"), left("template x " + server + "/none.tgz"), left("template x web --repo " + server), left("template x web --repo " + server + " --version 1.0.0"),
		left("template x web --repo http://127.0.0.1:1"), left("--offline template x web --repo " + server),
		left("template x remote"), left("--offline template x remote 2>&1"), left("template x remote --output-dir out"), left("--debug template x remote 2>&1"),
		{line: "template x r/web --version 1.0.0", before: "cp policy.yaml home/pkg/policy.yaml"},
		{line: "template x r/web --version 1.0.0", before: "touch home/repository/r-index.yaml"},
		{line: "template x r/web --version 1.0.0", before: "rm home/repository/r-index.local"},
		{line: "--offline template x r/web --version 1.0.0", before: "rm home/repository/r-index.yaml"},
		{line: "template x r/web --version 1.0.0", before: "rm home/repository/r-index.*"},
		{line: "template x r/web --version 1.0.0", before: "for f in home/repository/content/*; do echo x >>$f; done"},
		{line: "--offline template x r/web --version 1.0.0", before: "rm -r home/repository/content"},
		{line: "template x r/web --version 1.0.0", before: "truncate -s -9 home/repository/r-index.local"},
		{line: "template x r/web --version 1.0.0", before: "sed -i s,http://,https://, home/repositories.yaml"},
	}
	for _, line := range []string{
		"version", "version --short", "version x", "template --help", "template", "template x web -f sops.yaml", "template x fails", "template x said 2>&1", "template x rare",
		"template x stable/mysql --set auth.password=a,auth.rootPassword=b 2>&1", "template x r/web --version 1.0.0", "template x cached", "template x cached --dependency-update",
		"template x remote 2>&1", "template x remote --dependency-update 2>&1", "template x web -f -", "template x web -f missing.yaml", "template x r/none", "template x nothing", "template x nobody/web",
	} {
		list = append(list, frontCase{line: line, asHelm: true})
	}
	return list
}

// treeOf has the files below dir: their contents, but for the caches' and configuration's,
// which hold times.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		tree[rel] = ""
		if strings.HasPrefix(rel, "home/") || !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		sum := sha256.Sum256(data)
		tree[rel] = string(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
