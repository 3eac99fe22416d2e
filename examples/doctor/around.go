package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/s3presign/presign"
	"github.com/s3presign/presign/internal/conformance"
)

// clock is what an answer of the store tells about it before anything is uploaded.
type clock struct {
	host   string // that grants are for
	bucket string // its URL, for forms
	dated  bool
	behind time.Duration // the store's clock, of ours
}

// largestSkew is what passes for the same time: dates have seconds, and answers take a moment.
const largestSkew = 3 * time.Second

// policy is that of the service for which the doctor looks.
func policy(prefix, final string) presign.Policy {
	return presign.Policy{Prefix: prefix, FinalPrefix: final, Types: []string{"text/plain"}, MaxSize: 1 << 20}
}

// signer is one under the doctor's own prefixes.
func (p *patient) signer() (*presign.Signer, error) {
	final := ""
	if p.final != "" {
		final = p.published()
	}
	return presign.NewSigner(p.signing, p.bucket, policy(p.uploads(), final), presign.WithStore(p.store))
}

// clock asks for the bucket without credentials: any answer will do.
func (p *patient) clock(ctx context.Context) (c clock, err error) {
	signer, err := p.signer()
	if err != nil {
		return c, err
	}
	grant, err := signer.Put(ctx, presign.Upload{Filename: "clock.txt", Size: 1})
	if err != nil {
		return c, err
	}
	u, err := url.Parse(grant.URL)
	if err != nil {
		return c, errors.New("the grant has no URL")
	}
	before, _, _ := strings.Cut(u.EscapedPath(), "/"+p.uploads())
	c.host, c.bucket = u.Host, u.Scheme+"://"+u.Host+before
	asked := time.Now()
	response, err := p.request(ctx, http.MethodHead, c.bucket, nil)
	if err != nil {
		return c, fmt.Errorf("the store does not answer: %w", err)
	}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		middle := asked.Add(time.Since(asked) / 2)
		// A date names the second that has begun.
		c.dated, c.behind = true, middle.Sub(date.Add(500*time.Millisecond)).Round(time.Second)
	}
	return c, nil
}

