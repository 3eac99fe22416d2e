package checkup

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
)

// diagnose returns an error that says why the store rejected the first object that
// the role of the store put.
func (p *patient) diagnose(ctx context.Context, c clock, put error) error {
	answer, _ := conformance.AnswerOf(put)
	flag := "-profile"
	if p.store != p.signing {
		flag = "-store-profile"
	}
	if err := p.elsewhere(answer); err != nil {
		return err
	}
	switch answer.Code {
	case "SignatureDoesNotMatch":
		return p.mismatch(ctx, answer, flag)
	case "InvalidAccessKeyId", "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return fmt.Errorf("wrong credentials: the store rejects those of %s, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (%v)", flag, answer)
	case "RequestTimeTooSkewed":
		return fmt.Errorf("wrong clock: %s (%v)", skew(c).Detail, answer)
	case "AccessDenied":
		return fmt.Errorf("missing right: the role of %s needs s3:PutObject under %s (%v)", flag, p.prefix, answer)
	}
	return fmt.Errorf("the store answers a PUT of an object under %s with %v", p.prefix, answer)
}

// elsewhere returns an error if the bucket is missing or in another region.
func (p *patient) elsewhere(answer conformance.Answer) error {
	signed, named := p.signing.Options().Region, p.heard.named()
	switch {
	case answer.Code == "NoSuchBucket":
		return fmt.Errorf("missing bucket: the store has no bucket %q (%v)", p.bucket, answer)
	case named != "" && named != signed:
		return fmt.Errorf("wrong region: requests are signed for %q, and the bucket is in %q; use -region %s (%v)", signed, named, named, answer)
	case slices.Contains([]string{"AuthorizationHeaderMalformed", "AuthorizationQueryParametersError", "PermanentRedirect", "IllegalLocationConstraintException"}, answer.Code):
		return fmt.Errorf("wrong region: requests are signed for %q, and the store expects another; use -region (%v)", signed, answer)
	}
	return nil
}

// mismatch tells wrong credentials from a proxy that changes requests: a form signs
// neither the Host nor the path.
func (p *patient) mismatch(ctx context.Context, answer conformance.Answer, flag string) error {
	const proxy = "a proxy in front of the store changes the Host or the path of requests"
	form, err := p.form(ctx)
	switch {
	case err != nil:
		return err
	case form.Accepted(), form.Code == "EntityTooLarge":
		return fmt.Errorf("rewriting proxy: %s, because a form is accepted and every PUT is rejected; "+
			"have it keep both, or sign for the address behind it by -endpoint and -public-endpoint (%v)", proxy, answer)
	case form.Code == answer.Code, form.Code == "InvalidAccessKeyId":
		return fmt.Errorf("wrong credentials: the store finds the signatures wrong that are made with those of %s, "+
			"or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (%v)", flag, answer)
	}
	return fmt.Errorf("wrong credentials or rewriting proxy: the store finds every signature wrong; check the secret key of %s, "+
		"or AWS_SECRET_ACCESS_KEY, and whether %s (%v)", flag, proxy, answer)
}

// explainPUT returns an error that says why the store rejects every PUT with a
// presigned URL, although it takes objects from the role of the store.
func (p *patient) explainPUT(ctx context.Context, answer conformance.Answer) error {
	if err := p.elsewhere(answer); err != nil {
		return err
	}
	switch answer.Code {
	case "SignatureDoesNotMatch":
		return p.mismatch(ctx, answer, "-profile")
	case "InvalidAccessKeyId", "ExpiredToken", "InvalidToken":
		return fmt.Errorf("wrong credentials: the store rejects those of -profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (%v)", answer)
	case "AccessDenied":
		return fmt.Errorf("missing right: the role of -profile, which signs, needs s3:PutObject under %s (%v)", p.prefix, answer)
	}
	return fmt.Errorf("the store answers an honest PUT with a presigned URL with %v", answer)
}

// form sends a form whose file is larger than was granted, so that the store verifies
// the signature and stores nothing.
func (p *patient) form(ctx context.Context) (conformance.Answer, error) {
	signer, err := p.signer()
	if err != nil {
		return conformance.Answer{}, err
	}
	grant, err := signer.Post(ctx, presign.Upload{Filename: "form.txt", Size: 1})
	if len(presign.Violations(err)) > 0 { // the provider is known to take no forms
		return conformance.Answer{Status: http.StatusNotImplemented}, nil
	}
	if err != nil {
		return conformance.Answer{}, err
	}
	return conformance.New(grant, "form.txt", conformance.Body).SendContext(ctx, p.http)
}
