package checkup

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/profile"
	"github.com/s3presign/presign/internal/test/s3test"
)

// A quirk returns a response in place of the store, or changes the request and
// returns nil.
type quirk func(*http.Request) *http.Response

// response returns a response with an S3 error.
func response(status int, code string, more ...string) *http.Response {
	recorder := httptest.NewRecorder()
	recorder.Header().Set("Content-Type", "application/xml")
	recorder.WriteHeader(status)
	if code != "" {
		_, _ = fmt.Fprintf(recorder, "<Error><Code>%s</Code><Message>no</Message>%s</Error>", code,
			strings.Join(more, ""))
	}
	return recorder.Result()
}

// examineQuirks examines an s3test server with quirks. Without quirks, the
// server lists folders.
func examineQuirks(
	t *testing.T, change func(*examiner), quirks ...quirk,
) (r *Report, left, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := s3test.New()
		through := &http.Client{CheckRedirect: server.HTTPClient().CheckRedirect}
		through.Transport = transport(func(r *http.Request) (*http.Response, error) {
			for _, q := range quirks {
				if resp := q(r); resp != nil {
					resp.Request = r
					if r.Body != nil {
						_, _ = io.Copy(io.Discard, r.Body)
					}
					return resp, nil
				}
			}
			resp, err := server.HTTPClient().Transport.RoundTrip(r)
			if err == nil && len(quirks) == 0 {
				addFolder(r, resp)
			}
			return resp, err
		})
		recorder := &regionRecorder{client: through}
		client := server.S3(func(o *s3.Options) { o.HTTPClient = recorder })
		p := &examiner{
			signing: client, store: client, bucket: s3test.DefaultBucket, prefix: "incoming/",
			final: "files/", own: "doctor-quirk/",
			http: through, regions: recorder, origin: "https://shop.example",
		}
		if change != nil {
			change(p)
		}
		r, left, err = p.examine(t.Context())
		require.Empty(t, server.Objects(p.bucket))
	})
	return r, left, err
}

// secondLife ignores the second X-Amz-Expires of a URL.
func secondLife() quirk {
	return func(r *http.Request) *http.Response {
		if strings.Count(r.URL.RawQuery, "X-Amz-Expires=") == 2 {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "&X-Amz-Expires=604800", "", 1)
		}
		return nil
	}
}

// ignoreUnknown ignores the parameter delete in the URL of a form. It also
// ignores the header x-amz-copy-source-range without x-amz-copy-source.
func ignoreUnknown() quirk {
	return func(r *http.Request) *http.Response {
		if r.Method == http.MethodPost && r.URL.RawQuery == "delete" &&
			strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
			r.URL.RawQuery = ""
		}
		if r.Header.Get("x-amz-copy-source") == "" {
			r.Header.Del("x-amz-copy-source-range")
		}
		return nil
	}
}

// bareParts rejects parts without a checksum if the multipart upload was
// started with a checksum algorithm. If late is set, it accepts all parts and
// rejects the completion.
func bareParts(late bool) quirk {
	var mu sync.Mutex
	with, bare := make(map[string]bool), make(map[string]bool) // paths
	return func(r *http.Request) *http.Response {
		mu.Lock()
		defer mu.Unlock()
		query := r.URL.Query()
		switch {
		case r.Method == http.MethodPost && query.Has("uploads"):
			with[r.URL.Path] = r.Header.Get("x-amz-checksum-algorithm") != ""
		case r.Method == http.MethodPost && query.Has("uploadId") && bare[r.URL.Path]:
			return response(http.StatusBadRequest, "InvalidPart")
		case r.Method == http.MethodPut && query.Has("partNumber") && with[r.URL.Path] &&
			!hasChecksum(r):
			bare[r.URL.Path] = late
			if !late {
				return response(http.StatusBadRequest, "InvalidArgument")
			}
		}
		return nil
	}
}

// hasChecksum reports whether a part has its own checksum.
func hasChecksum(r *http.Request) bool {
	return strings.Contains(r.URL.RawQuery, "x-amz-checksum-") ||
		r.Header.Get("x-amz-checksum-crc32") != "" ||
		r.Header.Get("x-amz-checksum-crc32c") != "" ||
		r.Header.Get("x-amz-checksum-crc64nvme") != ""
}

