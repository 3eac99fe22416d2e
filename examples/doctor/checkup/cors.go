package checkup

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/test/conformance"
)

// preflightHeaders are the headers that a page sends with a PUT.
const preflightHeaders = "content-disposition,content-type,if-none-match,x-amz-checksum-sha256,x-amz-meta-presign"

const corsByStore = "CORS: rules"

// cors makes the preflight requests of a browser on a page of the origin. It
// omits the request for forms if the store does not offer forms.
func (p *examiner) cors(
	ctx context.Context, c clock, signer *presign.Signer, forms bool,
) []Finding {
	if p.origin == "" {
		return []Finding{{What: "CORS", State: Unknown, Detail: "set -origin to check it"}}
	}
	var found []Finding
	grant, err := signer.Put(ctx, presign.Upload{
		Filename: "cors.txt", Size: int64(len(conformance.Body)),
	})
	if err != nil {
		return []Finding{{What: "CORS", State: Unknown, Detail: plain(err).Error()}}
	}
	for _, ask := range []struct{ what, method, headers, url string }{
		{"CORS: PUT", http.MethodPut, preflightHeaders, grant.URL},
		{"CORS: form with progress", http.MethodPost, "", c.bucket},
	} {
		if ask.method == http.MethodPost && !forms {
			continue
		}
		f := Finding{What: ask.what, State: Good, Detail: "allowed for pages of " + p.origin}
		if detail := p.preflight(ctx, ask.method, ask.headers, ask.url); detail != "" {
			f.State, f.Detail = Missing, detail
		}
		found = append(found, f)
	}
	found = append(found, p.checkExposed(ctx, grant))
	if !p.corsByBucket(ctx) {
		found = append(found, Finding{
			What: corsByStore, State: Info,
			Detail: "the store has no rules by bucket; set rules for all buckets",
		})
	}
	return found
}

// corsByBucket reports whether buckets can have CORS rules. It returns false
// only if the store does not implement such rules.
func (p *examiner) corsByBucket(ctx context.Context) bool {
	_, err := p.store.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: &p.bucket})
	response, _ := describe(err)
	return response.Status != http.StatusNotImplemented
}

// offersForms reports whether forms were checked and the store accepts honest
// forms.
func offersForms(constraints []Constraint) bool {
	return slices.ContainsFunc(constraints, func(c Constraint) bool {
		return c.Kind == string(conformance.Form) && c.Constraint == string(conformance.Honest) &&
			c.Verdict != NotOffered
	})
}

// preflight returns the reason why a browser would not upload, or "".
func (p *examiner) preflight(ctx context.Context, method, headers, url string) string {
	header := http.Header{"Origin": {p.origin}, "Access-Control-Request-Method": {method}}
	if headers != "" {
		header.Set("Access-Control-Request-Headers", headers)
	}
	resp, err := p.request(ctx, http.MethodOptions, url, header)
	if err != nil {
		return plain(err).Error()
	}
	allowed := resp.Header.Get("Access-Control-Allow-Headers")
	switch {
	case resp.StatusCode/100 != 2:
		return fmt.Sprintf("the preflight failed with status %d", resp.StatusCode)
	case !p.allowsOrigin(resp):
		return "the preflight does not allow the origin"
	case !slices.Contains(list(resp.Header.Get("Access-Control-Allow-Methods")),
		strings.ToLower(method)):
		return "the preflight does not allow the method"
	case allowed == "*":
		return ""
	}
	var rejected []string
	for _, name := range list(headers) {
		if !slices.Contains(list(allowed), name) {
			rejected = append(rejected, name)
		}
	}
	if len(rejected) > 0 {
		return "the preflight does not allow the headers " + strings.Join(rejected, ", ")
	}
	return ""
}

func (p *examiner) allowsOrigin(resp *http.Response) bool {
	allowed := resp.Header.Get("Access-Control-Allow-Origin")
	return allowed == "*" || allowed == p.origin
}

// list returns the items of a header, in lower case.
func list(header string) (items []string) {
	for item := range strings.SplitSeq(header, ",") {
		if item = strings.ToLower(strings.TrimSpace(item)); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// checkExposed uploads like a page of the origin and checks that the page can
// read the ETag.
func (p *examiner) checkExposed(ctx context.Context, grant *presign.Grant) Finding {
	f := Finding{What: "CORS: ETag exposed", State: Good, Detail: "multipart uploads need it"}
	attempt := conformance.New(grant, "cors.txt", conformance.Body)
	attempt.Header.Set("Origin", p.origin)
	request, err := attempt.Request()
	if err != nil {
		f.State, f.Detail = Unknown, plain(err).Error()
		return f
	}
	resp, err := p.http.Do(request.WithContext(ctx))
	if err != nil {
		f.State, f.Detail = Unknown, plain(err).Error()
		return f
	}
	_ = resp.Body.Close()
	exposed := list(strings.Join(resp.Header.Values("Access-Control-Expose-Headers"), ","))
	switch {
	case resp.StatusCode/100 != 2:
		f.State, f.Detail = Unknown,
			fmt.Sprintf("the upload failed with status %d", resp.StatusCode)
	case !p.allowsOrigin(resp):
		f.State, f.Detail = Missing, "the response to an upload does not allow the origin"
	case !slices.Contains(exposed, "etag"):
		f.State, f.Detail = Missing,
			"the response to an upload does not expose ETag, which multipart uploads need"
	}
	return f
}
