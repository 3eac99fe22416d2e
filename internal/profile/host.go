// Package profile records what S3 stores enforce, so that NewSigner can reject
// a Policy that a store would not enforce.
package profile

import (
	"regexp"
	"strings"
)

// awsHost matches the hosts of Amazon S3 below their domain: global, regional,
// dual-stack, FIPS, accelerated, access points and interface endpoints. It does
// not match S3 on Outposts or other services of the domain. For example, a
// store of another kind can run behind an AWS load balancer.
//
// See https://docs.aws.amazon.com/general/latest/gr/s3.html.
var awsHost = regexp.MustCompile(`^([a-z0-9.-]+\.)?(` +
	`s3|s3-accelerate(\.dualstack)?|` +
	`s3[.-]` + region + `|` +
	`s3(-fips)?(\.dualstack)?\.` + region + `|` +
	`s3-accesspoint(-fips)?(\.dualstack)?\.` + region + `|` +
	`s3\.` + region + `\.vpce` +
	`)$`)

const region = `[a-z]{2}(-[a-z]+)+-[0-9]+`

// isAWS reports whether host belongs to Amazon S3.
func isAWS(host string) bool {
	host = strings.ToLower(host)
	for _, domain := range []string{".amazonaws.com", ".amazonaws.com.cn"} {
		if name, ok := strings.CutSuffix(host, domain); ok {
			return awsHost.MatchString(name)
		}
	}
	return false
}

// HonorsCopyConditions reports whether the store at host is known to honor
// every condition of CopyObject: x-amz-copy-source-if-match, If-None-Match and
// If-Match. Amazon S3 is the only such store.
//
// Host is the host of the endpoint, with its port unless the port is the
// default.
//
// See
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html.
func HonorsCopyConditions(host string) bool { return isAWS(host) }