// minIO returns the Server header of MinIO and no lifecycle rules.
func minIO() quirk {
	return func(r *http.Request) *http.Response {
		switch {
		case r.Method == http.MethodHead && strings.Trim(r.URL.Path, "/") == s3test.DefaultBucket &&
			r.URL.RawQuery == "":
			resp := response(http.StatusOK, "")
			resp.Header.Set("Server", "MinIO")
			return resp
		case r.Method == http.MethodGet && r.URL.Query().Has("lifecycle"):
			return response(http.StatusNotFound, "NoSuchLifecycleConfiguration")
		}
		return nil
	}
}

// TestQuirks checks the verdicts on each quirk. A constraint must not be called
// broken if the store enforces it in another way.
func TestQuirks(t *testing.T) {
	for name, c := range map[string]struct {
		quirks     []quirk
		notOffered []string
		madeGood   []string
	}{
		"ignores the second lifetime":        {[]quirk{secondLife()}, nil, nil},
		"ignores unknown fields and headers": {[]quirk{ignoreUnknown()}, nil, nil},
		"lists folders":                      {nil, nil, nil},
		"accepts a part once": {[]quirk{rejectChangedParts()},
			[]string{"part: a part sent again"}, nil},
		"no If-None-Match": {[]quirk{func(r *http.Request) *http.Response {
			if r.Method == http.MethodPut && r.Header.Get("If-None-Match") != "" &&
				r.Header.Get("x-amz-copy-source") == "" {
				return response(http.StatusNotImplemented, "NotImplemented")
			}
			return nil
		}}, []string{"PUT: write once"}, nil},
		"no conditional copy": {[]quirk{func(r *http.Request) *http.Response {
			if r.Header.Get("x-amz-copy-source") != "" && r.Header.Get("If-None-Match") != "" {
				return response(http.StatusNotImplemented, "NotImplemented")
			}
			return nil
		}}, nil, []string{"completion: write once on copy"}},
		"parts need a checksum": {[]quirk{bareParts(false)},
			[]string{"part: parts without their own checksum"}, nil},
		"completion needs checksums of parts": {[]quirk{bareParts(true)},
			[]string{"part: parts without their own checksum"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r, left, err := examineQuirks(t, nil, c.quirks...)
			require.NoError(t, err)
			require.NoError(t, left)
			require.Empty(t, r.rows(NotEnforced, Unproven), "%+v", r.Constraints)
			without := func(names []string) (rest []string) {
				for _, name := range names {
					if !strings.HasSuffix(name, "session token") {
						rest = append(rest, name)
					}
				}
				return rest
			}
			require.Equal(t, c.notOffered, without(r.rows(NotOffered)))
			require.Equal(t, c.madeGood, r.rows(MadeGood))
			require.True(t, r.Enforced)
		})
	}
}

// TestCORSWithoutForms checks that the doctor does not check CORS for forms if
// the store rejects forms. It also checks that the doctor prints no command for
// rules by bucket if the store does not implement them.
func TestCORSWithoutForms(t *testing.T) {
	for _, status := range []int{http.StatusNotImplemented, http.StatusNotFound} {
		r, _, err := examineQuirks(t, nil, func(r *http.Request) *http.Response {
			switch {
			case r.Method == http.MethodGet && r.URL.Query().Has("cors"):
				return response(status, "NoSuchCORSConfiguration")
			case r.Method == http.MethodPost && r.URL.RawQuery == "":
				return response(http.StatusForbidden, "AccessDenied")
			}
			return nil
		})
		require.NoError(t, err)
		found := states(r)
		require.Equal(t, Missing, found["CORS: PUT"])
		require.NotContains(t, found, "CORS: form with progress")
		require.True(t, strings.HasPrefix(r.Paste[0].Title, "CORS, "))
		if status == http.StatusNotImplemented {
			require.Equal(t, Info, found["CORS: rules"])
			require.Empty(t, r.Paste[0].Command)
		} else {
			require.NotContains(t, found, "CORS: rules")
			require.Contains(t, r.Paste[0].Command, "aws s3api put-bucket-cors ")
		}
	}
}

