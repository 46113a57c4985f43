// Package auth decides who makes a request and what they may do.
//
// Authenticator finds the User of a request: by client certificate (common
// name and organizations), by service account token, or system:anonymous.
// Tokens issues and checks the tokens: JWTs bound to a service account and,
// mostly, to a pod. Authorizer evaluates RBAC over the roles and bindings that
// it reads through object.Verbs at each decision; nothing is allowed unless a
// rule says so. Reviewer answers the review kinds (SubjectAccessReview,
// TokenReview and so on). EnsureRoles writes the roles that Kubernetes ships; a
// controller keeps the aggregated ones.
//
// The cluster's own parts use the verbs in process and never come here.
package auth

import (
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Names that Kubernetes gives meaning to.
const (
	anonymousUser        = "system:anonymous"
	authenticatedGroup   = "system:authenticated"
	unauthenticatedGroup = "system:unauthenticated"
	mastersGroup         = "system:masters" // may do everything
	accountPrefix        = "system:serviceaccount:"
	accountsGroup        = "system:serviceaccounts" // and ":<namespace>"
	credentialExtra      = "authentication.kubernetes.io/credential-id"
	podNameExtra         = "authentication.kubernetes.io/pod-name"
	podUIDExtra          = "authentication.kubernetes.io/pod-uid"
	nodeNameExtra        = "authentication.kubernetes.io/node-name"
	nodeUIDExtra         = "authentication.kubernetes.io/node-uid"
)

const rbacGroup = "rbac.authorization.k8s.io"

// Anonymous is the user of a request without credentials.
func Anonymous() User {
	return User{Name: anonymousUser, Groups: []string{unauthenticatedGroup}}
}

// master tells whether u may do everything.
func (u User) master() bool { return slices.Contains(u.Groups, mastersGroup) }

// accountUser is the user name of a service account.
func accountUser(namespace, name string) string { return accountPrefix + namespace + ":" + name }

// accountGroups are the groups of every service account of a namespace.
func accountGroups(namespace string) []string {
	return []string{accountsGroup, accountsGroup + ":" + namespace}
}

// splitAccount is the inverse of accountUser.
func splitAccount(user string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(user, accountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	return namespace, name, ok && namespace != "" && name != "" && !strings.Contains(name, ":")
}

// Forbidden is the error for a request that is not allowed, in Kubernetes'
// wording. reason may be empty.
func Forbidden(a Attributes, reason string) *apierrors.StatusError {
	what := fmt.Sprintf("User %q cannot %s path %q", a.User.Name, a.Verb, a.Path)
	if a.ResourceRequest {
		resource := a.Resource
		if a.Subresource != "" {
			resource += "/" + a.Subresource
		}
		where := "at the cluster scope"
		if a.Namespace != "" {
			where = fmt.Sprintf("in the namespace %q", a.Namespace)
		}
		what = fmt.Sprintf("User %q cannot %s resource %q in API group %q %s", a.User.Name, a.Verb, resource, a.Group, where)
	}
	if reason != "" {
		what += ": " + reason
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: a.Group, Resource: a.Resource}, a.Name, fmt.Errorf("%s", what))
}
