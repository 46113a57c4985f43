package validate

import (
	"encoding/pem"
	"fmt"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Lease checks a lease.
func Lease(l *coordinationv1.Lease) field.ErrorList {
	p := spec()
	var errs errors
	if d := l.Spec.LeaseDurationSeconds; d != nil && *d <= 0 {
		errs = append(errs, field.Invalid(p.Child("leaseDurationSeconds"), *d, "must be greater than 0"))
	}
	if n := l.Spec.LeaseTransitions; n != nil && *n < 0 {
		errs = append(errs, field.Invalid(p.Child("leaseTransitions"), *n, "must be greater than or equal to 0"))
	}
	return errs
}

const (
	// maxUserPriority leaves room above for the system's own classes.
	maxUserPriority      = 1000000000
	systemPriorityPrefix = "system-"
	systemClusterValue   = 2 * maxUserPriority
	systemNodeValue      = systemClusterValue + 1000
)

// PriorityClass checks a priority class.
func PriorityClass(c *schedulingv1.PriorityClass) field.ErrorList {
	var errs errors
	system := c.Name == "system-cluster-critical" && c.Value == systemClusterValue ||
		c.Name == "system-node-critical" && c.Value == systemNodeValue
	if strings.HasPrefix(c.Name, systemPriorityPrefix) {
		if !system {
			errs = append(errs, field.Forbidden(field.NewPath("metadata", "name"),
				"priority class names with '"+systemPriorityPrefix+"' prefix are reserved for system use only. error: "+c.Name+" is not a known system priority class"))
		}
	} else if c.Value > maxUserPriority {
		errs = append(errs, field.Forbidden(field.NewPath("value"),
			fmt.Sprintf("maximum allowed value of a user defined priority is %v", maxUserPriority)))
	}
	return append(errs, oneOfPtr(field.NewPath("preemptionPolicy"), c.PreemptionPolicy,
		corev1.PreemptLowerPriority, corev1.PreemptNever)...)
}

// PriorityClassUpdate checks a change.
func PriorityClassUpdate(c, old *schedulingv1.PriorityClass) field.ErrorList {
	var errs errors
	if c.Value != old.Value {
		errs = append(errs, field.Forbidden(field.NewPath("value"), "may not be changed in an update."))
	}
	return append(errs, unchanged(field.NewPath("preemptionPolicy"), c.PreemptionPolicy, old.PreemptionPolicy)...)
}

// RuntimeClass checks a runtime class.
func RuntimeClass(c *nodev1.RuntimeClass) field.ErrorList {
	errs := dnsLabel(field.NewPath("handler"), c.Handler)
	if c.Overhead != nil {
		for _, name := range sortedNames(c.Overhead.PodFixed) {
			at := field.NewPath("overhead", "podFixed").Key(string(name))
			errs = append(errs, amount(at, string(name), c.Overhead.PodFixed[name])...)
		}
	}
	if c.Scheduling != nil {
		errs = append(errs, tolerations(field.NewPath("scheduling", "tolerations"), c.Scheduling.Tolerations)...)
	}
	return errs
}

// RuntimeClassUpdate checks a change.
func RuntimeClassUpdate(c, old *nodev1.RuntimeClass) field.ErrorList {
	return unchanged(field.NewPath("handler"), c.Handler, old.Handler)
}

// minCertificateSeconds is the shortest life that one may ask for.
const minCertificateSeconds = 600

// CertificateSigningRequest checks a signing request.
func CertificateSigningRequest(c *certificatesv1.CertificateSigningRequest) field.ErrorList {
	p := spec()
	var errs errors
	if block, _ := pem.Decode(c.Spec.Request); block == nil || block.Type != "CERTIFICATE REQUEST" {
		errs = append(errs, field.Invalid(p.Child("request"), c.Spec.Request, "PEM block type must be CERTIFICATE REQUEST"))
	}
	if len(c.Spec.Usages) == 0 {
		errs = append(errs, field.Required(p.Child("usages"), ""))
	}
	if c.Spec.SignerName == "" {
		errs = append(errs, field.Required(p.Child("signerName"), ""))
	} else if !strings.Contains(c.Spec.SignerName, "/") {
		errs = append(errs, field.Invalid(p.Child("signerName"), c.Spec.SignerName, "must be a fully qualified domain and path of the form 'example.com/signer-name'"))
	}
	if s := c.Spec.ExpirationSeconds; s != nil && *s < minCertificateSeconds {
		errs = append(errs, field.Invalid(p.Child("expirationSeconds"), *s, "may not specify a duration less than 600 seconds (10 minutes)"))
	}
	return errs
}

// CertificateSigningRequestUpdate checks a change.
func CertificateSigningRequestUpdate(c, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
	return unchanged(spec(), c.Spec, old.Spec)
}
