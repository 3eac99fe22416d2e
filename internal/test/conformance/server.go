package conformance

import (
	"fmt"
	"net/http"
	"slices"
)

// A deviationGroup holds several cases in which a server differs from AWS for
// one reason.
type deviationGroup struct {
	deviation Deviation
	cases     []string
}

const (
	otherCode   = "rejects it with another code"
	signedOnly  = "finds the signed headers before it verifies the signature"
	ignores     = "ignores this header"
	unsupported = "does not implement this"
)

var (
	algorithms = map[Kind][]string{
		PUT:     {"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"},
		Form:    {"CRC32", "CRC32C", "SHA1", "SHA256"},
		PartURL: {"CRC32", "CRC32C", "CRC64NVME"},
	}

	// unconfirmed names the cases that fail if objects have no checksum.
	unconfirmed = append(slices.Concat(
		checksumCases(PartURL, "with a checksum by %s"),
		checksumCases(PartURL, "of other bytes than the checksum by %s"),
	), "part of a file with a checksum")
)

// unverified holds the error of a completion without a checksum.
var unverified = []string{"checksum could not be verified"}

// servers holds the deviations of Ceph, rclone 1.76 and OpenStack Swift 2.30.
// Cases adds each Deviation to the named cases.
var servers = map[string][]deviationGroup{
	"ceph": {
		{Deviation{Response: stored, Reason: noChecksums},
			checksumCases(PUT, "of other bytes than the checksum by %s")},
		{Deviation{Response: taken, Reason: noChecksums},
			checksumCases(Form, "of other bytes than the checksum by %s")},
		{Deviation{Response: stored, Reason: noChecksums, Rejected: unverified}, unconfirmed},
	},
	"rclone": {
		{Deviation{Response: denied, Reason: signedOnly}, slices.Concat(
			checksumCases(PUT, "without its checksum by %s"),
			checksumCases(PartURL, "without its checksum by %s"),
		)},
		{Deviation{Response: denied, Reason: signedOnly}, []string{
			"PUT without a type", "PUT without a name", "PUT without its metadata",
			"PUT without its stamp", "PUT without a header of the policy", "PUT without its tags",
			"PUT without its condition", "PUT again without its condition",
		}},
		{Deviation{Response: denied, Reason: otherCode}, []string{
			"PUT with a life of more than a week", "PUT with an empty signature",
			"PUT without a signature", "part with a life of more than a week",
			"part without a signature", "PUT too late with a second life",
		}},
		{Deviation{Response: mismatch, Reason: otherCode}, []string{
			"PUT for another region", "PUT of another day", "PUT with a second life",
			"part for another region",
		}},
		{Deviation{Response: Response{400, "AuthorizationParameterserror"}, Reason: otherCode},
			[]string{"PUT for another service"}},
		{Deviation{Response: Response{400, "UnsupportedAlgorithm"}, Reason: otherCode},
			[]string{"PUT of another algorithm"}},
		{Deviation{Response: unknown, Reason: "uses the header"}, []string{"PUT with an Authorization of its own"}},
		{Deviation{Response: Response{501, "NotImplemented"},
			Reason: "does not replace a part with other bytes"}, []string{"part again"}},
		{Deviation{Response: stored, Reason: noChecksums, Rejected: unverified}, unconfirmed},
		{Deviation{Response: stored, Reason: noChecksums}, []string{"completion with another checksum of the whole"}},
		{Deviation{Response: stored, Reason: "does not support x-amz-mp-object-size"}, []string{
			"completion of a byte less than declared", "completion of a byte more than declared",
		}},
		{Deviation{Response: stored, Reason: "has no minimum size of a part"},
			[]string{"completion with a small part before the last"}},
		{Deviation{Response: stored, Reason: "ignores If-None-Match on a copy"}, []string{"copy over an object"}},
	},
	"swift": {
		{Deviation{Response: noImplementation, Reason: "does not accept If-None-Match"}, []string{
			"PUT again", "PUT again with a condition added, where replacing is allowed",
			"PUT with another condition", "PUT again without its condition", "copy",
			"copy over an object",
		}},
		{Deviation{Response: noImplementation, Reason: unsupported}, []string{
			"PUT with tags", "PUT with other tags", "PUT of tags instead",
			"PUT of an access list instead", "PUT with x-amz-tagging added",
			"PUT with x-amz-server-side-encryption added", "part with x-amz-tagging added",
			"PUT with x-amz-website-redirect-location added",
			"PUT with x-amz-decoded-content-length added",
			"part with x-amz-server-side-encryption added", "PUT turned into POST",
			"part of a file with tags",
		}},
		{Deviation{Response: Response{400, "InvalidStorageClass"},
			Reason: "applies x-amz-storage-class, and does not have the class"}, []string{
			"PUT with x-amz-storage-class added", "part with x-amz-storage-class added",
		}},
		{Deviation{Response: stored, Reason: ignores}, []string{
			"PUT with x-amz-checksum-sha256 added", "PUT with x-amz-content-sha256 added",
			"PUT with x-amz-expected-bucket-owner added",
			"PUT with x-amz-object-lock-legal-hold added", "PUT with x-amz-object-lock-mode added",
			"PUT with x-amz-request-payer added", "PUT with x-amz-sdk-checksum-algorithm added",
			"PUT with x-amz-security-token added",
			"PUT with x-amz-server-side-encryption-aws-kms-key-id added",
			"PUT with x-amz-server-side-encryption-customer-algorithm added",
			"PUT with x-amz-write-offset-bytes added", "part with x-amz-checksum-sha256 added",
			"part with x-amz-request-payer added",
		}},
		{Deviation{Response: stored, Reason: noChecksums},
			append(checksumCases(PUT, "of other bytes than the checksum by %s"),
				"completion with another checksum of the whole")},
		{Deviation{Response: stored, Reason: noChecksums,
			Rejected: append([]string{"deleting the rejected upload"}, unverified...)},
			unconfirmed},
		{Deviation{Response: mismatch, Reason: otherCode}, []string{
			"PUT of an unknown access key", "part of an unknown access key",
			"PUT with a second life", "PUT too late with a second life",
		}},
		{Deviation{Response: badArgument, Reason: otherCode}, []string{"PUT of another algorithm"}},
		{Deviation{Response: Response{400, "InvalidURI"}, Reason: "does not accept the key"},
			[]string{"PUT under the key with a zero byte behind it"}},
		{Deviation{Response: stored, Reason: "uses the query"}, []string{"PUT with an Authorization of its own"}},
		{Deviation{Response: denied, Reason: otherCode}, []string{
			"PUT with an empty signature", "PUT without a signature", "part without a signature",
		}},
		{Deviation{Response: Response{Status: http.StatusBadRequest},
			Reason: "handles it as a request of its own API"}, []string{"PUT without a query"}},
		{Deviation{Response: Response{405, "MethodNotAllowed"}, Reason: operationFirst}, []string{
			"part turned into a completion", "part without a number",
		}},
		{Deviation{Response: stored, Reason: "does not support x-amz-mp-object-size"}, []string{
			"completion of a byte less than declared", "completion of a byte more than declared",
		}},
		{Deviation{Response: precondition,
			Reason: "compares the condition with another ETag than it returns"}, []string{
			"copy of an object made of parts", "delete of an object made of parts",
		}},
		{Deviation{Response: stored, Changed: true,
			Reason: "replaces a part of the completed object, which can then no longer be read"},
			[]string{"part after the upload was completed"}},
		{Deviation{Response: Response{Status: http.StatusBadRequest},
			Reason: "handles it as a request of its own API"},
			[]string{"form at the key's address"}},
		{Deviation{Response: Response{412, "InvalidRequest"}, Reason: otherCode},
			[]string{"completion over an object"}},
	},
}

