package defaults

import (
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Defaults of flow control.
const (
	matchingPrecedence = 1000
	concurrencyShares  = 30
	handSize           = 8
	queues             = 64
	queueLength        = 50
)

// PriorityClass defaults a class.
func PriorityClass(c *schedulingv1.PriorityClass) {
	setPtr(&c.PreemptionPolicy, corev1.PreemptLowerPriority)
}

// CustomResourceDefinition defaults names, conversion and stored versions.
func CustomResourceDefinition(c *apiextensionsv1.CustomResourceDefinition) {
	apiextensionsv1.SetObjectDefaults_CustomResourceDefinition(c)
}

// FlowSchema defaults a schema's precedence.
func FlowSchema(s *flowcontrolv1.FlowSchema) {
	set(&s.Spec.MatchingPrecedence, matchingPrecedence)
}

// PriorityLevelConfiguration defaults shares and queues.
func PriorityLevelConfiguration(p *flowcontrolv1.PriorityLevelConfiguration) {
	if e := p.Spec.Exempt; e != nil {
		setPtr(&e.NominalConcurrencyShares, 0)
		setPtr(&e.LendablePercent, 0)
	}
	if l := p.Spec.Limited; l != nil {
		setPtr(&l.NominalConcurrencyShares, concurrencyShares)
		setPtr(&l.LendablePercent, 0)
		if q := l.LimitResponse.Queuing; q != nil {
			set(&q.HandSize, handSize)
			set(&q.Queues, queues)
			set(&q.QueueLengthLimit, queueLength)
		}
	}
}

// ResourceClaim defaults how many devices are asked for.
func ResourceClaim(c *resourcev1.ResourceClaim) { deviceRequests(c.Spec.Devices.Requests) }

// ResourceClaimTemplate defaults the claims that are made from it.
func ResourceClaimTemplate(t *resourcev1.ResourceClaimTemplate) {
	deviceRequests(t.Spec.Spec.Devices.Requests)
}

func deviceRequests(requests []resourcev1.DeviceRequest) {
	for i := range requests {
		if e := requests[i].Exactly; e != nil {
			deviceCount(&e.AllocationMode, &e.Count)
		}
		for j := range requests[i].FirstAvailable {
			sub := &requests[i].FirstAvailable[j]
			deviceCount(&sub.AllocationMode, &sub.Count)
		}
	}
}

func deviceCount(mode *resourcev1.DeviceAllocationMode, count *int64) {
	set(mode, resourcev1.DeviceAllocationModeExactCount)
	if *mode == resourcev1.DeviceAllocationModeExactCount {
		set(count, 1)
	}
}
