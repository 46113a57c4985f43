// Package eviction decides when a node is short of something and which pods go
// then, by the kubelet's rules.
//
// A Signal is an amount that is available on the node, a Threshold the amount
// below which the node is under pressure. Read measures, Thresholds.Met
// compares, Rank orders the pods, and Exceeded finds pods that use more of the
// disk than they may. Only Read and DiskUse look at the machine.
package eviction

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Signal names an amount that is available.
type Signal string

// The kubelet's signals. Images and pods lie on one file system unless a mount
// separates them: then imagefs is that of the images.
const (
	MemoryAvailable   Signal = "memory.available"
	NodeFSAvailable   Signal = "nodefs.available"
	NodeFSInodesFree  Signal = "nodefs.inodesFree"
	ImageFSAvailable  Signal = "imagefs.available"
	ImageFSInodesFree Signal = "imagefs.inodesFree"
	PIDAvailable      Signal = "pid.available"
)

// known are the signals in the order in which pressure is met.
var known = []Signal{MemoryAvailable, PIDAvailable, NodeFSAvailable, ImageFSAvailable, NodeFSInodesFree, ImageFSInodesFree}

// Condition is the node's condition for a signal.
func (s Signal) Condition() corev1.NodeConditionType {
	switch s {
	case MemoryAvailable:
		return corev1.NodeMemoryPressure
	case PIDAvailable:
		return corev1.NodePIDPressure
	}
	return corev1.NodeDiskPressure
}

// Resource is what messages call the thing that is short.
func (s Signal) Resource() corev1.ResourceName {
	switch s {
	case MemoryAvailable:
		return corev1.ResourceMemory
	case PIDAvailable:
		return "pids"
	case NodeFSInodesFree, ImageFSInodesFree:
		return "inodes"
	}
	return corev1.ResourceEphemeralStorage
}

// Amount is what is there of something, and what of it is available: bytes, or
// a number of inodes or process ids.
type Amount struct{ Available, Capacity int64 }

// Limit is a threshold's value: a quantity, or a share of the capacity.
type Limit struct {
	Quantity resource.Quantity
	Percent  float64 // used when not 0
}

// of is the limit for a capacity.
func (l Limit) of(capacity int64) int64 {
	if l.Percent > 0 {
		return int64(float64(capacity) * l.Percent / 100)
	}
	return l.Quantity.Value()
}

func (l Limit) String() string {
	if l.Percent > 0 {
		return strconv.FormatFloat(l.Percent, 'f', -1, 64) + "%"
	}
	return l.Quantity.String()
}

// Thresholds are the least amounts, by signal. A signal without one is ignored.
type Thresholds map[Signal]Limit

// Default returns the kubelet's thresholds for Linux, but 5 % for disks: a machine's
// own disk is often fuller than a server's (k3s has the same). One for process ids is
// there as managed clusters have it.
func Default() Thresholds {
	return Thresholds{
		MemoryAvailable:   {Quantity: resource.MustParse("100Mi")},
		NodeFSAvailable:   {Percent: 5},
		NodeFSInodesFree:  {Percent: 5},
		ImageFSAvailable:  {Percent: 5},
		ImageFSInodesFree: {Percent: 5},
		PIDAvailable:      {Percent: 10},
	}
}

// Parse reads thresholds as the kubelet's --eviction-hard has them:
// "memory.available<100Mi,nodefs.available<10%". They change the default ones;
// a limit of 0 or 0% leaves a signal out.
func Parse(text string) (Thresholds, error) {
	all := Default()
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "<")
		signal := Signal(strings.TrimSpace(name))
		if !ok {
			return nil, fmt.Errorf("eviction threshold %q: want SIGNAL<LIMIT, for example memory.available<100Mi", part)
		}
		if !slices.Contains(known, signal) {
			return nil, fmt.Errorf("eviction threshold %q: no signal %q; there are %v", part, signal, known)
		}
		limit, err := parseLimit(strings.TrimSpace(value))
		if err != nil {
			return nil, fmt.Errorf("eviction threshold %q: %w", part, err)
		}
		if all[signal] = limit; limit.Percent == 0 && limit.Quantity.IsZero() {
			delete(all, signal)
		}
	}
	return all, nil
}

func parseLimit(text string) (Limit, error) {
	if number, ok := strings.CutSuffix(text, "%"); ok {
		p, err := strconv.ParseFloat(number, 64)
		if err != nil || !(p >= 0 && p < 100) {
			return Limit{}, fmt.Errorf("%q is no percentage from 0%% to below 100%%", text)
		}
		return Limit{Percent: p}, nil
	}
	q, err := resource.ParseQuantity(text)
	if err != nil || q.Sign() < 0 {
		return Limit{}, fmt.Errorf("%q is neither a quantity such as 100Mi nor a percentage", text)
	}
	return Limit{Quantity: q}, nil
}

// String is the form that Parse reads.
func (t Thresholds) String() string {
	var all []string
	for _, s := range slices.Sorted(maps.Keys(t)) {
		all = append(all, fmt.Sprintf("%s<%s", s, t[s]))
	}
	return strings.Join(all, ",")
}

// Met is a threshold that was crossed.
type Met struct {
	Signal    Signal
	Threshold int64
	Available int64
}

// quantity shows an amount as the signal's resource is shown.
func (m Met) quantity(n int64) *resource.Quantity {
	if r := m.Signal.Resource(); r == "pids" || r == "inodes" {
		return resource.NewQuantity(n, resource.DecimalSI)
	}
	return resource.NewQuantity(n, resource.BinarySI)
}

// Met returns the thresholds that the amounts are below, the most urgent first.
// What was not measured is not short.
func (t Thresholds) Met(amounts map[Signal]Amount) []Met {
	var all []Met
	for _, s := range known {
		a, measured := amounts[s]
		limit, ok := t[s]
		if !ok || !measured {
			continue
		}
		if least := limit.of(a.Capacity); a.Available < least {
			all = append(all, Met{s, least, a.Available})
		}
	}
	return all
}
