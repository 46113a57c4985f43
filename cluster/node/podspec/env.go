package podspec

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/seed38700745/pkg/cluster/object"
	"github.com/seed38700745/pkg/cluster/object/builtin"
	"github.com/seed38700745/pkg/cluster/object/podfield"
)

// Env resolves a container's environment: first the variables of Services,
// then envFrom, then env, with $(VAR) expanded from what stands before. The
// pod's status must carry its addresses. A missing ConfigMap, Secret or key
// that is not optional is an error in Kubernetes' wording.
func Env(ctx context.Context, v object.Verbs, pod *corev1.Pod, c *corev1.Container, allocatable corev1.ResourceList) ([]corev1.EnvVar, error) {
	vars, err := serviceEnv(ctx, v, pod)
	if err != nil {
		return nil, err
	}
	r := resolver{verbs: v, pod: pod, container: c.Name, allocatable: allocatable}
	if err := r.envFrom(ctx, c.EnvFrom, vars); err != nil {
		return nil, err
	}
	order := slices.Sorted(maps.Keys(vars))
	seen := map[string]bool{}
	for _, e := range c.Env {
		value, set, err := r.value(ctx, e, vars)
		if err != nil {
			return nil, err
		}
		if !set {
			continue
		}
		if _, known := vars[e.Name]; !known && !seen[e.Name] {
			order = append(order, e.Name)
		}
		seen[e.Name] = true
		vars[e.Name] = value
	}
	env := make([]corev1.EnvVar, len(order))
	for i, name := range order {
		env[i] = corev1.EnvVar{Name: name, Value: vars[name]}
	}
	return env, nil
}

// resolver looks up the values of one container's variables.
type resolver struct {
	verbs       object.Verbs
	pod         *corev1.Pod
	container   string
	allocatable corev1.ResourceList
}

func (r resolver) envFrom(ctx context.Context, from []corev1.EnvFromSource, vars map[string]string) error {
	for _, f := range from {
		switch {
		case f.ConfigMapRef != nil:
			data, err := r.configMap(ctx, f.ConfigMapRef.Name, optional(f.ConfigMapRef.Optional))
			if err != nil {
				return err
			}
			for k, value := range data {
				vars[f.Prefix+k] = value
			}
		case f.SecretRef != nil:
			data, err := r.secret(ctx, f.SecretRef.Name, optional(f.SecretRef.Optional))
			if err != nil {
				return err
			}
			for k, value := range data {
				vars[f.Prefix+k] = string(value)
			}
		}
	}
	return nil
}

// value returns one variable's value; set is false for an optional reference
// to something that is not there.
func (r resolver) value(ctx context.Context, e corev1.EnvVar, vars map[string]string) (value string, set bool, err error) {
	from := e.ValueFrom
	switch {
	case from == nil:
		return expand(e.Value, vars), true, nil
	case from.FieldRef != nil:
		value, err = podfield.Value(r.pod, from.FieldRef.FieldPath)
		return value, err == nil, err
	case from.ResourceFieldRef != nil:
		value, err = podfield.Resource(r.pod, r.container, from.ResourceFieldRef, r.allocatable)
		return value, err == nil, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		data, err := r.configMap(ctx, ref.Name, optional(ref.Optional))
		if err != nil {
			return "", false, err
		}
		value, set = data[ref.Key]
		if !set && !optional(ref.Optional) {
			return "", false, fmt.Errorf("couldn't find key %v in ConfigMap %v/%v", ref.Key, r.pod.Namespace, ref.Name)
		}
		return value, set, nil
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		data, err := r.secret(ctx, ref.Name, optional(ref.Optional))
		if err != nil {
			return "", false, err
		}
		b, set := data[ref.Key]
		if !set && !optional(ref.Optional) {
			return "", false, fmt.Errorf("couldn't find key %v in Secret %v/%v", ref.Key, r.pod.Namespace, ref.Name)
		}
		return string(b), set, nil
	}
	return "", false, fmt.Errorf("environment variable %s: unknown kind of source", e.Name)
}

func (r resolver) configMap(ctx context.Context, name string, optional bool) (map[string]string, error) {
	m, err := builtin.ConfigMaps.Get(ctx, r.verbs, r.pod.Namespace, name)
	if apierrors.IsNotFound(err) {
		if optional {
			return nil, nil
		}
		return nil, fmt.Errorf("configmap %q not found", name)
	}
	if err != nil {
		return nil, fmt.Errorf("configmap %q: %w", name, err)
	}
	return m.Data, nil
}

func (r resolver) secret(ctx context.Context, name string, optional bool) (map[string][]byte, error) {
	s, err := builtin.Secrets.Get(ctx, r.verbs, r.pod.Namespace, name)
	if apierrors.IsNotFound(err) {
		if optional {
			return nil, nil
		}
		return nil, fmt.Errorf("secret %q not found", name)
	}
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, err)
	}
	return s.Data, nil
}

func optional(b *bool) bool { return b != nil && *b }

// serviceEnv returns the variables that tell where Services are: those of the
// pod's namespace unless enableServiceLinks is false, and always those of
// default/kubernetes.
func serviceEnv(ctx context.Context, v object.Verbs, pod *corev1.Pod) (map[string]string, error) {
	vars := map[string]string{}
	if pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks {
		services, err := builtin.Services.List(ctx, v, object.ListOptions{Namespace: pod.Namespace})
		if err != nil {
			return nil, fmt.Errorf("services of namespace %s: %w", pod.Namespace, err)
		}
		for _, s := range services {
			addService(vars, s)
		}
	}
	kubernetes, err := builtin.Services.Get(ctx, v, "default", "kubernetes")
	if err == nil {
		addService(vars, kubernetes)
	} else if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("service default/kubernetes: %w", err)
	}
	return vars, nil
}

// addService adds a Service's variables, Docker's link variables included.
func addService(vars map[string]string, s *corev1.Service) {
	ip := s.Spec.ClusterIP
	if ip == "" || ip == corev1.ClusterIPNone || len(s.Spec.Ports) == 0 {
		return
	}
	prefix := strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
	vars[prefix+"_SERVICE_HOST"] = ip
	vars[prefix+"_SERVICE_PORT"] = strconv.Itoa(int(s.Spec.Ports[0].Port))
	for i, p := range s.Spec.Ports {
		port := strconv.Itoa(int(p.Port))
		if p.Name != "" {
			vars[prefix+"_SERVICE_PORT_"+strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_"))] = port
		}
		protocol := string(p.Protocol)
		if protocol == "" {
			protocol = string(corev1.ProtocolTCP)
		}
		url := strings.ToLower(protocol) + "://" + net.JoinHostPort(ip, port)
		if i == 0 {
			vars[prefix+"_PORT"] = url
		}
		link := prefix + "_PORT_" + port + "_" + strings.ToUpper(protocol)
		vars[link] = url
		vars[link+"_PROTO"] = strings.ToLower(protocol)
		vars[link+"_PORT"] = port
		vars[link+"_ADDR"] = ip
	}
}
