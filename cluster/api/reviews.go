package api

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/seed38700745/pkg/cluster/api/auth"
	"github.com/seed38700745/pkg/cluster/object"
)

// Reviews are the virtual resources that answer questions about users and
// permissions. review fills in the answer; u is who asks.
func Reviews(review func(ctx context.Context, u auth.User, o runtime.Object) (runtime.Object, error)) []Virtual {
	create := func(ctx context.Context, u auth.User, o object.Object) (object.Object, error) {
		out, err := review(ctx, u, o)
		if err != nil {
			return nil, err
		}
		answer, ok := out.(object.Object)
		if !ok {
			return nil, fmt.Errorf("a review answered with a %T", out)
		}
		return answer, nil
	}
	authz, authn := authorizationv1.SchemeGroupVersion, authenticationv1.SchemeGroupVersion
	return []Virtual{
		{GVK: authz.WithKind("SelfSubjectAccessReview"), Plural: "selfsubjectaccessreviews", Create: create,
			New: func() object.Object { return &authorizationv1.SelfSubjectAccessReview{} }},
		{GVK: authz.WithKind("SelfSubjectRulesReview"), Plural: "selfsubjectrulesreviews", Create: create,
			New: func() object.Object { return &authorizationv1.SelfSubjectRulesReview{} }},
		{GVK: authz.WithKind("SubjectAccessReview"), Plural: "subjectaccessreviews", Create: create,
			New: func() object.Object { return &authorizationv1.SubjectAccessReview{} }},
		{GVK: authz.WithKind("LocalSubjectAccessReview"), Plural: "localsubjectaccessreviews", Namespaced: true, Create: create,
			New: func() object.Object { return &authorizationv1.LocalSubjectAccessReview{} }},
		{GVK: authn.WithKind("TokenReview"), Plural: "tokenreviews", Create: create,
			New: func() object.Object { return &authenticationv1.TokenReview{} }},
		{GVK: authn.WithKind("SelfSubjectReview"), Plural: "selfsubjectreviews", Create: create,
			New: func() object.Object { return &authenticationv1.SelfSubjectReview{} }},
	}
}