// request makes a request and drops the body of the answer.
func (p *patient) request(ctx context.Context, method, url string, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	if header != nil {
		r.Header = header
	}
	response, err := p.http.Do(r)
	if err != nil {
		return nil, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	_ = response.Body.Close()
	return response, nil
}

// around finds out what a bucket needs beside enforcement.
func (p *patient) around(ctx context.Context, c clock, constraints []Constraint) ([]Finding, error) {
	signer, err := p.signer()
	if err != nil {
		return nil, err
	}
	found := []Finding{skew(c)}
	found = append(found, p.cors(ctx, c, signer)...)
	found = append(found, p.lifecycle(ctx)...)
	found = append(found, p.versioning(ctx))
	found = append(found, p.signingRole(ctx, constraints)...)
	found = append(found, p.storeRole(ctx, signer)...)
	return found, ctx.Err()
}

func skew(c clock) Finding {
	f := Finding{What: "clocks", State: Good, Detail: "the store's and this machine's agree"}
	switch ahead := -c.behind; {
	case !c.dated:
		f.State, f.Detail = Unknown, "the store's answer has no date"
	case c.behind > largestSkew:
		f.State = Wrong
		f.Detail = fmt.Sprintf("this machine's is %v ahead: grants live longer than they say, and from 15 minutes on none is taken", c.behind)
	case ahead > largestSkew:
		f.State, f.Detail = Wrong, fmt.Sprintf("this machine's is %v behind: grants end that much earlier than they say", ahead)
	}
	return f
}

// preflighted are the headers that a page sends with a PUT.
const preflighted = "content-disposition,content-type,if-none-match,x-amz-checksum-sha256,x-amz-meta-presign"

// cors asks what a browser would ask for a page of the origin.
func (p *patient) cors(ctx context.Context, c clock, signer *presign.Signer) []Finding {
	if p.origin == "" {
		return []Finding{{"CORS", Unknown, "say for pages of which -origin"}}
	}
	var found []Finding
	grant, err := signer.Put(ctx, presign.Upload{Filename: "cors.txt", Size: int64(len(conformance.Body))})
	if err != nil {
		return []Finding{{"CORS", Unknown, plain(err).Error()}}
	}
	for _, ask := range []struct{ what, method, headers, url string }{
		{"CORS: PUT", http.MethodPut, preflighted, grant.URL},
		{"CORS: form with progress", http.MethodPost, "", c.bucket},
	} {
		f := Finding{What: ask.what, State: Good, Detail: "pages of " + p.origin + " may"}
		if detail := p.preflight(ctx, ask.method, ask.headers, ask.url); detail != "" {
			f.State, f.Detail = Missing, detail
		}
		found = append(found, f)
	}
	return append(found, p.exposed(ctx, grant))
}

// preflight returns why a browser would not go on.
func (p *patient) preflight(ctx context.Context, method, headers, url string) string {
	header := http.Header{"Origin": {p.origin}, "Access-Control-Request-Method": {method}}
	if headers != "" {
		header.Set("Access-Control-Request-Headers", headers)
	}
	response, err := p.request(ctx, http.MethodOptions, url, header)
	if err != nil {
		return plain(err).Error()
	}
	allowed := response.Header.Get("Access-Control-Allow-Headers")
	switch {
	case response.StatusCode/100 != 2:
		return fmt.Sprintf("the preflight is answered with %d", response.StatusCode)
	case !p.allowsOrigin(response):
		return "the preflight does not allow the origin"
	case !slices.Contains(list(response.Header.Get("Access-Control-Allow-Methods")), strings.ToLower(method)):
		return "the preflight does not allow the method"
	case allowed == "*":
		return ""
	}
	var refused []string
	for _, name := range list(headers) {
		if !slices.Contains(list(allowed), name) {
			refused = append(refused, name)
		}
	}
	if len(refused) > 0 {
		return "the preflight does not allow the headers " + strings.Join(refused, ", ")
	}
	return ""
}

func (p *patient) allowsOrigin(response *http.Response) bool {
	allowed := response.Header.Get("Access-Control-Allow-Origin")
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

// exposed uploads from a page, as far as a store can tell, and looks which headers the page may read.
func (p *patient) exposed(ctx context.Context, grant *presign.Grant) Finding {
	f := Finding{What: "CORS: ETag exposed", State: Good, Detail: "uploads in parts need it"}
	attempt := conformance.New(grant, "cors.txt", conformance.Body)
	attempt.Header.Set("Origin", p.origin)
	request, err := attempt.Request()
	if err != nil {
		f.State, f.Detail = Unknown, plain(err).Error()
		return f
	}
	response, err := p.http.Do(request.WithContext(ctx))
	if err != nil {
		f.State, f.Detail = Unknown, plain(err).Error()
		return f
	}
	_ = response.Body.Close()
	exposed := list(strings.Join(response.Header.Values("Access-Control-Expose-Headers"), ","))
	switch {
	case response.StatusCode/100 != 2:
		f.State, f.Detail = Unknown, fmt.Sprintf("the upload is answered with %d", response.StatusCode)
	case !p.allowsOrigin(response):
		f.State, f.Detail = Missing, "the answer to an upload does not allow the origin"
	case !slices.Contains(exposed, "etag"):
		f.State, f.Detail = Missing, "the answer to an upload does not expose ETag, which uploads in parts need"
	}
	return f
}

// lifecycle looks whether what is never completed is removed.
func (p *patient) lifecycle(ctx context.Context) []Finding {
	out, err := p.store.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &p.bucket})
	switch {
	case err == nil:
		return p.expiries(out.Rules)
	}
	answer, text := said(err)
	if answer.Code == "NoSuchLifecycleConfiguration" {
		return p.expiries(nil)
	}
	return []Finding{{"lifecycle", Unknown, "the store does not tell its rules: " + text}}
}

// needDays is how long an upload can be completed: 7 days, and one behind them.
const needDays = 8

