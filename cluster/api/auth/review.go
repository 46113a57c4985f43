package auth

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Reviewer answers the kinds that ask about users and permissions. They are
// created and answered, never stored.
type Reviewer struct {
	Authorizer *Authorizer
	Tokens     *Tokens
}

// Review returns a copy of o with its status filled. u is who asks; whether u
// may is decided before. Errors: Invalid; BadRequest for other kinds.
func (v *Reviewer) Review(ctx context.Context, u User, o runtime.Object) (runtime.Object, error) {
	switch o := o.DeepCopyObject().(type) {
	case *authorizationv1.SelfSubjectAccessReview:
		spec := authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: o.Spec.ResourceAttributes, NonResourceAttributes: o.Spec.NonResourceAttributes}
		if errs := validateAccess(&spec); len(errs) > 0 {
			return nil, invalid(authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview"), errs)
		}
		o.Status = v.access(ctx, u, &spec)
		return o, nil
	case *authorizationv1.SubjectAccessReview:
		if errs := validateSubject(&o.Spec); len(errs) > 0 {
			return nil, invalid(authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview"), errs)
		}
		o.Status = v.access(ctx, subject(&o.Spec), &o.Spec)
		return o, nil
	case *authorizationv1.LocalSubjectAccessReview:
		errs := validateSubject(&o.Spec)
		spec := field.NewPath("spec")
		if r := o.Spec.ResourceAttributes; r != nil && r.Namespace != o.Namespace {
			errs = append(errs, field.Invalid(spec.Child("resourceAttributes", "namespace"), r.Namespace, "must match metadata.namespace"))
		}
		if o.Spec.NonResourceAttributes != nil {
			errs = append(errs, field.Invalid(spec.Child("nonResourceAttributes"), o.Spec.NonResourceAttributes, "disallowed on this kind of request"))
		}
		if len(errs) > 0 {
			return nil, invalid(authorizationv1.SchemeGroupVersion.WithKind("LocalSubjectAccessReview"), errs)
		}
		o.Status = v.access(ctx, subject(&o.Spec), &o.Spec)
		return o, nil
	case *authorizationv1.SelfSubjectRulesReview:
		rules, err := v.Authorizer.Rules(ctx, u, o.Spec.Namespace)
		o.Status = rulesStatus(rules, err)
		return o, nil
	case *authenticationv1.SelfSubjectReview:
		o.Status.UserInfo = userInfo(u)
		return o, nil
	case *authenticationv1.TokenReview:
		if o.Spec.Token == "" {
			return nil, apierrors.NewBadRequest("token is required for TokenReview in authentication")
		}
		o.Status = v.token(ctx, &o.Spec)
		return o, nil
	}
	return nil, apierrors.NewBadRequest(fmt.Sprintf("a %T is no review", o))
}

func invalid(gvk schema.GroupVersionKind, errs field.ErrorList) error {
	return apierrors.NewInvalid(gvk.GroupKind(), "", errs)
}

func validateAccess(s *authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	path := field.NewPath("spec").Child("resourceAttributes")
	if s.ResourceAttributes != nil && s.NonResourceAttributes != nil {
		return field.ErrorList{field.Invalid(path, s.NonResourceAttributes, "cannot be specified in combination with resourceAttributes")}
	}
	if s.ResourceAttributes == nil && s.NonResourceAttributes == nil {
		return field.ErrorList{field.Invalid(path, s.NonResourceAttributes, "exactly one of nonResourceAttributes or resourceAttributes must be specified")}
	}
	return nil
}

func validateSubject(s *authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	errs := validateAccess(s)
	if s.User == "" && len(s.Groups) == 0 {
		errs = append(errs, field.Invalid(field.NewPath("spec").Child("user"), s.User, "at least one of user or group must be specified"))
	}
	return errs
}

// subject is the user that a review asks about.
func subject(s *authorizationv1.SubjectAccessReviewSpec) User {
	u := User{Name: s.User, UID: s.UID, Groups: s.Groups, Extra: map[string][]string{}}
	for k, v := range s.Extra {
		u.Extra[k] = v
	}
	return u
}

// access answers whether u may do what s says.
func (v *Reviewer) access(ctx context.Context, u User, s *authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
	a := Attributes{User: u}
	if r := s.ResourceAttributes; r != nil {
		a = Attributes{User: u, ResourceRequest: true, Verb: r.Verb, Namespace: r.Namespace, Group: r.Group, Version: r.Version,
			Resource: r.Resource, Subresource: r.Subresource, Name: r.Name}
	} else {
		a.Verb, a.Path = s.NonResourceAttributes.Verb, s.NonResourceAttributes.Path
	}
	allowed, reason, err := v.Authorizer.Authorize(ctx, a)
	status := authorizationv1.SubjectAccessReviewStatus{Allowed: allowed, Reason: reason}
	if err != nil {
		status.EvaluationError = err.Error()
	}
	return status
}

// rulesStatus lists rules; a rule is about resources or about URLs.
func rulesStatus(rules []rbacv1.PolicyRule, err error) authorizationv1.SubjectRulesReviewStatus {
	s := authorizationv1.SubjectRulesReviewStatus{
		ResourceRules:    []authorizationv1.ResourceRule{},
		NonResourceRules: []authorizationv1.NonResourceRule{},
	}
	for _, r := range rules {
		if len(r.Resources) > 0 {
			s.ResourceRules = append(s.ResourceRules, authorizationv1.ResourceRule{
				Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames})
		}
		if len(r.NonResourceURLs) > 0 {
			s.NonResourceRules = append(s.NonResourceRules, authorizationv1.NonResourceRule{Verbs: r.Verbs, NonResourceURLs: r.NonResourceURLs})
		}
	}
	if err != nil {
		s.Incomplete, s.EvaluationError = true, err.Error()
	}
	return s
}

// token answers whose token it is.
func (v *Reviewer) token(ctx context.Context, s *authenticationv1.TokenReviewSpec) authenticationv1.TokenReviewStatus {
	u, audiences, err := v.Tokens.Verify(ctx, s.Token, s.Audiences)
	if err != nil {
		return authenticationv1.TokenReviewStatus{Error: "[invalid bearer token, " + err.Error() + "]"}
	}
	return authenticationv1.TokenReviewStatus{Authenticated: true, User: userInfo(u), Audiences: audiences}
}

func userInfo(u User) authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: u.Name, UID: u.UID, Groups: u.Groups}
	for k, values := range u.Extra {
		if info.Extra == nil {
			info.Extra = map[string]authenticationv1.ExtraValue{}
		}
		info.Extra[k] = values
	}
	return info
}
