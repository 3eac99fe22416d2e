package checkup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/profile"
	"github.com/s3presign/presign/internal/test/conformance"
	"github.com/s3presign/presign/internal/test/s3test"
)

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// A careless store does not verify requests. It signs each request itself and
// always returns success.
type careless struct{ server *s3test.Server }

func (c careless) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	header, address := r.Header.Clone(), *r.URL
	status := http.StatusOK
	if kind, parameters, err := mime.ParseMediaType(header.Get("Content-Type")); err == nil &&
		kind == "multipart/form-data" {
		address.Path, header, body = c.form(address.Path, header, body, parameters["boundary"])
		r.Method, status = http.MethodPut, http.StatusNoContent
	}
	// A copy has the headers of its source.
	if source := header.Get("x-amz-copy-source"); source != "" {
		header, body = http.Header{"X-Amz-Copy-Source": {source}}, nil
	}
	query := address.Query()
	for name := range query {
		if strings.HasPrefix(name, "X-Amz-") {
			query.Del(name)
		}
	}
	address.RawQuery, address.RawPath = query.Encode(), ""
	for name := range header {
		lower := strings.ToLower(name)
		if lower == "authorization" || lower == "if-none-match" || lower == "content-md5" ||
			lower == "x-amz-content-sha256" || strings.HasPrefix(lower, "x-amz-checksum-") {
			header.Del(name)
		}
	}
	request, err := http.NewRequestWithContext(r.Context(), r.Method, address.String(),
		bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = header
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	request.Header.Set("X-Amz-Content-Sha256", hash)
	credentials := aws.Credentials{
		AccessKeyID: s3test.AccessKeyID, SecretAccessKey: s3test.SecretAccessKey,
	}
	if err := v4.NewSigner().SignHTTP(r.Context(), credentials, request, hash, "s3",
		"us-east-1", time.Now()); err != nil {
		return nil, err
	}
	resp, err := c.server.HTTPClient().Transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	response := httptest.NewRecorder()
	response.WriteHeader(status)
	return response.Result(), nil
}

// form converts a form to a PUT.
func (c careless) form(
	path string, header http.Header, body []byte, boundary string,
) (string, http.Header, []byte) {
	parsed, err := multipart.NewReader(bytes.NewReader(body), boundary).ReadForm(1 << 20)
	if err != nil {
		return path, header, nil
	}
	header.Del("Content-Type")
	for name, values := range parsed.Value {
		lower := strings.ToLower(name)
		switch {
		case lower == "key":
			path = strings.TrimRight(path, "/") + "/" + values[0]
		case lower == "acl":
			header.Set("x-amz-acl", values[0])
		case strings.HasPrefix(lower, "x-amz-meta-"), slices.Contains([]string{
			"content-type", "content-disposition", "cache-control",
		}, lower):
			header.Set(name, values[len(values)-1])
		}
	}
	var file []byte
	for _, files := range parsed.File {
		opened, err := files[0].Open()
		if err != nil {
			continue
		}
		file, _ = io.ReadAll(opened)
		_ = opened.Close()
	}
	return path, header, file
}

// ignoreConditions makes the store ignore the headers that completion relies
// on.
func ignoreConditions(server *s3test.Server) {
	server.Fail(func(operation string, r *http.Request) s3test.Fault {
		switch operation {
		case "CopyObject", "UploadPartCopy", "CompleteMultipartUpload", "DeleteObject", "GetObject":
			for _, name := range []string{
				"If-None-Match", "If-Match", "x-amz-copy-source-if-match", "x-amz-mp-object-size",
				"x-amz-checksum-crc32c",
			} {
				r.Header.Del(name)
			}
		}
		return s3test.None
	})
}

func newTarget(server *s3test.Server) conformance.Target {
	session := aws.Credentials{
		AccessKeyID: "ASIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret", SessionToken: "token",
	}
	server.AddCredentials(session)
	return conformance.Target{
		Client: server.S3(), Bucket: s3test.DefaultBucket, HTTP: server.HTTPClient(),
		Prefix: "incoming/", FinalPrefix: "files/", Session: session,
	}
}

// casesOf returns the cases of a constraint.
func casesOf(name string) (cases []conformance.Case) {
	for _, c := range conformance.Cases() {
		if string(c.Kind)+": "+string(c.Constraint) == name {
			cases = append(cases, c)
		}
	}
	return cases
}

// run runs the cases of a constraint against the s3test server. If through is
// set, it transports the requests of clients or, for the constraint on lists of
// parts, of the service.
func run(
	t *testing.T, name string, server *s3test.Server, through http.RoundTripper,
) (row Constraint) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		target := newTarget(server)
		if name == "completion: parts as they arrived" && through != nil {
			target.Client, through = server.S3(func(o *s3.Options) {
				o.HTTPClient = &http.Client{Transport: through}
			}), nil
		}
		require.NoError(t, target.Prepare(t.Context()))
		if through != nil {
			target.HTTP = &http.Client{Transport: through}
		}
		var results []conformance.Result
		for _, c := range casesOf(name) {
			results = append(results, target.Run(t.Context(), c))
		}
		rows := judge(results)
		require.Len(t, rows, 1)
		row = rows[0]
	})
	return row
}

// A fakeCompletion returns success for every CompleteMultipartUpload.
type fakeCompletion struct{ http.RoundTripper }