// expiries says what rules make of uploads, of parts and of what was published.
func (p *patient) expiries(rules []types.LifecycleRule) []Finding {
	uploads := Finding{What: "lifecycle: uploads expire", State: Info,
		Detail: "without a FinalPrefix completed files stay where they are, and no rule can tell them apart"}
	kept := cmp.Or(p.final, p.prefix)
	if p.final != "" {
		uploads = expires(uploads.What, "nothing removes what is never completed under "+p.prefix, firstDays(rules, p.prefix, expiration))
	}
	days := firstDays(rules, p.prefix, aborts)
	if inCopies := firstDays(rules, kept, aborts); inCopies == 0 || days != 0 && inCopies < days {
		days = inCopies
	}
	found := []Finding{uploads, expires("lifecycle: parts expire", "nothing aborts what is never completed in parts", days)}
	if n := firstDays(rules, kept, expiration); n != 0 {
		found = append(found, Finding{"lifecycle: published files", Wrong, fmt.Sprintf("they are removed from %s after %d days", kept, n)})
	}
	return found
}

func expires(what, missing string, days int32) Finding {
	switch {
	case days == 0:
		return Finding{what, Missing, missing}
	case days < needDays:
		return Finding{what, Wrong, fmt.Sprintf("after %d days, while uploads can be completed for %d", days, needDays)}
	}
	return Finding{what, Good, fmt.Sprintf("after %d days", days)}
}

// firstDays returns after how many days the first of the rules does something to all that is under a prefix, or 0 if
// none does.
func firstDays(rules []types.LifecycleRule, prefix string, days func(types.LifecycleRule) *int32) (first int32) {
	for _, rule := range rules {
		of, all := scope(rule)
		if rule.Status != types.ExpirationStatusEnabled || !all || !strings.HasPrefix(prefix, of) {
			continue
		}
		if n := aws.ToInt32(days(rule)); n > 0 && (first == 0 || n < first) {
			first = n
		}
	}
	return first
}

func expiration(rule types.LifecycleRule) *int32 {
	if rule.Expiration == nil {
		return nil
	}
	return rule.Expiration.Days
}

func aborts(rule types.LifecycleRule) *int32 {
	if rule.AbortIncompleteMultipartUpload == nil {
		return nil
	}
	return rule.AbortIncompleteMultipartUpload.DaysAfterInitiation
}

// scope returns the prefix of what a rule is for, and whether it is for all of that.
func scope(rule types.LifecycleRule) (prefix string, all bool) {
	f := rule.Filter
	switch {
	case f == nil:
		//lint:ignore SA1019 rules that are older than filters have it
		return aws.ToString(rule.Prefix), true
	case f.And != nil, f.Tag != nil, f.ObjectSizeGreaterThan != nil, f.ObjectSizeLessThan != nil:
		return "", false
	}
	return aws.ToString(f.Prefix), true
}

func (p *patient) versioning(ctx context.Context) Finding {
	f := Finding{What: "versioning", State: Info}
	out, err := p.store.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &p.bucket})
	switch {
	case err != nil:
		_, text := said(err)
		f.State, f.Detail = Unknown, "the store does not tell: "+text
	case out.Status == types.BucketVersioningStatusEnabled:
		f.Detail = "on: completion pins versions; the lifecycle rule needs NoncurrentVersionExpiration"
	case out.Status == types.BucketVersioningStatusSuspended:
		f.Detail = "suspended: completion pins ETags"
	default:
		f.Detail = "off: completion pins ETags"
	}
	return f
}