// formKey matches the field of a form that holds the object key.
var formKey = regexp.MustCompile(`(?i)name="key"\r\n\r\n(.+)\r\n`)

// TestDeniedForms checks that forms are unproven if the signing role may not
// send them, and not offered only if the store rejects every form.
func TestDeniedForms(t *testing.T) {
	for name, c := range map[string]struct {
		denies func(*http.Response) bool
		want   Verdict
	}{
		"no right":   {func(resp *http.Response) bool { return resp.StatusCode < http.StatusBadRequest }, Unproven},
		"no support": {func(*http.Response) bool { return true }, NotOffered},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, err := examineQuirks(t, func(p *examiner) {
				through := p.http.Transport
				p.http = &http.Client{CheckRedirect: p.http.CheckRedirect, Transport: transport(func(r *http.Request) (*http.Response, error) {
					if r.Method != http.MethodPost || r.URL.RawQuery != "" {
						return through.RoundTrip(r)
					}
					body, _ := io.ReadAll(r.Body)
					r.Body = io.NopCloser(bytes.NewReader(body))
					resp, err := through.RoundTrip(r)
					if err != nil || !c.denies(resp) {
						return resp, err
					}
					_ = resp.Body.Close()
					if key := formKey.FindSubmatch(body); key != nil { // A denied form stores nothing.
						_, err = p.store.DeleteObject(r.Context(), &s3.DeleteObjectInput{Bucket: &p.bucket, Key: aws.String(string(key[1]))})
					}
					return response(http.StatusForbidden, "AccessDenied"), err
				})}
			})
			require.NoError(t, err)
			for _, row := range r.Constraints {
				if row.Kind == "form" {
					require.Equal(t, c.want, row.Verdict, "%+v", row)
				}
			}
			denied := c.want == Unproven
			require.Equal(t, denied, !r.Enforced)
			_, found := r.profile(time.Now()).Constraints["form: an honest upload"]
			require.Equal(t, denied, !found, "a profile must not record a missing right")
			var printed strings.Builder
			require.NoError(t, newPrinter(&printed).report(r, false))
			text := strings.Join(strings.Fields(printed.String()), " ")
			require.Equal(t, denied, strings.Contains(text, "Allow the signing role to send forms, or use WithoutForms (-without-forms)"), text)
			require.Equal(t, !denied, strings.Contains(text, "Use WithoutForms"), text)
		})
	}
}

// TestWithoutForms checks that the doctor makes no request by form with
// -without-forms, and does not report forms.
func TestWithoutForms(t *testing.T) {
	r, _, err := examineQuirks(t, func(p *examiner) { p.formless = true },
		func(r *http.Request) *http.Response {
			if r.Method == http.MethodPost && r.URL.RawQuery == "" {
				t.Error("forms must not be sent")
			}
			return nil
		})
	require.NoError(t, err)
	require.True(t, r.Enforced)
	require.NotContains(t, states(r), "CORS: form with progress")
	for _, row := range r.Constraints {
		require.NotEqual(t, "form", row.Kind)
	}
	var printed strings.Builder
	require.NoError(t, newPrinter(&printed).report(r, false))
	require.Contains(t, printed.String(), "Form: a POST policy\n  \u2013 not checked\n")
}

