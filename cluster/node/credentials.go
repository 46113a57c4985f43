package node

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/seed38700745/pkg/cluster/cri"
	"github.com/seed38700745/pkg/cluster/object/builtin"
)

// dockerAuth is one entry of docker's config.json.
type dockerAuth struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"` // base64 of username:password
	IdentityToken string `json:"identitytoken"`
}

// credentials collects the registries' credentials from the pod's
// imagePullSecrets. As in Kubernetes, a Secret that is missing is passed over:
// the image may be public.
func (w *worker) credentials(ctx context.Context, pod *corev1.Pod) (cri.Credentials, error) {
	var all cri.Credentials
	for _, ref := range pod.Spec.ImagePullSecrets {
		s, err := builtin.Secrets.Get(ctx, w.agent.Verbs, pod.Namespace, ref.Name)
		if apierrors.IsNotFound(err) {
			w.event(pod, "", corev1.EventTypeWarning, "FailedToRetrieveImagePullSecret",
				fmt.Sprintf("Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", ref.Name))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("image pull secret %s: %w", ref.Name, err)
		}
		found, err := credentialsOf(s)
		if err != nil {
			return nil, fmt.Errorf("image pull secret %s: %w", ref.Name, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// credentialsOf reads a Secret. As in Kubernetes, one of another type has none.
func credentialsOf(s *corev1.Secret) (cri.Credentials, error) {
	auths := map[string]dockerAuth{}
	switch s.Type {
	case corev1.SecretTypeDockerConfigJson:
		file := struct {
			Auths map[string]dockerAuth `json:"auths"`
		}{}
		if err := json.Unmarshal(s.Data[corev1.DockerConfigJsonKey], &file); err != nil {
			return nil, fmt.Errorf("%s: %w", corev1.DockerConfigJsonKey, err)
		}
		auths = file.Auths
	case corev1.SecretTypeDockercfg:
		if err := json.Unmarshal(s.Data[corev1.DockerConfigKey], &auths); err != nil {
			return nil, fmt.Errorf("%s: %w", corev1.DockerConfigKey, err)
		}
	}
	var all cri.Credentials
	for _, host := range slices.Sorted(maps.Keys(auths)) {
		a := auths[host]
		c := cri.Credential{Registry: host, Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken}
		if a.Auth != "" {
			plain, err := base64.StdEncoding.DecodeString(a.Auth)
			if err != nil {
				return nil, fmt.Errorf("auth of %s: %w", host, err)
			}
			c.Username, c.Password, _ = strings.Cut(string(plain), ":")
		}
		all = append(all, c)
	}
	return all, nil
}