func (c fakeCompletion) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost || !r.URL.Query().Has("uploadId") {
		return c.RoundTripper.RoundTrip(r)
	}
	response := httptest.NewRecorder()
	_, key, _ := strings.Cut(r.URL.Path, "/files/")
	_, _ = response.WriteString("<CompleteMultipartUploadResult><Key>files/" + key +
		"</Key><ETag>&quot;0&quot;</ETag></CompleteMultipartUploadResult>")
	return response.Result(), nil
}

// rejectAll returns 501 for every request.
var rejectAll = transport(func(r *http.Request) (*http.Response, error) {
	response := httptest.NewRecorder()
	response.WriteHeader(http.StatusNotImplemented)
	return response.Result(), nil
})

// TestEveryConstraint checks that each constraint is enforced at a strict
// store, and not enforced at a store that violates it.
func TestEveryConstraint(t *testing.T) {
	var unharmed []string // names of cheats that were accepted without harm
	for _, name := range profile.Names() {
		t.Run(name, func(t *testing.T) {
			want := Enforced
			if strings.HasSuffix(name, string(conformance.OtherHeaders)) {
				want = LikeAWS
			}
			require.Equal(t, want, run(t, name, s3test.New(), nil).Verdict)

			broken := NotEnforced
			server := s3test.New()
			var through http.RoundTripper = careless{server}
			kind, constraint, _ := strings.Cut(name, ": ")
			switch {
			case want == LikeAWS:
				broken = LikeAWS
			case kind == "completion":
				through = nil
				if constraint == "parts as they arrived" {
					through = fakeCompletion{server.HTTPClient().Transport}
				}
				ignoreConditions(server)
				if !neededByPolicies(name) {
					broken = MadeGood
				}
				switch constraint {
				case "pinned copy of joined parts", "pinned delete of joined parts":
					server.Fail(reject("CopyObject", "DeleteObject"))
				}
			case constraint == string(conformance.Honest),
				constraint == string(conformance.BareParts),
				constraint == string(conformance.PartAgain):
				through, broken = rejectAll, NotOffered
			// A header breaks the constraint only if the object differs.
			case name == "part: no unsigned x-amz-* header":
				through = transport(func(r *http.Request) (*http.Response, error) {
					if r.Header.Get("x-amz-acl") != "" {
						r.Body = io.NopCloser(bytes.NewReader(bytes.ToUpper(conformance.Body)))
					}
					return careless{server}.RoundTrip(r)
				})
			case name == "part: headers of the policy":
				broken = NotOffered // Completion rejects the upload.
				server.Fail(func(operation string, r *http.Request) s3test.Fault {
					if operation == "CreateMultipartUpload" {
						r.Header.Set("Cache-Control", "public")
					}
					return s3test.None
				})
				through = nil
			case name == "part: tags":
				server.Fail(func(operation string, r *http.Request) s3test.Fault {
					r.Header.Del("x-amz-tagging")
					return s3test.None
				})
				through = nil
			}
			row := run(t, name, server, through)
			for _, c := range row.Cases {
				if c.Rejected && c.Broken == "" && strings.HasPrefix(c.Response, "20") {
					unharmed = append(unharmed, c.Name)
				}
			}
			require.Equal(t, broken, row.Verdict, "%+v", row)
			if broken == NotEnforced {
				require.NotEmpty(t, row.Instead)
				require.Equal(t, profile.NotEnforced, row.Found)
			}
		})
	}
	require.ElementsMatch(t, harmless, unharmed)
}

// harmless lists cheats that cannot store anything beyond the grant, even if
// the store does not verify requests.
var harmless = []string{
	"PUT again with a condition added, where replacing is allowed",
	"PUT at another host",
	"PUT with a life of more than a week",
	"PUT with a longer life",
	"PUT with a second life",
	"PUT with an Authorization of its own",
	"PUT with another condition",
	"PUT with x-amz-checksum-sha256 added",
	"PUT with x-amz-content-sha256 added",
	"PUT with x-amz-request-payer added",
	"PUT with x-amz-server-side-encryption added",
	"PUT without a length",
	"PUT without its condition",
	"form for another bucket",
	"form of more than 20 KB before the file",
	"form under a second key",
	"form with Content-Encoding added",
	"form with Content-Language added",
	"form with Content-MD5 added",
	"form with Expires added",
	"form with If-None-Match added",
	"form with a second policy",
	"form with another date",
	"form with foo added",
	"form with its policy behind the file",
	"form with redirect added",
	"form with success_action_redirect added",
	"form with success_action_status added",
	"form with tagging added",
	"form with x-amz-acl added",
	"form with x-amz-checksum-algorithm added",
	"form with x-amz-checksum-sha256 added",
	"form with x-amz-copy-source added",
	"form with x-amz-object-lock-mode added",
	"form with x-amz-server-side-encryption added",
	"form with x-amz-storage-class added",
	"form with x-amz-tagging added",
	"form with x-amz-website-redirect-location added",
	"form without a file",
	"form without a length",
	"part with a life of more than a week",
	"part with a longer life",
	"part with a second number",
	"part with x-amz-checksum-sha256 added",
	"part with x-amz-meta-foo added",
	"part with x-amz-request-payer added",
	"part with x-amz-server-side-encryption added",
	"part with x-amz-storage-class added",
	"part with x-amz-tagging added",
	"part without a length",
}

// reject makes the store reject operations.
func reject(operations ...string) func(string, *http.Request) s3test.Fault {
	return func(operation string, _ *http.Request) s3test.Fault {
		if slices.Contains(operations, operation) {
			return s3test.NotImplemented
		}
		return s3test.None
	}
}
