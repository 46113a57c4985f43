package kind

import (
	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"

	"github.com/seed38700745/pkg/cluster/kind/table"
	"github.com/seed38700745/pkg/cluster/kind/validate"
)

func certificateSigningRequest() *Kind {
	k := define[certificatesv1.CertificateSigningRequest, certificatesv1.CertificateSigningRequestList](
		certificatesv1.SchemeGroupVersion, "CertificateSigningRequest", "certificatesigningrequests", "csr")
	status(k, func(to, from *certificatesv1.CertificateSigningRequest) { to.Status = from.Status })
	k.More = []Subresource{{"approval", k.GVK, []string{"get", "patch", "update"}}}
	selectable(k, []string{"spec.signerName"}, func(c *certificatesv1.CertificateSigningRequest) []string {
		return []string{c.Spec.SignerName}
	})
	k.ValidateName = path.ValidatePathSegmentName
	k.Columns, k.Row = table.CertificateSigningRequestColumns(), row(table.CertificateSigningRequestRow)
	k.Validate = check(validate.CertificateSigningRequest)
	k.ValidateUpdate = checkBoth(validate.CertificateSigningRequestUpdate)
	return k
}
