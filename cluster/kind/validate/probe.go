package validate

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func probes(p *field.Path, c *corev1.Container) errors {
	errs := probe(p.Child("livenessProbe"), c.LivenessProbe)
	errs = append(errs, succeedsOnce(p.Child("livenessProbe"), c.LivenessProbe)...)
	errs = append(errs, probe(p.Child("readinessProbe"), c.ReadinessProbe)...)
	if r := c.ReadinessProbe; r != nil && r.TerminationGracePeriodSeconds != nil {
		errs = append(errs, field.Invalid(p.Child("readinessProbe", "terminationGracePeriodSeconds"),
			r.TerminationGracePeriodSeconds, "must not be set for readinessProbes"))
	}
	errs = append(errs, probe(p.Child("startupProbe"), c.StartupProbe)...)
	return append(errs, succeedsOnce(p.Child("startupProbe"), c.StartupProbe)...)
}

func succeedsOnce(p *field.Path, pr *corev1.Probe) errors {
	if pr != nil && pr.SuccessThreshold != 1 {
		return errors{field.Invalid(p.Child("successThreshold"), pr.SuccessThreshold, "must be 1")}
	}
	return nil
}

func probe(p *field.Path, pr *corev1.Probe) errors {
	if pr == nil {
		return nil
	}
	h := pr.ProbeHandler
	errs := handler(p, h.Exec, h.HTTPGet, h.TCPSocket, nil, h.GRPC)
	errs = append(errs, nonNegative(p.Child("initialDelaySeconds"), pr.InitialDelaySeconds)...)
	errs = append(errs, nonNegative(p.Child("timeoutSeconds"), pr.TimeoutSeconds)...)
	errs = append(errs, nonNegative(p.Child("periodSeconds"), pr.PeriodSeconds)...)
	errs = append(errs, nonNegative(p.Child("successThreshold"), pr.SuccessThreshold)...)
	errs = append(errs, nonNegative(p.Child("failureThreshold"), pr.FailureThreshold)...)
	if g := pr.TerminationGracePeriodSeconds; g != nil && *g <= 0 {
		errs = append(errs, field.Invalid(p.Child("terminationGracePeriodSeconds"), *g, "must be greater than 0"))
	}
	return errs
}

func lifecycle(p *field.Path, l *corev1.Lifecycle) errors {
	if l == nil {
		return nil
	}
	var errs errors
	if h := l.PostStart; h != nil {
		errs = append(errs, handler(p.Child("postStart"), h.Exec, h.HTTPGet, h.TCPSocket, h.Sleep, nil)...)
	}
	if h := l.PreStop; h != nil {
		errs = append(errs, handler(p.Child("preStop"), h.Exec, h.HTTPGet, h.TCPSocket, h.Sleep, nil)...)
	}
	return errs
}

// handler checks that there is exactly one action, and that it is complete.
func handler(p *field.Path, exec *corev1.ExecAction, get *corev1.HTTPGetAction, tcp *corev1.TCPSocketAction,
	sleep *corev1.SleepAction, grpc *corev1.GRPCAction) errors {
	var errs errors
	count := 0
	// add counts an action; the second one is an error and is not looked into.
	add := func(name string, check func(at *field.Path) errors) {
		if count++; count > 1 {
			errs = append(errs, field.Forbidden(p.Child(name), "may not specify more than 1 handler type"))
			return
		}
		errs = append(errs, check(p.Child(name))...)
	}
	if exec != nil {
		add("exec", func(at *field.Path) errors {
			if len(exec.Command) == 0 {
				return errors{field.Required(at.Child("command"), "")}
			}
			return nil
		})
	}
	if get != nil {
		add("httpGet", func(at *field.Path) errors { return httpGet(at, get) })
	}
	if tcp != nil {
		add("tcpSocket", func(at *field.Path) errors { return portOrName(at.Child("port"), tcp.Port) })
	}
	if grpc != nil {
		add("grpc", func(at *field.Path) errors { return portNumber(at.Child("port"), grpc.Port) })
	}
	if sleep != nil {
		add("sleep", func(at *field.Path) errors { return nonNegative(at.Child("seconds"), sleep.Seconds) })
	}
	if count == 0 {
		errs = append(errs, field.Required(p, "must specify a handler type"))
	}
	return errs
}

func httpGet(p *field.Path, g *corev1.HTTPGetAction) errors {
	errs := required(p.Child("path"), g.Path)
	errs = append(errs, portOrName(p.Child("port"), g.Port)...)
	errs = append(errs, oneOfOrEmpty(p.Child("scheme"), g.Scheme, corev1.URISchemeHTTP, corev1.URISchemeHTTPS)...)
	for _, h := range g.HTTPHeaders {
		errs = append(errs, each(p.Child("httpHeaders"), h.Name, validation.IsHTTPHeaderName(h.Name))...)
	}
	return errs
}
