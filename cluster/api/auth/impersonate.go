package auth

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Impersonate returns the user that u acts as: u itself, or the one that the
// request's Impersonate-* headers name (kubectl --as, --as-group, --as-uid),
// for whom u must be allowed to act. It removes the headers.
// Errors: BadRequest (groups without a user), Forbidden.
func (z *Authorizer) Impersonate(ctx context.Context, u User, h http.Header) (User, error) {
	as := User{
		Name:   h.Get(authenticationv1.ImpersonateUserHeader),
		UID:    h.Get(authenticationv1.ImpersonateUIDHeader),
		Groups: slices.Clone(h.Values(authenticationv1.ImpersonateGroupHeader)),
		Extra:  impersonatedExtra(h),
	}
	if as.Name == "" {
		if as.UID != "" || len(as.Groups) > 0 || len(as.Extra) > 0 {
			return User{}, apierrors.NewBadRequest("requested impersonation of groups, uid or extra without impersonating a user")
		}
		return u, nil
	}
	if err := z.mayImpersonate(ctx, u, as); err != nil {
		return User{}, err
	}
	for name := range h {
		if strings.HasPrefix(name, "Impersonate-") {
			h.Del(name)
		}
	}
	if namespace, _, ok := splitAccount(as.Name); ok && len(as.Groups) == 0 {
		as.Groups = accountGroups(namespace)
	}
	class := authenticatedGroup
	if as.Name == anonymousUser {
		class = unauthenticatedGroup
	}
	if !slices.Contains(as.Groups, authenticatedGroup) && !slices.Contains(as.Groups, unauthenticatedGroup) {
		as.Groups = append(as.Groups, class)
	}
	return as, nil
}

// impersonatedExtra collects Impersonate-Extra-<key> headers; keys are
// percent-encoded and lower-case.
func impersonatedExtra(h http.Header) map[string][]string {
	var extra map[string][]string
	for name, values := range h {
		key, ok := strings.CutPrefix(name, authenticationv1.ImpersonateUserExtraHeaderPrefix)
		if !ok {
			continue
		}
		key = strings.ToLower(key)
		if plain, err := url.PathUnescape(key); err == nil {
			key = plain
		}
		if extra == nil {
			extra = map[string][]string{}
		}
		extra[key] = append(extra[key], values...)
	}
	return extra
}

// mayImpersonate checks verb "impersonate" for each part of as.
func (z *Authorizer) mayImpersonate(ctx context.Context, u, as User) error {
	wants := []Attributes{{Resource: "users", Name: as.Name}}
	if namespace, name, ok := splitAccount(as.Name); ok {
		wants[0] = Attributes{Resource: "serviceaccounts", Namespace: namespace, Name: name}
	}
	for _, g := range as.Groups {
		wants = append(wants, Attributes{Resource: "groups", Name: g})
	}
	if as.UID != "" {
		wants = append(wants, Attributes{Group: authenticationv1.GroupName, Version: "v1", Resource: "uids", Name: as.UID})
	}
	for key, values := range as.Extra {
		for _, v := range values {
			wants = append(wants, Attributes{Group: authenticationv1.GroupName, Version: "v1", Resource: "userextras", Subresource: key, Name: v})
		}
	}
	for _, a := range wants {
		a.User, a.Verb, a.ResourceRequest = u, "impersonate", true
		allowed, reason, err := z.Authorize(ctx, a)
		if err != nil {
			return err
		}
		if !allowed {
			return Forbidden(a, reason)
		}
	}
	return nil
}
