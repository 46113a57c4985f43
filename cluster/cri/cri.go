// Package cri is what the node agent and its parts (containers, images,
// network, volumes) exchange: plain data, with the words of Kubernetes'
// Container Runtime Interface. It is a leaf.
package cri

import (
	"io"
	"time"
)

// Image is an unpacked image that containers can be started from.
type Image struct {
	ID     string   // "sha256:..." of the image's config
	Name   string   // the reference asked for, normalised: "docker.io/library/mysql:8.0"
	Digest string   // "docker.io/library/mysql@sha256:...", empty for built or loaded ones without
	Layers []string // folders with the unpacked layers, lowest first
	Size   int64    // bytes on disk
	Config ImageConfig
	// Origin says, in a sentence for the user, where it came from when that is
	// not the registry that the reference names; else empty.
	Origin string
}

// ImageConfig is what an image says about how to run it.
type ImageConfig struct {
	Env          []string // "K=V"
	Entrypoint   []string
	Cmd          []string
	User         string // "", "1000", "1000:1000", "mysql"
	WorkingDir   string
	StopSignal   string
	ExposedPorts []string // "80/tcp"
	Volumes      []string // paths
	Labels       map[string]string
}

// SandboxConfig describes a pod's sandbox: what its containers share.
type SandboxConfig struct {
	PodUID    string
	Namespace string
	Name      string
	Hostname  string // of the UTS namespace; empty with HostNetwork
	// NetNS is the path of the pod's network namespace; empty: the host's.
	NetNS   string
	HostPID bool
	HostIPC bool
	// SharePID: all containers share one PID namespace.
	SharePID bool
	Sysctls  map[string]string
	// Resources bound the pod's cgroup as a whole.
	Resources Resources
	LogDir    string // holds <container>/<attempt>.log
}

// Resources are cgroup settings. Zero values mean no setting.
type Resources struct {
	CPUShares   uint64 // cgroup v1 shares, 2..262144
	CPUQuota    int64  // microseconds per CPUPeriod
	CPUPeriod   uint64
	Memory      int64 // limit in bytes
	Pids        int64
	OOMScoreAdj int
}

// Sandbox is a pod's sandbox as the runtime finds it.
type Sandbox struct {
	PodUID     string
	Namespace  string
	Name       string
	NetNS      string
	Ready      bool // the shim lives
	Containers []Container
}

// ContainerConfig describes one attempt to run one container.
type ContainerConfig struct {
	Name    string // the container's name in its pod
	Attempt int    // 0, 1, ...: the restart count
	Image   Image
	Args    []string // what is executed, expanded: entrypoint and arguments
	Env     []string // complete, "K=V", later ones win
	Dir     string
	Mounts  []Mount
	User    User
	TTY     bool
	Stdin   bool // keeps standard input open for attach
	// StdinOnce closes standard input after the first attach ends.
	StdinOnce bool

	Privileged       bool
	ReadonlyRootfs   bool
	NoNewPrivileges  bool
	AddCapabilities  []string // "NET_ADMIN"; "ALL"
	DropCapabilities []string
	// Seccomp: "RuntimeDefault", "Unconfined" or an absolute path of a profile.
	Seccomp     string
	MaskedPaths bool // mask /proc/kcore and the like (ProcMount Default)
	Devices     []Device
	Resources   Resources
	StopSignal  string // "SIGTERM" when empty
	// PIDOf is the ID of a running container of the pod whose processes this
	// one sees, in its PID namespace; empty: it has the one that the sandbox says.
	PIDOf string
	// TerminationMessagePath is inside the container; its host file is one
	// of the Mounts.
	TerminationMessagePath string
	// Labels come back in Container; the agent keeps its own data in them.
	Labels map[string]string
}

// User is who a container's process is. A Name is looked up in the image.
type User struct {
	Name   string // "mysql", "1000:1000" or ""; used when UID is nil
	UID    *int64
	GID    *int64
	Groups []int64 // supplemental, with fsGroup
	// NonRoot refuses to start when the user turns out to be 0.
	NonRoot bool
}

// Mount binds a path of the host into a container.
type Mount struct {
	HostPath      string // empty with Type "tmpfs"
	ContainerPath string
	ReadOnly      bool
	Propagation   string // "", "HostToContainer", "Bidirectional"
	Type          string // "bind" (default) or "tmpfs"
	Size          int64  // tmpfs: bytes, 0 no limit
}