// formless holds the servers that do not accept forms, with the response to
// each form.
var formless = map[string]Deviation{
	"rclone": {Response: denied, Reason: "handles every form as an anonymous request"},
	"swift": {Response: Response{Status: http.StatusPreconditionFailed},
		Reason: "handles every form as a request of its own API"},
}

var noImplementation = Response{http.StatusNotImplemented, "NotImplemented"}

// KnownServers returns the names of the cases in the table of deviations, by
// server. Case.But can name further servers.
func KnownServers() map[string][]string {
	all := make(map[string][]string)
	for name, groups := range servers {
		for _, group := range groups {
			all[name] = append(all[name], group.cases...)
		}
	}
	return all
}

// withServers adds the deviations of servers to a case.
func withServers(c Case) Case {
	all := []map[string]Deviation{c.But}
	for name, groups := range servers {
		if d, ok := formless[name]; ok && c.Kind == Form {
			all = append(all, map[string]Deviation{name: d})
		}
		for _, group := range groups {
			for _, other := range group.cases {
				if other == c.Name {
					all = append(all, map[string]Deviation{name: group.deviation})
				}
			}
		}
	}
	c.But = and(all...)
	return c
}

// checksumCases returns the name of a case for each checksum algorithm of a
// kind.
func checksumCases(kind Kind, format string) (names []string) {
	for _, algorithm := range algorithms[kind] {
		names = append(names, fmt.Sprintf(string(kind)+" "+format, algorithm))
	}
	return names
}
