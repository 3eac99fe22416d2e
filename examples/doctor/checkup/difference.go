package checkup

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A canonicalRequest describes the request that a store verified, as its error
// response shows it.
type canonicalRequest struct {
	method, path string
	query        url.Values
	headers      map[string]string
}

// parseCanonical parses a canonical request.
func parseCanonical(text string) (s canonicalRequest, ok bool) {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	if len(lines) < 5 {
		return s, false
	}
	s = canonicalRequest{method: lines[0], path: lines[1], headers: make(map[string]string)}
	var err error
	if s.query, err = url.ParseQuery(lines[2]); err != nil {
		return s, false
	}
	for _, line := range lines[3:] {
		name, value, found := strings.Cut(line, ":")
		if !found {
			break
		}
		s.headers[name] = value
	}
	return s, true
}

// differences explains SignatureDoesNotMatch.
func (g clientGrant) differences(a storeError) (reasons []string) {
	if g.Method == http.MethodPost {
		return []string{"The policy or the signature of the form was changed, or the service signs with a wrong secret key. " +
			"The client must send every field unchanged."}
	}
	s, ok := parseCanonical(a.CanonicalRequest)
	if !ok {
		return []string{
			"The store did not return the canonical request. The client must send exactly these signed headers, with the values of the grant: " +
				strings.ReplaceAll(g.url.Query().Get("X-Amz-SignedHeaders"), ";", ", ") + ".",
			"The usual causes are a different Content-Type, a different size, or a proxy that changes the Host or the path.",
		}
	}
	if s.method != g.Method {
		reasons = append(reasons, fmt.Sprintf(
			"The client must send %s, but sent %s.", g.Method, s.method))
	}
	if want := g.url.EscapedPath(); !samePath(s.path, want) {
		reasons = append(reasons, fmt.Sprintf(
			"The path arrived as %q, but %q is signed. A proxy changed it, or the client encoded the URL again.",
			s.path, want))
	}
	if host := s.headers["host"]; !strings.EqualFold(host, g.url.Host) {
		reasons = append(reasons, fmt.Sprintf(
			"The Host arrived as %q, but %q is signed. A proxy changed it. Configure the proxy to keep the Host, or use WithPublicEndpoint.",
			host, g.url.Host))
	}
	reasons = append(reasons, g.changedParameters(s)...)
	reasons = append(reasons, g.changedHeaders(s)...)
	if size, ok := s.headers["content-length"]; ok && len(reasons) == 0 {
		reasons = append(reasons, fmt.Sprintf(
			"Everything in the grant arrived as it was signed. The body has %s bytes, which must be the size "+
				"in the request for the grant. If the sizes are equal, the service signs with a wrong secret key.",
			size))
	}
	if len(reasons) == 0 {
		reasons = append(reasons,
			"Everything in the grant arrived as it was signed. The service signs with a wrong secret key.")
	}
	return reasons
}

func samePath(a, b string) bool {
	first, err := url.PathUnescape(a)
	second, otherErr := url.PathUnescape(b)
	return err == nil && otherErr == nil && first == second &&
		strings.Count(a, "%25") == strings.Count(b, "%25")
}

// changedParameters names the parameters of the URL that differ, without
// values.
func (g clientGrant) changedParameters(s canonicalRequest) (reasons []string) {
	want := g.url.Query()
	want.Del("X-Amz-Signature")
	for _, name := range sortedUnion(want, s.query) {
		switch {
		case slices.Equal(want[name], s.query[name]):
		case len(s.query[name]) == 0:
			reasons = append(reasons, fmt.Sprintf(
				"The parameter %s of the URL did not arrive. The client must use the URL unchanged.",
				name))
		case len(want[name]) == 0:
			reasons = append(reasons, fmt.Sprintf(
				"The parameter %s was added to the URL. The client must use the URL unchanged.",
				name))
		default:
			reasons = append(reasons, fmt.Sprintf(
				"The parameter %s of the URL was changed. The client must use the URL unchanged.",
				name))
		}
	}
	return reasons
}

func sortedUnion(a, b url.Values) (names []string) {
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// changedHeaders names the headers of the grant that differ.
func (g clientGrant) changedHeaders(s canonicalRequest) (reasons []string) {
	for _, name := range sortedNames(g.Headers) {
		lower := strings.ToLower(name)
		want, got := collapse(g.Headers[name]), collapse(s.headers[lower])
		switch {
		case want == got:
		case got == "":
			reasons = append(reasons, fmt.Sprintf(
				"The header %s did not arrive. The client must send it as in the grant.", name))
		case strings.HasPrefix(lower, "x-amz-meta-"):
			reasons = append(reasons, fmt.Sprintf(
				"The header %s differs from the grant. The client must send it unchanged.",
				name))
		default:
			reasons = append(reasons, changedHeader(name, want, got))
		}
	}
	return reasons
}

func changedHeader(name, want, got string) string {
	values := strings.Split(got, ",")
	for i := range values {
		values[i] = strings.TrimSpace(values[i])
	}
	if len(values) > 1 && slices.Contains(values, want) {
		return fmt.Sprintf(
			"The header %s was set twice: it arrived as %q. An HTTP client or an interceptor added another value. Set the header once, to %q.",
			name, got, want)
	}
	wantType, wantParameters, err := mime.ParseMediaType(want)
	gotType, gotParameters, gotErr := mime.ParseMediaType(got)
	if strings.EqualFold(name, "Content-Type") && err == nil && gotErr == nil &&
		wantType == gotType && len(wantParameters) != len(gotParameters) {
		return fmt.Sprintf(
			"The header Content-Type arrived as %q, but %q is signed. The client added or removed a parameter.",
			got, want)
	}
	return fmt.Sprintf(
		"The header %s arrived as %q, but %q is signed. The client must send it as in the grant.",
		name, got, want)
}

func sortedNames(headers map[string]string) (names []string) {
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func collapse(value string) string { return strings.Join(strings.Fields(value), " ") }