// Device passes a device node.
type Device struct {
	HostPath, ContainerPath, Permissions string
}

// State is a container's state.
type State string

// The states.
const (
	Created State = "created"
	Running State = "running"
	Exited  State = "exited"
	Unknown State = "unknown" // its shim died without telling how it ended
)

// Container is one attempt as the runtime finds it.
type Container struct {
	ID         string // unique for each attempt, 64 hex digits
	PodUID     string
	Name       string
	Attempt    int
	ImageID    string
	ImageName  string
	State      State
	PID        int // of its first process in the host's PID namespace, while running
	StartedAt  time.Time
	FinishedAt time.Time
	ExitCode   int
	Signal     int // that ended it, or 0
	OOMKilled  bool
	// Message says why it could not be started (exit code 128).
	Message string
	LogPath string
	// LayerDir holds what the container wrote to its root; empty when unknown.
	LayerDir string
	Labels   map[string]string
}

// ExecConfig is a command to run in a running container.
type ExecConfig struct {
	Args   []string
	TTY    bool
	Stdin  io.Reader // nil: none
	Stdout io.Writer // may be nil
	Stderr io.Writer // may be nil; unused with TTY
	Resize <-chan Size
	// Timeout ends the command with SIGKILL; 0: none.
	Timeout time.Duration
}

// Size is a terminal's size in characters.
type Size struct{ Width, Height uint16 }

// PodNetwork is a pod's attachment to the network.
type PodNetwork struct {
	NetNS string // path of the namespace, stable as long as it is attached
	IPs   []string
}

// PortMapping forwards a port of the host to a pod (hostPort).
type PortMapping struct {
	HostIP        string
	HostPort      int32
	ContainerPort int32
	Protocol      string // "TCP", "UDP"
}

// Stats are a container's or pod's use of resources, counted since its start.
// What the kernel does not tell is 0.
type Stats struct {
	Time   time.Time
	Cgroup string // from the hierarchies' root: "/pkg/0a1b2c3d/pod<uid>/<id>"

	CPUNanoseconds       uint64
	CPUUserNanoseconds   uint64
	CPUSystemNanoseconds uint64
	Throttling           Throttling

	MemoryWorkingSet uint64 // bytes
	MemoryRSS        uint64
	MemoryUsage      uint64
	MemoryPeak       uint64 // the highest usage so far
	MemoryCache      uint64
	MemoryMapped     uint64 // files in the address space
	MemorySwap       uint64
	MemoryKernel     uint64
	MemoryLimitHits  uint64 // how often usage met the limit
	PageFaults       uint64
	MajorPageFaults  uint64

	Pids      uint64 // threads
	Processes uint64
	OOMKills  uint64
	Disks     []DiskIO
	// Limits are the settings in force; without a limit 0.
	Limits Resources
}

// Throttling counts the periods of a CPU quota.
type Throttling struct {
	Periods, ThrottledPeriods, ThrottledNanoseconds uint64
}

// DiskIO is what went to and from one block device.
type DiskIO struct {
	Device                               string // "/dev/sda"
	ReadBytes, WriteBytes, Reads, Writes uint64
}

// Event tells the agent that something happened to a pod's container, so that
// it looks again; it carries no state.
type Event struct {
	PodUID      string
	ContainerID string
}

// ImageProgress reports a pull: bytes done of total (0: not known) and what is
// being done, for the user.
type ImageProgress struct {
	Name        string
	Stage       string // "resolving", "downloading", "unpacking", "building"
	Done, Total int64
}

// PullPolicy is Kubernetes' imagePullPolicy.
type PullPolicy string

// The policies.
const (
	PullAlways       PullPolicy = "Always"
	PullIfNotPresent PullPolicy = "IfNotPresent"
	PullNever        PullPolicy = "Never"
)

// Credentials for registries. Several may fit one.
type Credentials []Credential

// Credential is for a registry, or part of it. Registry is as in docker's
// config.json: a host, perhaps with stars for parts of its name, with a scheme
// before and a path behind it.
type Credential struct{ Registry, Username, Password, IdentityToken string }
