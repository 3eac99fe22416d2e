package checkup

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
)

// diagnose returns the reason why the store rejected the first object that the
// role of the store put.
func (p *examiner) diagnose(ctx context.Context, c clock, put error) error {
	response, _ := conformance.ResponseOf(put)
	flag := "-profile"
	if p.store != p.signing {
		flag = "-store-profile"
	}
	if err := p.checkLocation(response); err != nil {
		return err
	}
	switch response.Code {
	case "SignatureDoesNotMatch":
		return p.mismatch(ctx, response, flag)
	case "InvalidAccessKeyId", "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return fmt.Errorf(
			"wrong credentials: the store rejects the access key (%v)\ncheck %s, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
			response, flag)
	case "RequestTimeTooSkewed":
		return fmt.Errorf("wrong clock: %s (%v)", skew(c).Detail, response)
	case "AccessDenied":
		return fmt.Errorf("missing right: the role of %s needs s3:PutObject under %s (%v)", flag,
			p.prefix, response)
	}
	return fmt.Errorf("the store rejects a PUT of an object under %s with %v", p.prefix, response)
}

// checkLocation returns an error if the bucket is missing or in another region.
func (p *examiner) checkLocation(response conformance.Response) error {
	signed, named := p.signing.Options().Region, p.regions.last()
	switch {
	case response.Code == "NoSuchBucket":
		return fmt.Errorf("missing bucket: the store has no bucket %q (%v)", p.bucket, response)
	case named != "" && named != signed:
		return fmt.Errorf(
			"wrong region: requests are signed for %q, but the bucket is in %q (%v); use -region %s",
			signed, named, response, named)
	case slices.Contains([]string{
		"AuthorizationHeaderMalformed", "AuthorizationQueryParametersError", "PermanentRedirect",
		"IllegalLocationConstraintException",
	}, response.Code):
		return fmt.Errorf(
			"wrong region: the store rejects requests that are signed for %q (%v); use -region",
			signed, response)
	}
	return nil
}

// mismatch distinguishes wrong credentials from a proxy that changes requests.
// The signature of a form covers neither the Host nor the path.
func (p *examiner) mismatch(ctx context.Context, response conformance.Response, flag string) error {
	form, err := p.form(ctx)
	switch {
	case err != nil:
		return err
	case form.Accepted(), form.Code == "EntityTooLarge":
		return fmt.Errorf("rewriting proxy: the store accepts a form but rejects every PUT (%v)\n"+
			"the proxy in front of the store must keep the Host and the path; "+
			"otherwise set -endpoint\nand -public-endpoint to the address behind it", response)
	case form.Code == response.Code, form.Code == "InvalidAccessKeyId":
		return fmt.Errorf("wrong credentials: the store rejects every signature (%v)\n"+
			"check %s, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", response, flag)
	}
	return fmt.Errorf(
		"wrong credentials or rewriting proxy: the store rejects every signature (%v)\n"+
			"check the secret key of %s, or AWS_SECRET_ACCESS_KEY, and whether a proxy in front\n"+
			"of the store changes the Host or the path of requests", response, flag)
}

// explainPUT returns the reason why the store rejects every PUT with a
// presigned URL. The store has accepted an object from the role of the store
// before.
func (p *examiner) explainPUT(ctx context.Context, response conformance.Response) error {
	if err := p.checkLocation(response); err != nil {
		return err
	}
	switch response.Code {
	case "SignatureDoesNotMatch":
		return p.mismatch(ctx, response, "-profile")
	case "InvalidAccessKeyId", "ExpiredToken", "InvalidToken":
		return fmt.Errorf("wrong credentials: the store rejects the access key (%v)\n"+
			"check -profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", response)
	case "AccessDenied":
		return fmt.Errorf(
			"missing right: the signing role of -profile needs s3:PutObject under %s (%v)",
			p.prefix, response)
	}
	return fmt.Errorf("the store rejects an honest PUT with a presigned URL: %v", response)
}

// form sends a form with a file that is larger than granted. The store verifies
// the signature but does not store the file.
func (p *examiner) form(ctx context.Context) (conformance.Response, error) {
	signer, err := p.signer()
	if err != nil {
		return conformance.Response{}, err
	}
	grant, err := signer.Post(ctx, presign.Upload{Filename: "form.txt", Size: 1})
	if len(presign.Violations(err)) > 0 { // The store is known to reject forms.
		return conformance.Response{Status: http.StatusNotImplemented}, nil
	}
	if err != nil {
		return conformance.Response{}, err
	}
	return conformance.New(grant, "form.txt", conformance.Body).SendContext(ctx, p.http)
}