// TestMissingRights checks that a missing right of a role is named with the
// other remedies, and that no constraint is called broken or not offered.
func TestMissingRights(t *testing.T) {
	for right, denies := range map[string]func(*http.Request) bool{
		"s3:PutObjectTagging": func(r *http.Request) bool {
			return r.Header.Get("x-amz-tagging") != "" && r.Method == http.MethodPut
		},
		"s3:ListMultipartUploadParts": func(r *http.Request) bool {
			return r.Method == http.MethodGet && r.URL.Query().Has("uploadId") && strings.Contains(r.URL.Path, "/files/")
		},
	} {
		t.Run(right, func(t *testing.T) {
			r, _, err := examineQuirks(t, nil, func(r *http.Request) *http.Response {
				if denies(r) {
					return response(http.StatusForbidden, "AccessDenied")
				}
				return nil
			})
			require.NoError(t, err)
			require.False(t, r.Enforced)
			require.Empty(t, r.rows(NotEnforced))
			require.NotEmpty(t, r.rows(Unproven))
			for _, name := range r.rows(NotOffered) {
				require.Contains(t, name, "session token")
			}
			var printed strings.Builder
			require.NoError(t, newPrinter(&printed).report(r, false))
			_, changes, _ := strings.Cut(printed.String(), "What to change")
			changes, _, _ = strings.Cut(changes, "\n\n")
			require.Contains(t, changes, right, printed.String())
			require.NotContains(t, printed.String(), "RequestID")
			for _, row := range r.Constraints {
				if right == "s3:PutObjectTagging" && row.name() == "PUT: tags" {
					require.Equal(t, []string{"403 AccessDenied"}, row.Responses)
				}
			}
		})
	}
}

// TestAcceptedButNotCompleted checks that an accepted request is not shown as a
// rejection.
func TestAcceptedButNotCompleted(t *testing.T) {
	r, _, err := examineQuirks(t, nil, bareParts(true))
	require.NoError(t, err)
	i := slices.IndexFunc(
		r.Constraints, func(c Constraint) bool { return c.name() == profile.BareParts })
	row := r.Constraints[i]
	require.Empty(t, row.Responses)
	require.Contains(t, row.Note,
		"honest requests are accepted, but completion rejected the upload: ")
	require.Equal(t, profile.WayOut(profile.BareParts, profile.NotOffered), row.Instead)
}

// rejectChangedParts rejects a part that was sent before with other bytes.
func rejectChangedParts() quirk {
	var mu sync.Mutex
	parts := make(map[string]string)
	return func(r *http.Request) *http.Response {
		if r.Method != http.MethodPut || !r.URL.Query().Has("partNumber") || r.Body == nil {
			return nil
		}
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		mu.Lock()
		defer mu.Unlock()
		id := r.URL.Query().Get("uploadId") + r.URL.Query().Get("partNumber")
		if before, ok := parts[id]; ok && before != string(body) {
			return response(http.StatusNotImplemented, "NotImplemented")
		}
		parts[id] = string(body)
		return nil
	}
}

// addFolder adds the folder of an upload to a list, as a store on a file system
// does.
func addFolder(r *http.Request, resp *http.Response) {
	prefix := r.URL.Query().Get("prefix")
	if r.URL.Query().Get("list-type") != "2" || strings.Count(prefix, "/") != 3 {
		return
	}
	body, _ := io.ReadAll(resp.Body)
	folder := "<Contents><Key>" + prefix + "</Key><Size>0</Size></Contents></ListBucketResult>"
	body = bytes.Replace(body, []byte("</ListBucketResult>"), []byte(folder), 1)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Del("Content-Length")
}

// TestNoUploadsListed checks that the report is complete even if the cleanup
// fails.
func TestNoUploadsListed(t *testing.T) {
	r, left, err := examineQuirks(t, nil, func(r *http.Request) *http.Response {
		if r.Method == http.MethodGet && r.URL.Query().Has("uploads") {
			return response(http.StatusNotImplemented, "NotImplemented")
		}
		return nil
	})
	require.NoError(t, err)
	require.True(t, r.Enforced)
	require.ErrorContains(t, left,
		"something might be left under incoming/doctor-quirk/ and files/doctor-quirk/: "+
			"the store does not list multipart uploads, so parts might be left: 501 NotImplemented")
}

