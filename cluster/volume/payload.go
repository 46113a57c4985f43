package volume

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/seed38700745/pkg/cluster/object/builtin"
	"github.com/seed38700745/pkg/cluster/object/podfield"
)

// file is one file of a volume with content from the API.
type file struct {
	data []byte
	mode int32
	uid  *int64 // the owner, where it must not be root
}

// defaultMode is that of files where nothing else is said.
const defaultMode int32 = 0o644

// payload returns a volume's files by their paths in it, and whether they must
// not reach a disk.
func (m *Manager) payload(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (files map[string]file, secret bool, err error) {
	files = map[string]file{}
	switch {
	case v.ConfigMap != nil:
		s := v.ConfigMap
		return files, false, m.addConfigMap(ctx, files, pod, s.Name, s.Items, or(s.DefaultMode, defaultMode), isTrue(s.Optional))
	case v.Secret != nil:
		s := v.Secret
		return files, true, m.addSecret(ctx, files, pod, s.SecretName, s.Items, or(s.DefaultMode, defaultMode), isTrue(s.Optional))
	case v.DownwardAPI != nil:
		s := v.DownwardAPI
		return files, true, m.addDownward(ctx, files, pod, s.Items, or(s.DefaultMode, defaultMode))
	case v.Projected != nil:
		return files, true, m.addProjected(ctx, files, pod, v.Projected)
	}
	return nil, false, errors.New("this node knows no such kind of volume (it has emptyDir, configMap, secret, downwardAPI, projected, hostPath, persistentVolumeClaim, ephemeral)")
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func isTrue(b *bool) bool { return b != nil && *b }

func (m *Manager) addConfigMap(ctx context.Context, files map[string]file, pod *corev1.Pod, name string, items []corev1.KeyToPath, mode int32, optional bool) error {
	c, err := builtin.ConfigMaps.Get(ctx, m.Verbs, pod.Namespace, name)
	if apierrors.IsNotFound(err) {
		if optional {
			return nil
		}
		return fmt.Errorf("configmap %q not found", name)
	}
	if err != nil {
		return fmt.Errorf("configmap %q: %w", name, err)
	}
	data := map[string][]byte{}
	for k, value := range c.Data {
		data[k] = []byte(value)
	}
	for k, value := range c.BinaryData {
		data[k] = value
	}
	return addKeys(files, data, items, mode, optional, "references non-existent config key: ")
}

func (m *Manager) addSecret(ctx context.Context, files map[string]file, pod *corev1.Pod, name string, items []corev1.KeyToPath, mode int32, optional bool) error {
	s, err := builtin.Secrets.Get(ctx, m.Verbs, pod.Namespace, name)
	if apierrors.IsNotFound(err) {
		if optional {
			return nil
		}
		return fmt.Errorf("secret %q not found", name)
	}
	if err != nil {
		return fmt.Errorf("secret %q: %w", name, err)
	}
	return addKeys(files, s.Data, items, mode, optional, "references non-existent secret key: ")
}

// addKeys adds all keys under their names, or the items under their paths.
func addKeys(files map[string]file, data map[string][]byte, items []corev1.KeyToPath, mode int32, optional bool, missing string) error {
	if len(items) == 0 {
		for k, value := range data {
			files[k] = file{data: value, mode: mode}
		}
		return nil
	}
	for _, i := range items {
		value, ok := data[i.Key]
		if !ok {
			if optional {
				continue
			}
			return errors.New(missing + i.Key)
		}
		if err := addFile(files, i.Path, file{data: value, mode: or(i.Mode, mode)}); err != nil {
			return err
		}
	}
	return nil
}

// addFile adds a file whose path must stay within the volume.
func addFile(files map[string]file, name string, f file) error {
	clean := path.Clean(name)
	if name == "" || path.IsAbs(name) || clean == ".." || strings.HasPrefix(clean, "..") {
		return fmt.Errorf("invalid path: %q must be relative and must not begin with '..'", name)
	}
	files[clean] = f
	return nil
}

func (m *Manager) addDownward(ctx context.Context, files map[string]file, pod *corev1.Pod, items []corev1.DownwardAPIVolumeFile, mode int32) error {
	for _, i := range items {
		var value string
		var err error
		switch {
		case i.FieldRef != nil:
			value, err = podfield.Value(pod, i.FieldRef.FieldPath)
		case i.ResourceFieldRef != nil:
			var node *corev1.Node
			if node, err = builtin.Nodes.Get(ctx, m.Verbs, "", m.Node); err == nil {
				value, err = podfield.Resource(pod, "", i.ResourceFieldRef, node.Status.Allocatable)
			}
		}
		if err != nil {
			return err
		}
		if err := addFile(files, i.Path, file{data: []byte(value), mode: or(i.Mode, mode)}); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manager) addProjected(ctx context.Context, files map[string]file, pod *corev1.Pod, p *corev1.ProjectedVolumeSource) error {
	mode := or(p.DefaultMode, defaultMode)
	for _, s := range p.Sources {
		var err error
		switch {
		case s.ConfigMap != nil:
			err = m.addConfigMap(ctx, files, pod, s.ConfigMap.Name, s.ConfigMap.Items, mode, isTrue(s.ConfigMap.Optional))
		case s.Secret != nil:
			err = m.addSecret(ctx, files, pod, s.Secret.Name, s.Secret.Items, mode, isTrue(s.Secret.Optional))
		case s.DownwardAPI != nil:
			err = m.addDownward(ctx, files, pod, s.DownwardAPI.Items, mode)
		case s.ServiceAccountToken != nil:
			err = m.addToken(ctx, files, pod, s.ServiceAccountToken, mode)
		default:
			err = errors.New("this node projects configMap, secret, downwardAPI and serviceAccountToken only")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tokenMode is a token's mode where its reader is known.
const tokenMode int32 = 0o600

func (m *Manager) addToken(ctx context.Context, files map[string]file, pod *corev1.Pod, s *corev1.ServiceAccountTokenProjection, mode int32) error {
	text, err := m.tokens.get(ctx, pod, s)
	if err != nil {
		return fmt.Errorf("failed to fetch token: %w", err)
	}
	f := file{data: []byte(text), mode: mode}
	if own := ownership(pod); own.gid != nil {
		f.mode = tokenMode // the group is added with the volume's
	} else if uid := soleUser(pod); uid != nil {
		f.mode, f.uid = tokenMode, uid
	}
	return addFile(files, s.Path, f)
}

// soleUser is the user that all containers of the pod run as, if that is said.
func soleUser(pod *corev1.Pod) *int64 {
	var sole *int64
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			var user *int64
			if s := pod.Spec.SecurityContext; s != nil {
				user = s.RunAsUser
			}
			if s := c.SecurityContext; s != nil && s.RunAsUser != nil {
				user = s.RunAsUser
			}
			if user == nil || sole != nil && *sole != *user {
				return nil
			}
			sole = user
		}
	}
	return sole
}
