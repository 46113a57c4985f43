package kubelet

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// defaultContainer is the annotation that names the container meant when a
// request names none. kubectl reads it too; here it serves other clients.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// pod finds a pod and the container that a request means. Errors: NotFound,
// and BadRequest in Kubernetes' wording.
func (s *Server) pod(ctx context.Context, t Target, container string) (*corev1.Pod, string, error) {
	pod, err := builtin.Pods.Get(ctx, s.verbs, t.Namespace, t.Name)
	if err != nil {
		return nil, "", err
	}
	container, err = chooseContainer(pod, container)
	return pod, container, err
}

func chooseContainer(pod *corev1.Pod, name string) (string, error) {
	containers, inits := names(pod.Spec.Containers), names(pod.Spec.InitContainers)
	all := append(slices.Clone(containers), inits...)
	for i := range pod.Spec.EphemeralContainers {
		all = append(all, pod.Spec.EphemeralContainers[i].Name)
	}
	switch {
	case name != "":
		if !slices.Contains(all, name) {
			return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, pod.Name))
		}
		return name, nil
	case len(containers) == 1:
		return containers[0], nil
	case slices.Contains(containers, pod.Annotations[defaultContainer]):
		return pod.Annotations[defaultContainer], nil
	}
	message := fmt.Sprintf("a container name must be specified for pod %s", pod.Name)
	if len(containers) > 0 {
		message += fmt.Sprintf(", choose one of: [%s]", strings.Join(containers, " "))
	}
	if len(inits) > 0 {
		message += fmt.Sprintf(" or one of the init containers: [%s]", strings.Join(inits, " "))
	}
	return "", apierrors.NewBadRequest(message)
}

func names(containers []corev1.Container) []string {
	out := make([]string, len(containers))
	for i := range containers {
		out[i] = containers[i].Name
	}
	return out
}

// host returns the pod's node. Errors: BadRequest for a pod without one.
func host(pod *corev1.Pod) (string, error) {
	if pod.Spec.NodeName == "" {
		return "", apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	return pod.Spec.NodeName, nil
}
