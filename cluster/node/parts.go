package node

import (
	"context"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/seed38700745/pkg/cluster/cri"
)

// Runtime runs sandboxes and containers. Package container implements it.
// Every method is idempotent: what is already so is no error.
type Runtime interface {
	// RunSandbox makes a pod's sandbox and starts its shim.
	RunSandbox(ctx context.Context, c cri.SandboxConfig) error
	// RemoveSandbox kills what still runs in it and removes all traces.
	RemoveSandbox(ctx context.Context, podUID string) error
	// Sandboxes lists what there is, also what an earlier agent started.
	Sandboxes(ctx context.Context) ([]cri.Sandbox, error)
	// Sandbox returns one; ok is false when there is none.
	Sandbox(ctx context.Context, podUID string) (s cri.Sandbox, ok bool, err error)

	// StartContainer creates and starts a container in its sandbox. A start
	// that fails leaves a container in state Exited with code 128 and the
	// reason in Message, besides the error.
	StartContainer(ctx context.Context, podUID string, c cri.ContainerConfig) (cri.Container, error)
	// StopContainer sends the stop signal, waits up to grace, then kills.
	StopContainer(ctx context.Context, podUID, id string, grace time.Duration) error
	// RemoveContainer removes an exited container's root and records, not its log.
	RemoveContainer(ctx context.Context, podUID, id string) error
	Exec(ctx context.Context, podUID, id string, e cri.ExecConfig) (exitCode int, err error)
	// Attach connects to a running container's first process.
	Attach(ctx context.Context, podUID, id string, e cri.ExecConfig) error
	// Freeze makes all processes of the pod's containers stand still until
	// Thaw. When it fails nothing is frozen.
	Freeze(ctx context.Context, podUID string) error
	// Thaw lets them go on. A pod that is gone is no error.
	Thaw(podUID string) error
	// ReopenLog makes the shim open LogPath anew, after a rotation.
	ReopenLog(ctx context.Context, podUID, id string) error
	Stats(ctx context.Context, podUID, id string) (cri.Stats, error)
	PodStats(ctx context.Context, podUID string) (cri.Stats, error)
	// Events tells when a container ended or a shim died.
	Events() <-chan cri.Event
}

// Images resolves references to unpacked images. Package image implements it.
type Images interface {
	// Ensure makes the image present. Errors wrap cri.ErrInvalidImageName,
	// cri.ErrImageNeverPull or describe why neither registry nor substitute
	// gave it.
	// progress may be nil.
	Ensure(ctx context.Context, name string, policy cri.PullPolicy, creds cri.Credentials, progress func(cri.ImageProgress)) (cri.Image, error)
	// Present returns a local image without asking anybody.
	Present(name string) (cri.Image, bool)
	List() ([]cri.Image, error)
	Load(ctx context.Context, tar io.Reader) ([]cri.Image, error)
	Save(ctx context.Context, names []string, w io.Writer) error
	Remove(name string) error
	// Free removes the images ids, one after the other, until so many bytes
	// are free.
	Free(ids []string, bytes int64) (removed []string, freed int64, err error)
	// Prune removes images that keep does not name (by ID), and returns the
	// removed names and the bytes freed.
	Prune(keep func(id string) bool) (removed []string, freed int64, err error)
}

// Network attaches pods. Package network implements it.
type Network interface {
	// Attach gives the pod a network namespace and address, or returns the
	// ones it has.
	Attach(ctx context.Context, podUID string, ports []cri.PortMapping) (cri.PodNetwork, error)
	Detach(ctx context.Context, podUID string) error
	// Attached lists the pods that have a namespace, by UID.
	Attached() (map[string]cri.PodNetwork, error)
	// NodeIP is this node's address as others reach it.
	NodeIP() string
}

// Volumes makes a pod's volumes. Package volume implements it.
type Volumes interface {
	// Setup makes all volumes of the pod and returns the folder or file on
	// the host for each volume's name. It may be called again, and then
	// refreshes configMap, secret, downwardAPI and projected volumes.
	Setup(ctx context.Context, pod *corev1.Pod) (map[string]string, error)
	// Teardown removes what Setup made, except persistent volumes' data.
	Teardown(ctx context.Context, podUID string) error
	// Pods lists the UIDs that have volumes set up.
	Pods() ([]string, error)
}

// DNS tells pods how to resolve names.
type DNS struct {
	Server string // the cluster DNS address
	Domain string // "cluster.local"
}