// signingRole looks what the role that signs may do beside uploading. It asks for what cannot succeed, or does no harm.
func (p *patient) signingRole(ctx context.Context, constraints []Constraint) []Finding {
	if p.signing == p.store {
		f := Finding{"role that signs", Info, "it completes uploads as well, which is safe at this store"}
		for _, c := range constraints {
			if c.Constraint == string(conformance.CopySource) && c.Verdict == NotEnforced {
				f = Finding{f.What, Wrong, "it completes uploads as well, so that a grant reads what it may read: give -store-profile another"}
			}
		}
		return []Finding{f}
	}
	const what = "role that signs"
	private, none := p.uploads()+"private", p.uploads()+"none"
	put := func(key string) error {
		// Rights come before digests, and this is not that of the body.
		_, err := p.signing.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &p.bucket, Key: &key, Body: bytes.NewReader(conformance.Body), ContentMD5: aws.String("AAAAAAAAAAAAAAAAAAAAAA=="),
		})
		return err
	}
	tries := []struct {
		what string
		do   func() error
	}{
		{"read objects", func() error {
			out, err := p.signing.GetObject(ctx, &s3.GetObjectInput{Bucket: &p.bucket, Key: &private})
			if err == nil {
				_ = out.Body.Close()
			}
			return err
		}},
		{"list the bucket", func() error {
			_, err := p.signing.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &p.bucket, Prefix: &none})
			return err
		}},
		{"delete objects", func() error {
			_, err := p.signing.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.bucket, Key: &none})
			return err
		}},
		{"put objects elsewhere", func() error { return put(p.own + "elsewhere") }},
	}
	if p.final != "" {
		tries = append(tries, struct {
			what string
			do   func() error
		}{"put objects where the published ones are", func() error { return put(p.published() + "none") }})
	}
	var may, unknown []string
	for _, try := range tries {
		switch answer, err := conformance.AnswerOf(try.do()); {
		case err != nil:
			unknown = append(unknown, try.what)
		case answer.Status != http.StatusForbidden: // done, or refused for another reason than rights
			may = append(may, try.what)
		}
	}
	switch {
	case len(may) > 0:
		return []Finding{{what, Wrong, "may " + strings.Join(may, ", ") + "; it needs s3:PutObject under " + p.prefix + " and nothing else"}}
	case len(unknown) > 0:
		return []Finding{{what, Unknown, "no answer to whether it may " + strings.Join(unknown, ", ")}}
	}
	return []Finding{{what, Good, "puts objects under " + p.prefix + ", and reads, lists, deletes none, and puts none elsewhere"}}
}

// storeRole completes uploads, which is what that role is for.
func (p *patient) storeRole(ctx context.Context, signer *presign.Signer) []Finding {
	var found []Finding
	for _, try := range []struct {
		what, good string
		do         func() error
	}{
		{"role of the store: files", "completes and publishes what was uploaded", func() error {
			grant, err := signer.Put(ctx, presign.Upload{Filename: "role.txt", Size: int64(len(conformance.Body))})
			if err != nil {
				return err
			}
			if err := p.send(grant); err != nil {
				return err
			}
			object, err := signer.Complete(ctx, grant.Key)
			if err != nil {
				return err
			}
			if _, err := p.store.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.bucket, Key: &object.Key}); err != nil {
				_, text := said(err)
				return fmt.Errorf("delete %q: %s", object.Key, text)
			}
			return nil
		}},
		{"role of the store: parts", "begins, lists, completes and aborts uploads in parts", func() error {
			m, err := signer.StartMultipart(ctx, presign.Upload{Filename: "role.txt", Size: int64(len(conformance.Body))})
			if err != nil {
				return err
			}
			grant, err := m.SignPart(ctx, presign.Part{Number: 1})
			if err == nil {
				err = p.send(grant)
			}
			if err == nil {
				_, err = m.Complete(ctx, nil)
			}
			if err != nil {
				return errors.Join(err, m.Abort(context.WithoutCancel(ctx)))
			}
			if m, err = signer.StartMultipart(ctx, presign.Upload{Filename: "role.txt", Size: 1}); err != nil {
				return err
			}
			return m.Abort(ctx)
		}},
		{"role of the store: absence", "is told when there is no object", func() error {
			_, err := p.store.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &p.bucket, Key: aws.String(p.uploads() + "none")})
			answer, text := said(err)
			if answer.Status == http.StatusNotFound {
				return nil
			}
			return fmt.Errorf("the answer for an object that is not there is %s, not 404; that takes s3:ListBucket", text)
		}},
	} {
		f := Finding{try.what, Good, try.good}
		if err := try.do(); err != nil {
			f.State, f.Detail = Wrong, oneLine(plain(err).Error())
		}
		found = append(found, f)
	}
	return found
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// send uploads honestly.
func (p *patient) send(grant *presign.Grant) error {
	got, err := conformance.New(grant, "role.txt", conformance.Body).Send(p.http)
	if err == nil && !got.Accepted() {
		err = fmt.Errorf("the upload is answered with %v", got)
	}
	return err
}

// said returns status and code of a store's answer to the SDK, or what else went wrong.
func said(err error) (conformance.Answer, string) {
	answer, err := conformance.AnswerOf(err)
	if err != nil {
		return answer, plain(err).Error()
	}
	return answer, answer.String()
}
