package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// chartCommands are helm's commands that need no cluster.
var chartCommands = strings.Split("completion bash,completion fish,completion powershell,completion zsh,create,"+
	"dependency build,dependency list,dependency update,env,lint,package,pull,push,registry login,registry logout,"+
	"repo add,repo index,repo list,repo remove,repo update,search hub,search repo,"+
	"show all,show chart,show crds,show readme,show values,template,verify,version", ",")

// releaseCommands are helm's commands that work on releases.
var releaseCommands = strings.Split("install,upgrade,rollback,uninstall,list,status,history,test,"+
	"get all,get hooks,get manifest,get metadata,get notes,get values", ",")

var helpFlag = regexp.MustCompile(`(?m)^\s+(?:-\w, |\s{4})--([a-z-]+)`)

const compatibilityDoc = "../../docs/helm-compatibility.md"

// TestFlagsAreThoseOfHelm compares the flags of every command with those that helm's
// own help names. What is missing stands, with its reason, in
// docs/helm-compatibility.md, and nothing else does.
func TestFlagsAreThoseOfHelm(t *testing.T) {
	helm := absolute(t, helmProgram(t, 3))
	doc, err := os.ReadFile(filepath.FromSlash(compatibilityDoc))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z ]+)` \\| `(--[a-z-]+|)` \\| .+ \\|$").FindAllStringSubmatch(string(doc), -1) {
		listed[m[1]+" "+m[2]] = true
	}
	a := newApp()
	a.asHelm = true
	root := newRootCommand(a, nil)
	missing := []string{}
	for _, name := range slices.Concat(chartCommands, releaseCommands) {
		cmd, rest, err := root.Find(strings.Fields(name))
		if err != nil || len(rest) > 0 {
			missing = append(missing, name+" ")
			continue
		}
		have := flagsOf(cmd)
		help := ask(t, helm, t.TempDir(), t.TempDir(), append(strings.Fields(name), "--help")...)
		for _, m := range helpFlag.FindAllStringSubmatch(help.Out, -1) {
			if m[1] != "help" && !have[m[1]] {
				missing = append(missing, name+" --"+m[1])
			}
		}
	}
	for _, m := range missing {
		if !listed[m] {
			t.Errorf("helm has %q; %s does not say why pkg has not", m, compatibilityDoc)
		}
	}
	for m := range listed {
		if !slices.Contains(missing, m) {
			t.Errorf("%s lists %q, which is not missing", compatibilityDoc, m)
		}
	}
}

func flagsOf(cmd *cobra.Command) map[string]bool {
	have := map[string]bool{}
	for _, set := range []*pflag.FlagSet{cmd.Flags(), cmd.InheritedFlags()} {
		set.VisitAll(func(f *pflag.Flag) { have[f.Name] = true })
	}
	return have
}

// TestEnvHasHelmsNames: programs that drive helm ask `helm env` for its folders.
func TestEnvHasHelmsNames(t *testing.T) {
	names := func(program string) []string {
		var out []string
		for _, line := range strings.Fields(ask(t, program, t.TempDir(), t.TempDir(), "env").Out) {
			name, _, _ := strings.Cut(line, "=")
			out = append(out, name)
		}
		return out
	}
	if diff := cmp.Diff(names(absolute(t, helmProgram(t, 3))), names(asHelm(t))); diff != "" {
		t.Errorf("(-helm +pkg):\n%s", diff)
	}
}
