package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/backup/archive"
	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// instanceLabel names the release that a pod belongs to (Kubernetes'
// recommended labels).
const instanceLabel = "app.kubernetes.io/instance"

// volume is one whose data lies in the data folder.
type volume struct {
	name, claim, folder string
}

// group is what is copied as of one moment. pods run and use the volumes.
type group struct {
	name    string // for messages: "release mysql"
	pods    []*corev1.Pod
	volumes []volume
}

// plan is what there is to copy.
type plan struct {
	groups  []group
	skipped []archive.Skipped
}

// withoutData lists all volumes as skipped.
func (p *plan) withoutData() []archive.Skipped {
	all := p.skipped
	for _, g := range p.groups {
		for _, v := range g.volumes {
			all = append(all, archive.Skipped{Name: v.name, Claim: v.claim, Why: "the backup was made without volumes"})
		}
	}
	slices.SortFunc(all, func(a, b archive.Skipped) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (m *Maker) planVolumes(ctx context.Context) (*plan, error) {
	volumes, err := builtin.PersistentVolumes.List(ctx, m.Verbs, object.ListOptions{})
	if err != nil {
		return nil, err
	}
	pods, err := builtin.Pods.List(ctx, m.Verbs, object.ListOptions{})
	if err != nil {
		return nil, err
	}
	return planOf(volumes, pods, m.VolumesDir), nil
}

// planOf divides the volumes in dir into groups. Pure.
func planOf(volumes []*corev1.PersistentVolume, pods []*corev1.Pod, dir string) *plan {
	p := &plan{}
	groups := map[string]*group{}
	for _, pv := range volumes {
		v := volume{name: pv.Name}
		if ref := pv.Spec.ClaimRef; ref != nil {
			v.claim = ref.Namespace + "/" + ref.Name
		}
		var why string
		if v.folder, why = folderOf(pv, dir); why != "" {
			p.skipped = append(p.skipped, archive.Skipped{Name: v.name, Claim: v.claim, Why: why})
			continue
		}
		users := usersOf(pv, pods)
		key := groupOf(users, v)
		g := groups[key]
		if g == nil {
			g = &group{name: key}
			groups[key] = g
		}
		g.volumes = append(g.volumes, v)
		for _, u := range users {
			if !slices.ContainsFunc(g.pods, func(have *corev1.Pod) bool { return have.UID == u.UID }) {
				g.pods = append(g.pods, u)
			}
		}
	}
	for _, g := range groups {
		slices.SortFunc(g.pods, func(a, b *corev1.Pod) int { return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
		p.groups = append(p.groups, *g)
	}
	slices.SortFunc(p.groups, func(a, b group) int { return strings.Compare(a.name, b.name) })
	return p
}

// folderOf is the name of a volume's folder in dir, or why it has none.
func folderOf(pv *corev1.PersistentVolume, dir string) (folder, why string) {
	at := ""
	switch {
	case pv.Spec.Local != nil:
		at = pv.Spec.Local.Path
	case pv.Spec.HostPath != nil:
		at = pv.Spec.HostPath.Path
	default:
		return "", "its data is not on this machine's disk"
	}
	if rel, err := filepath.Rel(dir, at); err == nil && filepath.IsLocal(rel) && rel != "." && !strings.Contains(rel, "/") {
		return rel, ""
	}
	return "", "its data lies outside of the cluster's folder, in " + at
}

// usersOf are the pods whose containers may be writing to a volume.
func usersOf(pv *corev1.PersistentVolume, pods []*corev1.Pod) []*corev1.Pod {
	ref := pv.Spec.ClaimRef
	if ref == nil {
		return nil
	}
	var users []*corev1.Pod
	for _, p := range pods {
		if p.Namespace != ref.Namespace || p.Spec.NodeName == "" || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		if slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
			return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == ref.Name ||
				v.Ephemeral != nil && p.Name+"-"+v.Name == ref.Name
		}) {
			users = append(users, p)
		}
	}
	return users
}

// groupOf names the group of a volume: the release of the first pod that uses
// it and has one, else the volume's own.
func groupOf(users []*corev1.Pod, v volume) string {
	for _, p := range users {
		if release := p.Labels[instanceLabel]; release != "" {
			return "release " + p.Namespace + "/" + release
		}
	}
	if v.claim != "" {
		return "claim " + v.claim
	}
	return "volume " + v.name
}

func (m *Maker) writeVolumes(ctx context.Context, a *archive.Writer, p *plan) ([]archive.Volume, error) {
	var all []archive.Volume
	for _, g := range p.groups {
		done, err := m.writeGroup(ctx, a, g)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.name, err)
		}
		all = append(all, done...)
	}
	return all, nil
}

// writeGroup readies the pods of a group, copies its volumes, and lets the pods
// go on, whatever happens.
func (m *Maker) writeGroup(ctx context.Context, a *archive.Writer, g group) (all []archive.Volume, err error) {
	q := &quiet{maker: m}
	defer func() { err = errors.Join(err, q.end(ctx)) }()
	how, err := q.begin(ctx, g.pods)
	if err != nil {
		return nil, err
	}
	start := m.Now()
	for _, v := range g.volumes {
		done, err := m.writeVolume(ctx, a, v)
		if err != nil {
			return nil, fmt.Errorf("volume %s: %w", v.name, err)
		}
		done.How = how
		all = append(all, done)
	}
	m.Logger.Info("volumes copied", "of", g.name, "how", how, "took", m.Now().Sub(start).Round(time.Millisecond))
	return all, nil
}

func (m *Maker) writeVolume(ctx context.Context, a *archive.Writer, v volume) (archive.Volume, error) {
	done := archive.Volume{Name: v.name, Claim: v.claim, Folder: v.folder}
	files, bytes, err := a.Tree(ctx, filepath.Join(m.VolumesDir, v.folder), path.Join(archive.VolumesDir, v.folder))
	done.Files, done.Bytes = files, bytes
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(filepath.Join(m.VolumesDir, v.folder)); errors.Is(statErr, fs.ErrNotExist) {
			return done, nil // it is made when a pod first uses it
		}
	}
	return done, err
}
