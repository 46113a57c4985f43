//go:build !front

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/release"
	"github.com/seed38700745/pkg/repo"
)

// completionTimeout bounds what one press of Tab may cost.
const completionTimeout = 2 * time.Second

// completer gives the words that may stand at an argument.
type completer func(ctx context.Context, args []string, word string) []cobra.Completion

// addCompletions tells cobra what releases, charts, versions, values and
// repositories there are. Shells ask for it through the hidden __complete command.
func (a *app) addCompletions(root *cobra.Command) {
	at := func(path string, byPosition ...completer) {
		cmd, _, err := root.Find(strings.Fields(path))
		if err != nil {
			return
		}
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) >= len(byPosition) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
			defer cancel()
			return byPosition[len(args)](ctx, args, word), cobra.ShellCompDirectiveDefault
		}
	}
	for _, path := range []string{"get all", "get hooks", "get manifest", "get metadata", "get notes", "get values", "history", "logs", "open", "rollback", "status", "test", "uninstall"} {
		at(path, a.completeReleases)
	}
	at("upgrade", a.completeReleases, a.completeCharts)
	for _, path := range []string{"install", "template"} {
		at(path, a.completeCharts, a.completeCharts)
		a.completeFlags(root, path)
	}
	a.completeFlags(root, "upgrade")
	for _, path := range []string{"show all", "show chart", "show values", "show readme", "show crds", "pull"} {
		at(path, a.completeCharts)
		a.completeFlags(root, path)
	}
	at("repo remove", a.completeRepositories)
	at("repo update", a.completeRepositories)
}

// completeFlags completes --version and --set of a command whose last argument is a
// chart.
func (a *app) completeFlags(root *cobra.Command, path string) {
	cmd, _, err := root.Find(strings.Fields(path))
	if err != nil {
		return
	}
	for flag, f := range map[string]completer{"version": a.completeVersions, "set": a.completeValues, "set-string": a.completeValues} {
		if cmd.Flags().Lookup(flag) == nil {
			continue
		}
		directive := cobra.ShellCompDirectiveNoFileComp
		if flag != "version" {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		// The only error is that the flag does not exist.
		_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
			defer cancel()
			return f(ctx, args, word), directive
		})
	}
}

// completeReleases names the releases of the cluster that is meant. Without one
// there is nothing to offer; errors have no place in a completion.
func (a *app) completeReleases(ctx context.Context, _ []string, word string) []cobra.Completion {
	c, err := a.connect()
	if err != nil {
		return nil
	}
	r, err := c.releases(a, "list")
	if err != nil {
		return nil
	}
	list, err := r.List(ctx, release.ListOptions{All: true})
	if err != nil {
		return nil
	}
	var out []cobra.Completion
	for _, rel := range list {
		if strings.HasPrefix(rel.Name, word) {
			out = append(out, cobra.CompletionWithDesc(rel.Name, fmt.Sprintf("%s-%s %s", rel.Chart.Name(), rel.Chart.Metadata.Version, rel.Info.Status)))
		}
	}
	return out
}

// completeCharts names the charts of the known repositories; paths the shell adds.
func (a *app) completeCharts(_ context.Context, _ []string, word string) []cobra.Completion {
	if strings.HasPrefix(word, ".") || strings.HasPrefix(word, "/") {
		return nil
	}
	hits, err := a.repositories().Search(repo.SearchQuery{Devel: true})
	if err != nil {
		return nil
	}
	var out []cobra.Completion
	for _, h := range hits {
		if strings.HasPrefix(h.Name, word) {
			out = append(out, cobra.CompletionWithDesc(h.Name, h.Description))
		}
	}
	return out
}

// completeVersions names the versions of the chart among the arguments.
func (a *app) completeVersions(_ context.Context, args []string, word string) []cobra.Completion {
	if len(args) == 0 {
		return nil
	}
	hits, err := a.repositories().Search(repo.SearchQuery{Versions: true, Devel: true})
	if err != nil {
		return nil
	}
	var out []cobra.Completion
	for _, h := range hits {
		if h.Name == args[len(args)-1] && strings.HasPrefix(h.Version, word) {
			out = append(out, cobra.CompletionWithDesc(h.Version, "app version "+h.AppVersion))
		}
	}
	return out
}

// completeValues names the next keys of the values of the chart among the
// arguments, if it is at hand: a key press downloads nothing.
func (a *app) completeValues(ctx context.Context, args []string, word string) []cobra.Completion {
	if len(args) == 0 {
		return nil
	}
	ref := args[len(args)-1]
	prefix, _, _ := strings.Cut(ref, "/")
	if _, err := os.Stat(ref); err != nil && prefix != repo.BundledName && prefix != repo.StableName {
		return nil
	}
	res, err := a.repositories().Resolve(ctx, repo.Request{Ref: ref})
	if err != nil {
		return nil
	}
	done, current := "", word // several assignments may stand in one word
	if i := strings.LastIndexByte(word, ','); i >= 0 {
		done, current = word[:i+1], word[i+1:]
	}
	table, path := res.Chart.Values, ""
	for {
		key, rest, deeper := strings.Cut(current, ".")
		next, ok := table[key].(map[string]any)
		if !deeper || !ok {
			break
		}
		table, path, current = next, path+key+".", rest
	}
	var out []cobra.Completion
	for key, v := range table {
		if !strings.HasPrefix(key, current) {
			continue
		}
		end := "="
		if sub, ok := v.(map[string]any); ok && len(sub) > 0 {
			end = "."
		}
		out = append(out, done+path+strings.ReplaceAll(key, ".", `\.`)+end)
	}
	slices.Sort(out)
	return out
}

func (a *app) completeRepositories(_ context.Context, _ []string, word string) []cobra.Completion {
	list, err := a.repositories().Repositories()
	if err != nil {
		return nil
	}
	var out []cobra.Completion
	for _, e := range list {
		if strings.HasPrefix(e.Name, word) {
			out = append(out, cobra.CompletionWithDesc(e.Name, e.URL))
		}
	}
	return out
}
