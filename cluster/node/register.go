package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// Periods of the kubelet.
const (
	nodeStatusPeriod = 10 * time.Second // how often the node's status is looked at
	nodeReportPeriod = 5 * time.Minute  // how often it is written unchanged
	leasePeriod      = 10 * time.Second
	leaseSeconds     = 40
	maxNodeImages    = 50
)

// keepNode creates the Node and keeps its labels and status true.
func (a *Agent) keepNode(ctx context.Context) error {
	var written time.Time
	for {
		next := nodeStatusPeriod
		changed, err := a.updateNode(ctx, a.Now().Sub(written) >= nodeReportPeriod)
		switch {
		case err != nil && ctx.Err() == nil:
			a.Logger.Warn("node status not written", "error", err)
			next = time.Second
		case changed:
			written = a.Now()
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-a.nodeChanged:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// updateNode writes the Node where it differs from what it should be, or, with
// always, in any case.
func (a *Agent) updateNode(ctx context.Context, always bool) (written bool, err error) {
	node, err := builtin.Nodes.Get(ctx, a.Verbs, "", a.Name)
	if apierrors.IsNotFound(err) {
		node, err = builtin.Nodes.Create(ctx, a.Verbs, &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: a.Name, Labels: a.nodeLabels()},
			Spec:       a.nodeSpec(),
		}, object.WriteOptions{FieldManager: "kubelet"})
	}
	if err != nil {
		return false, fmt.Errorf("node %s: %w", a.Name, err)
	}
	if a.cordoned == nil {
		a.nodeEvent(node, news{corev1.EventTypeNormal, "Starting", "Starting kubelet."})
	}
	a.cordonNews(node)
	if labels := merged(node.Labels, a.nodeLabels()); !maps.Equal(labels, node.Labels) {
		changed := node.DeepCopy()
		changed.Labels = labels
		if node, err = builtin.Nodes.Update(ctx, a.Verbs, changed, object.WriteOptions{FieldManager: "kubelet"}); err != nil {
			return false, fmt.Errorf("labels of node %s: %w", a.Name, err)
		}
	}
	status, err := a.nodeStatus(node.Status)
	if err != nil {
		return false, err
	}
	if !always && sameNode(status, node.Status) {
		return false, nil
	}
	changed := node.DeepCopy()
	changed.Status = status
	if _, err = builtin.Nodes.UpdateStatus(ctx, a.Verbs, changed, object.WriteOptions{FieldManager: "kubelet"}); err != nil {
		return false, fmt.Errorf("status of node %s: %w", a.Name, err)
	}
	for _, e := range statusNews(a.Name, node.Status, status) {
		a.nodeEvent(changed, e)
	}
	return true, nil
}

func (a *Agent) nodeSpec() corev1.NodeSpec {
	var s corev1.NodeSpec
	if a.PodCIDR != "" {
		s.PodCIDR, s.PodCIDRs = a.PodCIDR, []string{a.PodCIDR}
	}
	return s
}

func merged(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, b)
	return all
}

// nodeLabels are the labels that the agent sets.
func (a *Agent) nodeLabels() map[string]string {
	return merged(map[string]string{
		corev1.LabelHostname:                    a.Name,
		corev1.LabelArchStable:                  a.machine.Architecture,
		corev1.LabelOSStable:                    a.machine.OperatingSystem,
		"beta.kubernetes.io/arch":               a.machine.Architecture,
		"beta.kubernetes.io/os":                 a.machine.OperatingSystem,
		"node-role.kubernetes.io/control-plane": "",
	}, a.Labels)
}

// allocatable is what pods may use.
func (a *Agent) allocatable() corev1.ResourceList {
	all := a.fullCapacity()
	for name, reserved := range a.Reserved {
		if q, ok := all[name]; ok {
			q.Sub(reserved)
			all[name] = q
		}
	}
	return all
}

func (a *Agent) fullCapacity() corev1.ResourceList {
	all := a.capacity.DeepCopy()
	all[corev1.ResourcePods] = *resource.NewQuantity(int64(a.MaxPods), resource.DecimalSI)
	return all
}

// nodeStatus computes the Node's status; conditions of others are kept.
func (a *Agent) nodeStatus(old corev1.NodeStatus) (corev1.NodeStatus, error) {
	s := *old.DeepCopy()
	s.Capacity, s.Allocatable = a.fullCapacity(), a.allocatable()
	s.Addresses = nil
	if ip := a.Network.NodeIP(); ip != "" {
		s.Addresses = append(s.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip})
	}
	s.Addresses = append(s.Addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: a.Name})
	s.DaemonEndpoints.KubeletEndpoint.Port = a.Port
	s.NodeInfo = a.machine
	s.NodeInfo.KubeletVersion, s.NodeInfo.KubeProxyVersion = a.Version, ""
	s.NodeInfo.ContainerRuntimeVersion = "pkg://" + a.RuntimeVersion
	images, err := a.nodeImages()
	if err != nil {
		return s, err
	}
	s.Images = images
	s.Conditions = mergeConditions(old.Conditions, a.nodeConditions(), *stamp(a.Now()))
	return s, nil
}