// TestDiagnose checks that the error names the reason if the doctor cannot
// examine a bucket.
func TestDiagnose(t *testing.T) {
	put := func(r *http.Request) bool { return r.Method == http.MethodPut }
	presigned := func(r *http.Request) bool {
		return put(r) && r.URL.Query().Has("X-Amz-Signature")
	}
	always := func(which func(*http.Request) bool, resp func() *http.Response) quirk {
		return func(r *http.Request) *http.Response {
			if which(r) {
				return resp()
			}
			return nil
		}
	}
	fails := func(status int, code string, more ...string) func() *http.Response {
		return func() *http.Response { return response(status, code, more...) }
	}
	form := func(r *http.Request) bool { return r.Method == http.MethodPost }
	for name, c := range map[string]struct {
		quirks []quirk
		want   string
	}{
		"region": {[]quirk{
			always(put, fails(400, "AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>")),
		},
			`wrong region: requests are signed for "us-east-1", but the bucket is in "eu-west-3" (400 AuthorizationHeaderMalformed); use -region eu-west-3`},
		"region of presigned URLs": {[]quirk{
			always(presigned, fails(400, "AuthorizationQueryParametersError")),
		},
			`wrong region: the store rejects requests that are signed for "us-east-1" (400 AuthorizationQueryParametersError); use -region`},
		"bucket": {[]quirk{always(put, fails(404, "NoSuchBucket"))},
			`missing bucket: the store has no bucket "bucket" (404 NoSuchBucket)`},
		"access key": {[]quirk{always(put, fails(403, "InvalidAccessKeyId"))},
			"wrong credentials: the store rejects the access key (403 InvalidAccessKeyId)\n" +
				"check -profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
		"secret key": {[]quirk{
			always(put, fails(403, "SignatureDoesNotMatch")),
			always(form, fails(403, "SignatureDoesNotMatch")),
		},
			"wrong credentials: the store rejects every signature (403 SignatureDoesNotMatch)\n" +
				"check -profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
		"right": {[]quirk{always(put, fails(403, "AccessDenied"))},
			"missing right: the role of -profile needs s3:PutObject under incoming/ (403 AccessDenied)"},
		"right to sign": {[]quirk{always(presigned, fails(403, "AccessDenied"))},
			"missing right: the signing role of -profile needs s3:PutObject under incoming/ (403 AccessDenied)"},
		"proxy": {[]quirk{always(put, fails(403, "SignatureDoesNotMatch"))},
			"rewriting proxy: the store accepts a form but rejects every PUT (403 SignatureDoesNotMatch)\n" +
				"the proxy in front of the store must keep the Host and the path; " +
				"otherwise set -endpoint\nand -public-endpoint to the address behind it"},
		"proxy for clients": {[]quirk{always(presigned, fails(403, "SignatureDoesNotMatch"))}, "rewriting proxy: "},
		"proxy or secret key": {[]quirk{
			always(put, fails(403, "SignatureDoesNotMatch")),
			always(form, fails(501, "NotImplemented")),
		},
			"wrong credentials or rewriting proxy: "},
		"clock": {[]quirk{always(put, fails(403, "RequestTimeTooSkewed"))}, "wrong clock: "},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, err := examineQuirks(t, func(p *examiner) { p.own = "doctor-fails/" },
				c.quirks...)
			require.Nil(t, r)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// TestOneScreen checks that the report on a store like MinIO fits on one
// screen.
func TestOneScreen(t *testing.T) {
	r, left, err := examineQuirks(t, nil, secondLife(), ignoreUnknown(), minIO(), bareParts(false))
	require.NoError(t, err)
	require.NoError(t, left)
	var printed bytes.Buffer
	require.NoError(t, newPrinter(&printed).report(r, false))
	lines := strings.Split(printed.String(), "\n")
	require.Equal(t, "✓ bucket at s3.test enforces everything that the library promises.", lines[0])
	require.Contains(t, printed.String(), "mc admin config set ALIAS api stale_uploads_expiry=192h")
	require.Contains(t, printed.String(), "Sign parts with their checksums")
	require.NotContains(t, printed.String(), "AbortIncompleteMultipartUpload")
	require.NotContains(t, printed.String(), "✗")
	require.NotContains(t, printed.String(), "IAM")
	before, _, _ := strings.Cut(printed.String(), "\nCORS, ")
	require.LessOrEqual(t, strings.Count(before, "\n"), 45, printed.String())
	p := r.profile(time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC))
	require.Equal(t, profile.NotOffered, p.Constraints["part: parts without their own checksum"])
	require.Empty(t, p.Check(profile.Needs{Forms: true, Large: true, Checksum: "CRC32C"}))
}
