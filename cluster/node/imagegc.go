package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/node/eviction"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// The kubelet's shares of the disk in use, in percent: from imageHigh on, unused
// images go until imageLow is reached. Images younger than imageMinAge stay.
const (
	imageHigh   = 85
	imageLow    = 80
	imageMinAge = 2 * time.Minute
)

// imageUse remembers when images were used last, by ID. Like the kubelet's it
// starts anew with the program.
type imageUse struct {
	mu    sync.Mutex
	first map[string]time.Time // seen; guarded by mu
	last  map[string]time.Time // in use; guarded by mu
}

// look notes which images there are and which are in use, and returns those
// that may go, the longest unused first.
func (u *imageUse) look(images []cri.Image, used map[string]bool, now time.Time) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	first, last := map[string]time.Time{}, map[string]time.Time{}
	var unused []string
	for _, i := range images {
		if _, twice := first[i.ID]; twice { // another name
			continue
		}
		first[i.ID], last[i.ID] = now, u.last[i.ID]
		if at, known := u.first[i.ID]; known {
			first[i.ID] = at
		}
		if used[i.ID] {
			last[i.ID] = now
		} else if now.Sub(first[i.ID]) >= imageMinAge {
			unused = append(unused, i.ID)
		}
	}
	u.first, u.last = first, last
	slices.SortFunc(unused, func(a, b string) int {
		if c := last[a].Compare(last[b]); c != 0 {
			return c
		}
		if c := first[a].Compare(first[b]); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	return unused
}

// collectImages removes images that nothing uses or may roll back to, the
// longest unused first, when the disk is fuller than imageHigh.
func (a *Agent) collectImages(ctx context.Context) error {
	used, err := a.imagesInUse(ctx)
	if err != nil {
		return err
	}
	images, err := a.Images.List()
	if err != nil {
		return fmt.Errorf("images: %w", err)
	}
	unused := a.imageUse.look(images, used, a.Now())
	amounts, err := a.Measure()
	if err != nil {
		return fmt.Errorf("measure the node: %w", err)
	}
	disk := amounts[eviction.ImageFSAvailable]
	if disk.Capacity == 0 || disk.Available*100 > disk.Capacity*(100-imageHigh) {
		return nil
	}
	kept := map[string]bool{}
	if err := a.addHistory(ctx, kept); err != nil {
		return err
	}
	unused = slices.DeleteFunc(unused, func(id string) bool { return kept[id] })
	want := disk.Capacity*(100-imageLow)/100 - disk.Available
	removed, freed, err := a.Images.Free(unused, want)
	if len(removed) > 0 {
		a.Logger.Info("unused images removed", "images", removed, "bytes", freed)
	}
	if err != nil {
		return fmt.Errorf("images: %w", err)
	}
	if freed < want {
		a.tellNode(ctx, news{corev1.EventTypeWarning, "FreeDiskSpaceFailed",
			fmt.Sprintf("Failed to garbage collect required amount of images. Attempted to free %d bytes, but only found %d bytes eligible to free.", want, freed)})
	}
	return nil
}

// imagesToKeep returns the IDs of the images that are in use, and with history of
// those that a rollback or a schedule would use.
func (a *Agent) imagesToKeep(ctx context.Context, history bool) (map[string]bool, error) {
	used, err := a.imagesInUse(ctx)
	if err != nil || !history {
		return used, err
	}
	return used, a.addHistory(ctx, used)
}

// revisionLabels are those of the Secrets in which releases' revisions are
// recorded; object.ImagesAnnotation says what they ran.
const revisionLabels = "owner=helm"

// addHistory adds the images of pods that a rollback or a schedule would make:
// of revisions of releases, of ReplicaSets, also those scaled to 0, of revisions
// of StatefulSets and DaemonSets, and of CronJobs.
func (a *Agent) addHistory(ctx context.Context, used map[string]bool) error {
	keep := func(name string) {
		if i, ok := a.Images.Present(name); ok {
			used[i.ID] = true
		}
	}
	add := func(spec *corev1.PodSpec) {
		for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
			keep(c.Image)
		}
	}
	selector, err := labels.Parse(revisionLabels)
	if err != nil {
		return err
	}
	releases, err := builtin.Secrets.List(ctx, a.Verbs, object.ListOptions{Labels: selector})
	if err != nil {
		return fmt.Errorf("list releases: %w", err)
	}
	for _, s := range releases {
		for _, name := range object.KeptImages(s) {
			keep(name)
		}
	}
	sets, err := builtin.ReplicaSets.List(ctx, a.Verbs, object.ListOptions{})
	if err != nil {
		return fmt.Errorf("list ReplicaSets: %w", err)
	}
	for _, s := range sets {
		add(&s.Spec.Template.Spec)
	}
	revisions, err := builtin.ControllerRevisions.List(ctx, a.Verbs, object.ListOptions{})
	if err != nil {
		return fmt.Errorf("list ControllerRevisions: %w", err)
	}
	for _, r := range revisions {
		var data struct {
			Spec struct {
				Template corev1.PodTemplateSpec `json:"template"`
			} `json:"spec"`
		}
		if json.Unmarshal(r.Data.Raw, &data) == nil { // else another's, which says nothing of images
			add(&data.Spec.Template.Spec)
		}
	}
	jobs, err := builtin.CronJobs.List(ctx, a.Verbs, object.ListOptions{})
	if err != nil {
		return fmt.Errorf("list CronJobs: %w", err)
	}
	for _, j := range jobs {
		add(&j.Spec.JobTemplate.Spec.Template.Spec)
	}
	return nil
}

// imagesInUse returns the IDs of the images that containers were started from
// or that pods of this node name.
func (a *Agent) imagesInUse(ctx context.Context) (map[string]bool, error) {
	sandboxes, err := a.Runtime.Sandboxes(ctx)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, s := range sandboxes {
		for _, c := range s.Containers {
			used[c.ImageID] = true
		}
	}
	for _, pod := range a.Pods() {
		if isTerminal(pod.Status.Phase) {
			continue
		}
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			if i, ok := a.Images.Present(c.Image); ok {
				used[i.ID] = true
			}
		}
	}
	return used, nil
}