// nodeImages lists the largest images, as the kubelet does.
func (a *Agent) nodeImages() ([]corev1.ContainerImage, error) {
	images, err := a.Images.List()
	if err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	byID := map[string]*corev1.ContainerImage{}
	for _, i := range images {
		e := byID[i.ID]
		if e == nil {
			e = &corev1.ContainerImage{SizeBytes: i.Size}
			byID[i.ID] = e
		}
		for _, name := range []string{i.Digest, i.Name} {
			if name != "" && !slices.Contains(e.Names, name) {
				e.Names = append(e.Names, name)
			}
		}
	}
	var all []corev1.ContainerImage
	for _, e := range byID {
		slices.Sort(e.Names)
		all = append(all, *e)
	}
	slices.SortFunc(all, func(x, y corev1.ContainerImage) int {
		if x.SizeBytes != y.SizeBytes {
			return int(max(min(y.SizeBytes-x.SizeBytes, 1), -1))
		}
		return slices.Compare(x.Names, y.Names)
	})
	return all[:min(len(all), maxNodeImages)], nil
}

// nodeConditions says how the node is.
func (a *Agent) nodeConditions() []corev1.NodeCondition {
	under := a.pressure.under()
	is := func(c corev1.NodeConditionType) bool { return slices.Contains(under, c) }
	return []corev1.NodeCondition{
		pressureCondition(corev1.NodeMemoryPressure, is(corev1.NodeMemoryPressure), "KubeletHasInsufficientMemory", "kubelet has insufficient memory available",
			"KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
		pressureCondition(corev1.NodeDiskPressure, is(corev1.NodeDiskPressure), "KubeletHasDiskPressure", "kubelet has disk pressure",
			"KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
		pressureCondition(corev1.NodePIDPressure, is(corev1.NodePIDPressure), "KubeletHasInsufficientPID", "kubelet has insufficient PID available",
			"KubeletHasSufficientPID", "kubelet has sufficient PID available"),
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status"},
	}
}

func pressureCondition(t corev1.NodeConditionType, under bool, badReason, bad, goodReason, good string) corev1.NodeCondition {
	if under {
		return corev1.NodeCondition{Type: t, Status: corev1.ConditionTrue, Reason: badReason, Message: bad}
	}
	return corev1.NodeCondition{Type: t, Status: corev1.ConditionFalse, Reason: goodReason, Message: good}
}

// mergeConditions puts the new conditions in place of the old of their types.
func mergeConditions(old, fresh []corev1.NodeCondition, now metav1.Time) []corev1.NodeCondition {
	all := slices.Clone(old)
	for _, c := range fresh {
		c.LastHeartbeatTime, c.LastTransitionTime = now, now
		i := slices.IndexFunc(all, func(o corev1.NodeCondition) bool { return o.Type == c.Type })
		if i < 0 {
			all = append(all, c)
			continue
		}
		if all[i].Status == c.Status {
			c.LastTransitionTime = all[i].LastTransitionTime
		}
		all[i] = c
	}
	return all
}

// sameNode compares two statuses but for heartbeat times.
func sameNode(a, b corev1.NodeStatus) bool {
	still := func(s corev1.NodeStatus) corev1.NodeStatus {
		s.Conditions = slices.Clone(s.Conditions)
		for i := range s.Conditions {
			s.Conditions[i].LastHeartbeatTime = metav1.Time{}
		}
		return s
	}
	return equality.Semantic.DeepEqual(still(a), still(b))
}

// keepLease renews the node's Lease, by which others know that it lives.
func (a *Agent) keepLease(ctx context.Context) error {
	for {
		next := leasePeriod
		if err := a.renewLease(ctx); err != nil && ctx.Err() == nil {
			a.Logger.Warn("node lease not renewed", "error", err)
			next = time.Second
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

func (a *Agent) renewLease(ctx context.Context) error {
	now := metav1.NewMicroTime(a.Now())
	lease, err := builtin.Leases.Get(ctx, a.Verbs, corev1.NamespaceNodeLease, a.Name)
	w := object.WriteOptions{FieldManager: "kubelet"}
	if apierrors.IsNotFound(err) {
		fresh := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: a.Name}}
		fresh.Spec = coordinationv1.LeaseSpec{HolderIdentity: &a.Name, LeaseDurationSeconds: new(int32(leaseSeconds)), RenewTime: &now}
		if node, err := builtin.Nodes.Get(ctx, a.Verbs, "", a.Name); err == nil {
			fresh.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}
		}
		_, err = builtin.Leases.Create(ctx, a.Verbs, fresh, w)
		return err
	}
	if err != nil {
		return err
	}
	lease = lease.DeepCopy()
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime = &a.Name, new(int32(leaseSeconds)), &now
	_, err = builtin.Leases.Update(ctx, a.Verbs, lease, w)
	return err
}
