package checkup

import (
	"context"
	"io"
	"net/http"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
)

// policy returns a Policy with the prefixes of the service.
func policy(prefix, final string) presign.Policy {
	return presign.Policy{
		Prefix: prefix, FinalPrefix: final, Types: []string{"text/plain"}, MaxSize: 1 << 20,
	}
}

// signer returns a Signer for the prefixes of the doctor.
func (p *examiner) signer() (*presign.Signer, error) {
	final := ""
	if p.final != "" {
		final = p.published()
	}
	bounds := policy(p.uploads(), final)
	bounds.Replace = p.replace
	return presign.NewSigner(p.signing, p.bucket, bounds,
		append(p.options, presign.WithStore(p.store))...)
}

// request makes a request and discards the body of the response.
func (p *examiner) request(
	ctx context.Context, method, url string, header http.Header,
) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	if header != nil {
		r.Header = header
	}
	resp, err := p.http.Do(r)
	if err != nil {
		return nil, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	_ = resp.Body.Close()
	return resp, nil
}

// around checks the configuration of the bucket.
func (p *examiner) around(
	ctx context.Context, c clock, constraints []Constraint,
) ([]Finding, error) {
	signer, err := p.signer()
	if err != nil {
		return nil, err
	}
	found := []Finding{skew(c)}
	found = append(found, p.cors(ctx, c, signer, offersForms(constraints))...)
	versioning, versioned := p.versioning(ctx)
	found = append(found, p.lifecycle(ctx, versioned)...)
	found = append(found, versioning)
	found = append(found, p.sharing()...)
	found = append(found, p.signingRole(ctx, constraints)...)
	found = append(found, p.storeRole(ctx, signer)...)
	return found, ctx.Err()
}

// sharing returns advice on FinalPrefix. The doctor cannot find out whether
// another Signer publishes under the same prefix.
func (p *examiner) sharing() []Finding {
	if p.final == "" {
		return nil
	}
	return []Finding{{What: "FinalPrefix", State: Info,
		Detail: "each Signer must have its own; with Policy.Replace, two Signers that publish under " +
			p.final + " replace each other's objects if the service chose the same key"}}
}

// describe returns the response of the store that err contains, and its text.
// If err contains no response, describe returns the text of err.
func describe(err error) (conformance.Response, string) {
	response, err := conformance.ResponseOf(err)
	if err != nil {
		return response, plain(err).Error()
	}
	return response, response.String()
}
