package validate

import (
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func userID(p *field.Path, id *int64) errors {
	if id == nil {
		return nil
	}
	return each(p, *id, validation.IsValidUserID(*id))
}

func groupID(p *field.Path, id *int64) errors {
	if id == nil {
		return nil
	}
	return each(p, *id, validation.IsValidGroupID(*id))
}

// podSecurity checks the security context of a pod and its use of the host's
// namespaces.
func podSecurity(p *field.Path, s *corev1.PodSpec) errors {
	var errs errors
	if s.ShareProcessNamespace != nil && *s.ShareProcessNamespace && s.HostPID {
		errs = append(errs, field.Invalid(p.Child("shareProcessNamespace"), *s.ShareProcessNamespace,
			"ShareProcessNamespace and HostPID cannot both be enabled"))
	}
	c, at := s.SecurityContext, p.Child("securityContext")
	if c == nil {
		return errs
	}
	errs = append(errs, userID(at.Child("runAsUser"), c.RunAsUser)...)
	errs = append(errs, groupID(at.Child("runAsGroup"), c.RunAsGroup)...)
	errs = append(errs, groupID(at.Child("fsGroup"), c.FSGroup)...)
	for i := range c.SupplementalGroups {
		errs = append(errs, groupID(at.Child("supplementalGroups").Index(i), &c.SupplementalGroups[i])...)
	}
	errs = append(errs, oneOfPtr(at.Child("fsGroupChangePolicy"), c.FSGroupChangePolicy,
		corev1.FSGroupChangeAlways, corev1.FSGroupChangeOnRootMismatch)...)
	errs = append(errs, oneOfPtr(at.Child("supplementalGroupsPolicy"), c.SupplementalGroupsPolicy,
		corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict)...)
	errs = append(errs, seccomp(at.Child("seccompProfile"), c.SeccompProfile)...)
	return append(errs, sysctls(at.Child("sysctls"), c.Sysctls)...)
}

const (
	sysctlFormat    = `^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`
	sysctlMaxLength = 253
)

func sysctls(p *field.Path, list []corev1.Sysctl) errors {
	if len(list) == 0 {
		return nil
	}
	var errs errors
	valid := regexp.MustCompile(sysctlFormat)
	seen := map[string]bool{}
	for i, s := range list {
		at := p.Index(i).Child("name")
		switch {
		case s.Name == "":
			errs = append(errs, field.Required(at, ""))
		case len(s.Name) > sysctlMaxLength || !valid.MatchString(s.Name):
			errs = append(errs, field.Invalid(at, s.Name,
				fmt.Sprintf("must have at most %d characters and match regex %s", sysctlMaxLength, sysctlFormat)))
		case seen[s.Name]:
			errs = append(errs, field.Duplicate(at, s.Name))
		}
		seen[s.Name] = true
	}
	return errs
}

func seccomp(p *field.Path, s *corev1.SeccompProfile) errors {
	if s == nil {
		return nil
	}
	if s.Type == "" {
		return errors{field.Required(p.Child("type"), "type is required when seccompProfile is set")}
	}
	errs := oneOfOrEmpty(p.Child("type"), s.Type, corev1.SeccompProfileTypeLocalhost,
		corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)
	local := s.Type == corev1.SeccompProfileTypeLocalhost
	switch {
	case local && s.LocalhostProfile == nil:
		errs = append(errs, field.Required(p.Child("localhostProfile"), "must be set when seccomp type is Localhost"))
	case local:
		errs = append(errs, descendingPath(p.Child("localhostProfile"), *s.LocalhostProfile)...)
	case s.LocalhostProfile != nil:
		errs = append(errs, field.Invalid(p.Child("localhostProfile"), s, "can only be set when seccomp type is Localhost"))
	}
	return errs
}

func containerSecurity(p *field.Path, c *corev1.SecurityContext, s *corev1.PodSpec) errors {
	if c == nil {
		return nil
	}
	errs := userID(p.Child("runAsUser"), c.RunAsUser)
	errs = append(errs, groupID(p.Child("runAsGroup"), c.RunAsGroup)...)
	errs = append(errs, seccomp(p.Child("seccompProfile"), c.SeccompProfile)...)
	if c.ProcMount != nil {
		errs = append(errs, oneOfPtr(p.Child("procMount"), c.ProcMount, corev1.DefaultProcMount, corev1.UnmaskedProcMount)...)
		if *c.ProcMount == corev1.UnmaskedProcMount && (s.HostUsers == nil || *s.HostUsers) {
			errs = append(errs, field.Invalid(p.Child("procMount"), c.ProcMount, "`hostUsers` must be false to use `Unmasked`"))
		}
	}
	if c.AllowPrivilegeEscalation != nil && !*c.AllowPrivilegeEscalation {
		if c.Privileged != nil && *c.Privileged {
			errs = append(errs, field.Invalid(p, c, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"))
		}
		if c.Capabilities != nil && slices.Contains(c.Capabilities.Add, "CAP_SYS_ADMIN") {
			errs = append(errs, field.Invalid(p, c,
				"cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"))
		}
	}
	return errs
}
