package s3test

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/encoding/httpbinding"
	"github.com/aws/smithy-go/logging"
)

const (
	algorithm       = "AWS4-HMAC-SHA256"
	timeFormat      = "20060102T150405Z"
	dateFormat      = "20060102"
	unsignedPayload = "UNSIGNED-PAYLOAD"
	maxSkew         = 15 * time.Minute
	maxExpires      = 7 * 24 * time.Hour
)

var authParameters = []string{
	"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders",
	"X-Amz-Expires",
}

// authenticate verifies the signature in the query or in the Authorization
// header. Forms have verifyForm instead.
func (s *Server) authenticate(r *request) error {
	presigned := r.query.Has("Signature") || slices.ContainsFunc(authParameters, r.query.Has)
	authorization := r.Header.Get("Authorization")
	switch {
	case presigned && authorization != "":
		return invalidArgument(
			"Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "+
				"string parameter or the Authorization header should be specified", "Authorization", "")
	case r.query.Has("Signature") || strings.HasPrefix(authorization, "AWS "):
		return invalidRequest(
			"The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
	case presigned:
		return s.verifyQuery(r)
	case authorization != "":
		return s.verifyHeader(r, authorization)
	}
	return accessDenied("Access Denied")
}

// verifyQuery verifies a presigned URL.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
func (s *Server) verifyQuery(r *request) error {
	malformed := func(format string, args ...any) error {
		return fail(http.StatusBadRequest, "AuthorizationQueryParametersError",
			fmt.Sprintf(format, args...))
	}
	for _, name := range authParameters {
		if len(r.query[name]) != 1 || r.query.Get(name) == "" {
			return malformed(
				"Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, " +
					"X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
		}
	}
	if r.query.Get("X-Amz-Algorithm") != algorithm {
		return malformed("X-Amz-Algorithm only supports %q", algorithm)
	}
	signed, err := time.Parse(timeFormat, r.query.Get("X-Amz-Date"))
	if err != nil {
		return malformed(`X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`)
	}
	keyID, problem := s.checkScope(r.query.Get("X-Amz-Credential"), signed)
	if problem != "" {
		return malformed("Error parsing the X-Amz-Credential parameter; %s", problem)
	}
	seconds, err := strconv.ParseInt(r.query.Get("X-Amz-Expires"), 10, 64)
	switch {
	case err != nil:
		return malformed("X-Amz-Expires should be a number")
	case seconds < 1:
		return malformed("X-Amz-Expires must be positive")
	case seconds > int64(maxExpires/time.Second):
		return malformed(
			"X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be " +
				"less than 604800 seconds")
	}
	now := time.Now().UTC()
	if signed.After(now.Add(maxSkew)) {
		return accessDenied("Request is not valid yet")
	}
	if expires := signed.Add(time.Duration(seconds) * time.Second); !now.Before(expires) {
		return accessDenied("Request has expired", "X-Amz-Expires", strconv.FormatInt(seconds, 10),
			"Expires", expires.Format(time.RFC3339), "ServerTime", now.Format(time.RFC3339))
	}
	if len(r.query["X-Amz-Security-Token"]) > 1 {
		return invalidToken()
	}
	creds, err := s.credentials(keyID, r.query.Get("X-Amz-Security-Token"))
	if err != nil {
		return err
	}
	if err := s.comparePresigned(r, creds, keyID, signed); err != nil {
		return err
	}
	r.applyHoisted()
	return nil
}

// comparePresigned signs a request again, and compares the signature with the
// signature in its query.
func (s *Server) comparePresigned(
	r *request, creds aws.Credentials, keyID string, signed time.Time,
) error {
	names := strings.Split(r.query.Get("X-Amz-SignedHeaders"), ";")
	if err := r.checkSigned(names); err != nil {
		return err
	}
	query := maps.Clone(r.query)
	query.Del("X-Amz-Signature")
	payload := cmp.Or(r.payloadHash(), unsignedPayload)
	var trace signatureTrace
	rebuilt, complete := r.rebuild(names, query)
	if complete {
		presignedURL, _, err := trace.signer().PresignHTTP(context.Background(), creds, rebuilt,
			payload, "s3", s.region, signed)
		if err != nil {
			return err
		}
		recomputed, err := url.Parse(presignedURL)
		if err != nil {
			return err
		}
		same := recomputed.Query()
		complete = same.Get("X-Amz-Signature") == r.query.Get("X-Amz-Signature") &&
			same.Get("X-Amz-SignedHeaders") == r.query.Get("X-Amz-SignedHeaders")
	}
	if !complete {
		return trace.mismatch(keyID, r.query.Get("X-Amz-Signature"))
	}
	return nil
}

// verifyHeader verifies the Authorization header.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html
func (s *Server) verifyHeader(r *request, authorization string) error {
	malformed := func(problem string) error {
		return fail(http.StatusBadRequest, "AuthorizationHeaderMalformed",
			"The authorization header is malformed; "+problem)
	}
	parameters, ok := strings.CutPrefix(authorization, algorithm+" ")
	if !ok {
		return invalidArgument("Unsupported Authorization Type", "Authorization", "")
	}
	values := make(map[string]string)
	for parameter := range strings.SplitSeq(parameters, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		values[name] = value
	}
	if len(values) != 3 || values["Credential"] == "" || values["SignedHeaders"] == "" ||
		values["Signature"] == "" {
		return malformed("it must have Credential, SignedHeaders and Signature.")
	}
	signed, err := time.Parse(timeFormat, r.Header.Get("X-Amz-Date"))
	if err != nil {
		return accessDenied("AWS authentication requires a valid Date or x-amz-date header")
	}
	keyID, problem := s.checkScope(values["Credential"], signed)
	if problem != "" {
		return malformed(problem)
	}
	now := time.Now().UTC()
	if skew := now.Sub(signed).Abs(); skew > maxSkew {
		return fail(http.StatusForbidden, "RequestTimeTooSkewed",
			"The difference between the request time and the current time is too large.",
			"RequestTime", signed.Format(timeFormat), "ServerTime", now.Format(time.RFC3339),
			"MaxAllowedSkewMilliseconds", strconv.FormatInt(maxSkew.Milliseconds(), 10))
	}
	creds, err := s.credentials(keyID, strings.Join(r.Header.Values("X-Amz-Security-Token"), ","))
	if err != nil {
		return err
	}

	names := strings.Split(values["SignedHeaders"], ";")
	if err := r.checkSigned(names); err != nil {
		return err
	}
	payload := r.payloadHash()
	if payload == "" {
		return invalidRequest("Missing required header for this request: x-amz-content-sha256")
	}
	var trace signatureTrace
	rebuilt, complete := r.rebuild(names, r.query)
	if complete {
		if err := trace.signer().SignHTTP(context.Background(), creds, rebuilt, payload,
			"s3", s.region, signed); err != nil {
			return err
		}
		complete = strings.HasSuffix(rebuilt.Header.Get("Authorization"),
			" SignedHeaders="+values["SignedHeaders"]+", Signature="+values["Signature"])
	}
	if !complete {
		return trace.mismatch(keyID, values["Signature"])
	}
	r.applyHoisted()
	return nil
}

// checkScope parses a credential, <key>/<date>/<region>/s3/aws4_request. It
// returns the access key ID, or a problem.
func (s *Server) checkScope(credential string, signed time.Time) (keyID, problem string) {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || parts[0] == "" {
		return "", `the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".`
	}
	keyID, date, region, service, terminal := parts[0], parts[1], parts[2], parts[3], parts[4]
	switch {
	case date != signed.Format(dateFormat):
		return "", fmt.Sprintf(
			"Invalid credential date %q. This date is not the same as X-Amz-Date: %q.",
			date, signed.Format(dateFormat))
	case region != s.region:
		return "", fmt.Sprintf("the region '%s' is wrong; expecting '%s'", region, s.region)
	case service != "s3":
		return "", fmt.Sprintf("incorrect service %q. This endpoint belongs to \"s3\".", service)
	case terminal != "aws4_request":
		return "", fmt.Sprintf("incorrect terminal %q. This endpoint uses \"aws4_request\".",
			terminal)
	}
	return keyID, ""
}

// credentials returns the credentials of an access key ID. Temporary
// credentials need their token.
func (s *Server) credentials(keyID, token string) (aws.Credentials, error) {
	s.mu.RLock()
	creds, ok := s.keys[keyID]
	s.mu.RUnlock()
	switch {
	case !ok || creds.SessionToken != "" && token == "":
		return aws.Credentials{}, fail(http.StatusForbidden, "InvalidAccessKeyId",
			"The AWS Access Key Id you provided does not exist in our records.",
			"AWSAccessKeyId", keyID)
	case token != creds.SessionToken:
		return aws.Credentials{}, invalidToken()
	case creds.CanExpire && !time.Now().Before(creds.Expires):
		return aws.Credentials{}, fail(http.StatusBadRequest, "ExpiredToken",
			"The provided token has expired.")
	}
	return creds, nil
}

func invalidToken() error {
	return fail(http.StatusBadRequest, "InvalidToken",
		"The provided token is malformed or otherwise invalid.")
}

// checkSigned rejects headers that must be signed but are not: host and all
// headers that start with x-amz-. A client may add all other headers to a
// signed request, and they take effect.
func (r *request) checkSigned(names []string) error {
	var unsigned []string
	if !slices.Contains(names, "host") {
		unsigned = append(unsigned, "host")
	}
	for name := range r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") && !slices.Contains(names, name) {
			unsigned = append(unsigned, name)
		}
	}
	if len(unsigned) == 0 {
		return nil
	}
	slices.Sort(unsigned)
	return accessDenied("There were headers present in the request which were not signed",
		"HeadersNotSigned", strings.Join(unsigned, ", "))
}

