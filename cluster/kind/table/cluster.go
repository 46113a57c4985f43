package table

import (
	"strconv"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	nodev1 "k8s.io/api/node/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// LeaseColumns are the columns of leases.
func LeaseColumns() Columns {
	return Columns{nameColumn(), text("Holder", coordinationv1.LeaseSpec{}.SwaggerDoc()["holderIdentity"]), ageColumn()}
}

// LeaseRow shows a lease.
func LeaseRow(l *coordinationv1.Lease, now time.Time) []any {
	holder := ""
	if l.Spec.HolderIdentity != nil {
		holder = *l.Spec.HolderIdentity
	}
	return []any{l.Name, holder, age(l.CreationTimestamp, now)}
}

// PriorityClassColumns are the columns of priority classes.
func PriorityClassColumns() Columns {
	doc := schedulingv1.PriorityClass{}.SwaggerDoc()
	return Columns{
		nameColumn(),
		integer("Value", doc["value"]),
		boolean("Global-Default", doc["globalDefault"]),
		ageColumn(),
		text("PreemptionPolicy", doc["preemptionPolicy"]),
	}
}

// PriorityClassRow shows a priority class.
func PriorityClassRow(c *schedulingv1.PriorityClass, now time.Time) []any {
	policy := corev1.PreemptLowerPriority
	if c.PreemptionPolicy != nil {
		policy = *c.PreemptionPolicy
	}
	return []any{c.Name, int64(c.Value), c.GlobalDefault, age(c.CreationTimestamp, now), string(policy)}
}

// RuntimeClassColumns are the columns of runtime classes.
func RuntimeClassColumns() Columns {
	return Columns{nameColumn(), text("Handler", nodev1.RuntimeClass{}.SwaggerDoc()["handler"]), ageColumn()}
}

// RuntimeClassRow shows a runtime class.
func RuntimeClassRow(c *nodev1.RuntimeClass, now time.Time) []any {
	return []any{c.Name, c.Handler, age(c.CreationTimestamp, now)}
}

// CertificateSigningRequestColumns are the columns of signing requests.
func CertificateSigningRequestColumns() Columns {
	spec := certificatesv1.CertificateSigningRequestSpec{}.SwaggerDoc()
	return Columns{
		nameColumn(),
		ageColumn(),
		text("SignerName", spec["signerName"]),
		text("Requestor", spec["request"]),
		text("RequestedDuration", spec["expirationSeconds"]),
		text("Condition", certificatesv1.CertificateSigningRequestStatus{}.SwaggerDoc()["conditions"]),
	}
}

// CertificateSigningRequestRow shows a signing request.
func CertificateSigningRequestRow(c *certificatesv1.CertificateSigningRequest, now time.Time) []any {
	requested := none
	if s := c.Spec.ExpirationSeconds; s != nil {
		requested = duration.HumanDuration(time.Duration(*s) * time.Second)
	}
	return []any{
		c.Name, age(c.CreationTimestamp, now), or(c.Spec.SignerName, none), c.Spec.Username, requested, signingState(c),
	}
}

func signingState(c *certificatesv1.CertificateSigningRequest) string {
	state, failed := "Pending", false
	for _, condition := range c.Status.Conditions {
		switch condition.Type {
		case certificatesv1.CertificateDenied:
			state = "Denied"
		case certificatesv1.CertificateApproved:
			if state != "Denied" {
				state = "Approved"
			}
		case certificatesv1.CertificateFailed:
			failed = true
		}
	}
	if failed {
		state += ",Failed"
	}
	if len(c.Status.Certificate) > 0 {
		state += ",Issued"
	}
	return state
}

// FlowSchemaColumns are the columns of flow schemas.
func FlowSchemaColumns() Columns {
	spec := flowcontrolv1.FlowSchemaSpec{}.SwaggerDoc()
	return Columns{
		nameColumn(),
		text("PriorityLevel", flowcontrolv1.PriorityLevelConfigurationReference{}.SwaggerDoc()["name"]),
		text("MatchingPrecedence", spec["matchingPrecedence"]),
		text("DistinguisherMethod", spec["distinguisherMethod"]),
		ageColumn(),
		text("MissingPL", "references a broken or non-existent PriorityLevelConfiguration"),
	}
}

// FlowSchemaRow shows a flow schema.
func FlowSchemaRow(s *flowcontrolv1.FlowSchema, now time.Time) []any {
	method, missing := none, "?"
	if s.Spec.DistinguisherMethod != nil {
		method = string(s.Spec.DistinguisherMethod.Type)
	}
	for _, c := range s.Status.Conditions {
		if c.Type == flowcontrolv1.FlowSchemaConditionDangling {
			missing = string(c.Status)
		}
	}
	return []any{
		s.Name, s.Spec.PriorityLevelConfiguration.Name, int64(s.Spec.MatchingPrecedence), method,
		age(s.CreationTimestamp, now), missing,
	}
}

// PriorityLevelConfigurationColumns are the columns of priority levels.
func PriorityLevelConfigurationColumns() Columns {
	queuing := flowcontrolv1.QueuingConfiguration{}.SwaggerDoc()
	return Columns{
		nameColumn(),
		text("Type", flowcontrolv1.PriorityLevelConfigurationSpec{}.SwaggerDoc()["type"]),
		text("NominalConcurrencyShares", flowcontrolv1.LimitedPriorityLevelConfiguration{}.SwaggerDoc()["nominalConcurrencyShares"]),
		text("Queues", queuing["queues"]),
		text("HandSize", queuing["handSize"]),
		text("QueueLengthLimit", queuing["queueLengthLimit"]),
		ageColumn(),
	}
}

// PriorityLevelConfigurationRow shows a priority level.
func PriorityLevelConfigurationRow(p *flowcontrolv1.PriorityLevelConfiguration, now time.Time) []any {
	shares, queues, hand, length := none, none, none, none
	if e := p.Spec.Exempt; e != nil && e.NominalConcurrencyShares != nil {
		shares = strconv.Itoa(int(*e.NominalConcurrencyShares))
	}
	if l := p.Spec.Limited; l != nil {
		if l.NominalConcurrencyShares != nil {
			shares = strconv.Itoa(int(*l.NominalConcurrencyShares))
		}
		if q := l.LimitResponse.Queuing; q != nil {
			queues, hand, length = strconv.Itoa(int(q.Queues)), strconv.Itoa(int(q.HandSize)), strconv.Itoa(int(q.QueueLengthLimit))
		}
	}
	return []any{p.Name, string(p.Spec.Type), shares, queues, hand, length, age(p.CreationTimestamp, now)}
}

// ResourceClaimColumns are the columns of resource claims.
func ResourceClaimColumns() Columns {
	return Columns{
		nameColumn(), text("State", "A summary of the current state (allocated, pending, reserved, etc.)."), ageColumn(),
	}
}

// ResourceClaimRow shows a resource claim.
func ResourceClaimRow(c *resourcev1.ResourceClaim, now time.Time) []any {
	var states []string
	if c.DeletionTimestamp != nil {
		states = append(states, "deleted")
	}
	if c.Status.Allocation == nil {
		if c.DeletionTimestamp == nil {
			states = append(states, "pending")
		}
	} else {
		states = append(states, "allocated")
		if len(c.Status.ReservedFor) > 0 {
			states = append(states, "reserved")
		}
	}
	return []any{c.Name, strings.Join(states, ","), age(c.CreationTimestamp, now)}
}

// ResourceSliceColumns are the columns of resource slices.
func ResourceSliceColumns() Columns {
	spec := resourcev1.ResourceSliceSpec{}.SwaggerDoc()
	return Columns{
		nameColumn(),
		text("Node", spec["nodeName"]),
		text("Driver", spec["driver"]),
		text("Pool", resourcev1.ResourcePool{}.SwaggerDoc()["name"]),
		ageColumn(),
	}
}

// ResourceSliceRow shows a resource slice.
func ResourceSliceRow(s *resourcev1.ResourceSlice, now time.Time) []any {
	node := ""
	if s.Spec.NodeName != nil {
		node = *s.Spec.NodeName
	}
	return []any{s.Name, node, s.Spec.Driver, s.Spec.Pool.Name, age(s.CreationTimestamp, now)}
}
