package profile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/profile"
)

// TestHonorsCopyConditions checks that only hosts of Amazon S3 are trusted.
func TestHonorsCopyConditions(t *testing.T) {
	for host, want := range map[string]bool{
		"s3.amazonaws.com":                                       true,
		"b.s3.amazonaws.com":                                     true,
		"s3.eu-central-1.amazonaws.com":                          true,
		"S3.EU-central-1.amazonaws.com":                          true,
		"my.bucket.s3.us-gov-west-1.amazonaws.com":               true,
		"b.s3-us-west-2.amazonaws.com":                           true,
		"b.s3.dualstack.eu-west-1.amazonaws.com":                 true,
		"b.s3-fips.us-east-1.amazonaws.com":                      true,
		"b.s3-fips.dualstack.us-east-1.amazonaws.com":            true,
		"b.s3-accelerate.amazonaws.com":                          true,
		"b.s3-accelerate.dualstack.amazonaws.com":                true,
		"ap-123456789012.s3-accesspoint.eu-west-1.amazonaws.com": true,
		"b.s3.cn-north-1.amazonaws.com.cn":                       true,
		"bucket.vpce-1a2b3c4d.s3.us-east-1.vpce.amazonaws.com":   true,

		"":                                           false,
		"amazonaws.com":                              false,
		"s3.example.com":                             false,
		"127.0.0.1:9000":                             false,
		"s3.amazonaws.com:8443":                      false,
		"s3.amazonaws.com.example.com":               false,
		"s3xamazonaws.com":                           false,
		"evils3.eu-west-1.amazonaws.com":             false,
		"s3-1234.us-east-1.elb.amazonaws.com":        false,
		"s3.us-east-1.elb.amazonaws.com":             false,
		"ec2-1-2-3-4.compute-1.amazonaws.com":        false,
		"x.execute-api.us-east-1.amazonaws.com":      false,
		"s3.lambda-url.us-east-1.on.aws":             false,
		"x.op-1.s3-outposts.us-east-1.amazonaws.com": false,
		"a.r2.cloudflarestorage.com":                 false,
		"s3.us-west-004.backblazeb2.com":             false,
		"storage.googleapis.com":                     false,
	} {
		require.Equal(t, want, profile.HonorsCopyConditions(host), host)
	}
}
