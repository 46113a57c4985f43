//go:build !front

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed38700745/pkg/repo"
)

// updatesAtOnce is how many repositories are asked at the same time.
const updatesAtOnce = 16

func newRepoUpdateCommand(a *app) *cobra.Command {
	var failOnError bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "update [REPO1 [REPO2 ...]]",
		Aliases: []string{"up"},
		Short:   "update information of available charts locally from chart repositories",
		Long: `Fetch the indexes of all repositories, or of those named, at the same time. A server
that says that its index has not changed is not asked for it again. One repository that
fails does not stop the others; the exit code is 1 then.`,
		Example: "  pkg repo update\n  pkg repo update bitnami",
		Args:    a.argCount(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), timeout, fmt.Errorf("not fetched within %s (--timeout)", timeout))
			defer cancel()
			return runRepoUpdate(ctx, a, args, failOnError)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "time to wait for the index file download to complete")
	cmd.Flags().BoolVar(&failOnError, "fail-on-repo-update-fail", false, "update fails if any of the repository updates fail")
	return cmd
}

func runRepoUpdate(ctx context.Context, a *app, names []string, failOnError bool) error {
	r := a.repositories()
	list, err := r.Repositories()
	if err != nil {
		return err
	}
	if len(list) == 0 {
		if a.asHelm {
			return errors.New("no repositories found. You must add one before updating")
		}
		_, err := fmt.Fprintln(a.Out, "No repositories were added; the charts that come with pkg need no update.")
		return err
	}
	for _, name := range names {
		if !slices.ContainsFunc(list, func(e *repo.Repository) bool { return e.Name == name }) {
			return fmt.Errorf("no repositories found matching '%s'.  Nothing will be updated", name)
		}
	}
	if len(names) > 0 {
		list = slices.DeleteFunc(list, func(e *repo.Repository) bool { return !slices.Contains(names, e.Name) })
	}
	failed := a.updateAll(ctx, r, list)
	if len(failed) > 0 && (failOnError || !a.asHelm) {
		if a.asHelm {
			return fmt.Errorf("Failed to update the following repositories: %s", failed)
		}
		return withHint(fmt.Errorf("%d of %d repositories were not updated: %s", len(failed), len(list), strings.Join(failed, ", ")),
			"what was cached of them before stays in use; pkg repo remove NAME ends that")
	}
	_, err = fmt.Fprintln(a.Out, "Update Complete. ⎈Happy Helming!⎈")
	return err
}

// updateAll updates repositories at the same time and tells how each fared. It returns
// those that failed: names, or URLs when called as helm.
func (a *app) updateAll(ctx context.Context, r *repo.Resolver, list []*repo.Repository) (failed []string) {
	fmt.Fprintln(a.Out, "Hang tight while we grab the latest from your chart repositories...")
	p := a.newDownloads()
	r.Progress = p.report
	var mu sync.Mutex // guards failed and the output
	var wait sync.WaitGroup
	places := make(chan struct{}, updatesAtOnce)
	for _, e := range list {
		wait.Go(func() {
			places <- struct{}{}
			done, err := r.Update(ctx, e)
			<-places
			mu.Lock()
			defer mu.Unlock()
			p.erase()
			if err != nil {
				if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
					err = fmt.Errorf("%w: %w", err, cause)
				}
				fmt.Fprintf(a.Out, "...Unable to get an update from the %q chart repository (%s):\n\t%s\n", e.Name, e.URL, err)
				var hinted interface{ Hint() string }
				if errors.As(err, &hinted) && hinted.Hint() != "" && !a.asHelm {
					fmt.Fprintf(a.Out, "\thint: %s\n", hinted.Hint())
				}
				if a.asHelm {
					failed = append(failed, e.URL)
				} else {
					failed = append(failed, e.Name)
				}
				return
			}
			note := ""
			if done.Unchanged && !a.asHelm {
				note = " (not changed)"
			}
			if done.Note != "" {
				note += ": " + done.Note
			}
			fmt.Fprintf(a.Out, "...Successfully got an update from the %q chart repository%s\n", e.Name, note)
		})
	}
	wait.Wait()
	p.erase()
	slices.Sort(failed)
	return failed
}
