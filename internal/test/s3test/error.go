package s3test

import (
	"encoding/xml"
	"errors"
	"net/http"
	"strconv"
)

// An apiError is an error response of S3.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
type apiError struct {
	status        int
	code, message string
	elements      []element // in the order of the XML
}

type element struct {
	XMLName xml.Name
	Value   string `xml:",chardata"`
}

// Error returns only the code and the message. The elements might contain the
// session token of a canonical request, as in errors of S3.
func (e *apiError) Error() string { return e.code + ": " + e.message }

// fail returns an error with further elements, which are names and values in
// turn.
func fail(status int, code, message string, elements ...string) error {
	e := &apiError{status: status, code: code, message: message}
	for i := 0; i < len(elements); i += 2 {
		e.elements = append(e.elements, element{
			XMLName: xml.Name{Local: elements[i]}, Value: elements[i+1],
		})
	}
	return e
}

func accessDenied(message string, elements ...string) error {
	return fail(http.StatusForbidden, "AccessDenied", message, elements...)
}

func invalidArgument(message, name, value string) error {
	return fail(http.StatusBadRequest, "InvalidArgument", message, "ArgumentName", name,
		"ArgumentValue", value)
}

func invalidRequest(message string) error {
	return fail(http.StatusBadRequest, "InvalidRequest", message)
}

func invalidURI() error {
	return fail(http.StatusBadRequest, "InvalidURI", "Couldn't parse the specified URI.")
}

func missingLength() error {
	return fail(http.StatusLengthRequired, "MissingContentLength",
		"You must provide the Content-Length HTTP header.")
}

func incompleteBody() error {
	return fail(http.StatusBadRequest, "IncompleteBody",
		"You did not provide the number of bytes specified by the Content-Length HTTP header.")
}

func noSuchBucket(bucket string) error {
	return fail(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist",
		"BucketName", bucket)
}

func noSuchKey(key string) error {
	return fail(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.", "Key", key)
}

func notImplemented(what string) error {
	return fail(http.StatusNotImplemented, "NotImplemented", "s3test does not implement "+what+".")
}

func internalError() error {
	return fail(http.StatusInternalServerError, "InternalError",
		"We encountered an internal error. Please try again.")
}

func tooLarge(size, limit int64) error {
	return fail(http.StatusBadRequest, "EntityTooLarge",
		"Your proposed upload exceeds the maximum allowed size",
		"ProposedSize", strconv.FormatInt(size, 10), "MaxSizeAllowed", strconv.FormatInt(limit, 10))
}

func preconditionFailed(condition string) error {
	return fail(http.StatusPreconditionFailed, "PreconditionFailed",
		"At least one of the pre-conditions you specified did not hold", "Condition", condition)
}

func writeError(w http.ResponseWriter, method string, err error) {
	e, ok := errors.AsType[*apiError](err)
	if !ok {
		e = &apiError{
			status: http.StatusInternalServerError, code: "InternalError", message: err.Error(),
		}
	}
	if method == http.MethodHead || e.status == http.StatusNotModified {
		w.WriteHeader(e.status)
		return
	}
	writeXML(w, e.status, struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		Elements  []element
		RequestID string `xml:"RequestId"`
	}{Code: e.code, Message: e.message, Elements: e.elements,
		RequestID: w.Header().Get("X-Amz-Request-Id")})
}

func writeXML(w http.ResponseWriter, status int, document any) {
	body, err := xml.Marshal(document)
	if err != nil { // This never happens: documents are structs of strings and numbers.
		panic(err)
	}
	body = append([]byte(xml.Header), body...)
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // The client might have disconnected.
}