// payloadHash returns the declared digest of the payload, which the signature
// covers, or "".
func (r *request) payloadHash() string {
	return cmp.Or(strings.Join(r.Header.Values("X-Amz-Content-Sha256"), ","),
		r.query.Get("X-Amz-Content-Sha256"))
}

// rebuild returns the request as it was before it was signed, with only the
// signed headers. It reports whether the request has all of them. Like S3, it
// also accepts a header as a query parameter with its name in lower case.
func (r *request) rebuild(names []string, query url.Values) (_ *http.Request, complete bool) {
	unsigned := &http.Request{
		Method: r.Method,
		Host:   r.Host,
		URL: &url.URL{
			// The scheme is empty because the signer would otherwise remove the
			// default port from the host.
			Host:     r.Host,
			Opaque:   "//" + r.Host + httpbinding.EscapePath(r.URL.Path, false),
			RawQuery: query.Encode(),
		},
		Header: make(http.Header),
	}
	for _, name := range names {
		values := r.Header.Values(name)
		if len(values) == 0 {
			values = query[name]
		}
		switch {
		case name == "host":
		case len(values) == 0:
			return nil, false
		case name == "content-length":
			unsigned.ContentLength = r.ContentLength
		default:
			unsigned.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	return unsigned, true
}

// applyHoisted sets headers from the query parameters whose names start with
// x-amz- in lower case. S3 applies these parameters, except checksums, and
// ignores names in other case.
func (r *request) applyHoisted() {
	for name, values := range r.query {
		header := http.CanonicalHeaderKey(name)
		if strings.HasPrefix(name, "x-amz-") && !strings.HasPrefix(name, "x-amz-checksum-") &&
			r.Header[header] == nil {
			r.Header[header] = values
		}
	}
}

// A signatureTrace records the signed texts for the error response.
type signatureTrace struct{ canonicalRequest, stringToSign string }

func (t *signatureTrace) signer() *v4.Signer {
	// A signer caches keys by access key ID. A new one is needed because tests
	// use one ID with several secrets.
	return v4.NewSigner(func(o *v4.SignerOptions) {
		o.DisableHeaderHoisting = true
		o.DisableURIPathEscaping = true // The path is escaped already.
		o.DisableSessionToken = true    // The request has a signed token already.
		o.LogSigning = true
		o.Logger = logging.LoggerFunc(func(_ logging.Classification, _ string, args ...any) {
			if len(args) >= 2 {
				t.canonicalRequest, t.stringToSign = fmt.Sprint(args[0]), fmt.Sprint(args[1])
			}
		})
	})
}

// mismatch returns the error with the elements of S3. They include the session
// token if the query has one.
func (t *signatureTrace) mismatch(keyID, signature string) error {
	return fail(http.StatusForbidden, "SignatureDoesNotMatch", signatureDoesNotMatch,
		"AWSAccessKeyId", keyID, "StringToSign", t.stringToSign, "SignatureProvided", signature,
		"StringToSignBytes", fmt.Sprintf("% x", t.stringToSign),
		"CanonicalRequest", t.canonicalRequest,
		"CanonicalRequestBytes", fmt.Sprintf("% x", t.canonicalRequest))
}

const signatureDoesNotMatch = "The request signature we calculated does not match the signature you provided. " +
	"Check your key and signing method."

// formSignature returns the signature of a form's policy, which must be encoded
// in base64. The SDK has no public function for this signature.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-UsingHTTPPOST.html
func formSignature(secret, date, region, policy string) string {
	key := []byte("AWS4" + secret)
	for _, data := range []string{date, region, "s3", "aws4_request", policy} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(data))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}
