package checkup

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
)

func states(r *Report) map[string]State {
	found := make(map[string]State)
	for _, f := range r.Around {
		found[f.What] = f.State
	}
	return found
}

// TestLifecycle checks which rules remove uploads that are never completed.
func TestLifecycle(t *testing.T) {
	type change = func(*types.LifecycleRule)
	rule := func(prefix string, expiry, abort int32, changes ...change) types.LifecycleRule {
		r := types.LifecycleRule{
			Status: types.ExpirationStatusEnabled,
			Filter: &types.LifecycleRuleFilter{Prefix: &prefix},
		}
		if expiry > 0 {
			r.Expiration = &types.LifecycleExpiration{Days: &expiry}
		}
		if abort > 0 {
			r.AbortIncompleteMultipartUpload = &types.AbortIncompleteMultipartUpload{
				DaysAfterInitiation: &abort,
			}
		}
		for _, c := range changes {
			c(&r)
		}
		return r
	}
	p := &examiner{prefix: "incoming/", final: "files/"}
	for name, c := range map[string]struct {
		rules                    []types.LifecycleRule
		uploads, parts, finished State
	}{
		"none":            {nil, Missing, Missing, ""},
		"rules of README": {[]types.LifecycleRule{rule("incoming/", 10, 0), rule("", 0, 10)}, Good, Good, ""},
		"for each prefix": {[]types.LifecycleRule{
			rule("incoming/", 10, 9), rule("files/", 0, 9),
		}, Good, Good, ""},
		"too soon": {[]types.LifecycleRule{rule("incoming/", 1, 0), rule("", 0, 3)}, Wrong, Wrong, ""},
		"shortest rule applies": {[]types.LifecycleRule{
			rule("incoming/", 30, 30), rule("incoming/", 2, 2), rule("files/", 0, 30),
		}, Wrong, Wrong, ""},
		"no rule for copies": {[]types.LifecycleRule{rule("incoming/", 10, 10)}, Good, Missing, ""},
		"for all objects":    {[]types.LifecycleRule{rule("", 10, 10)}, Good, Good, Wrong},
		"for another prefix": {[]types.LifecycleRule{
			rule("incoming/a/", 10, 10), rule("other/", 10, 10),
		}, Missing, Missing, ""},
		"disabled": {[]types.LifecycleRule{
			rule("", 10, 10, func(r *types.LifecycleRule) {
				r.Status = types.ExpirationStatusDisabled
			}),
		}, Missing, Missing, ""},
		"for some sizes only": {[]types.LifecycleRule{
			rule("", 10, 10, func(r *types.LifecycleRule) {
				r.Filter.ObjectSizeGreaterThan = aws.Int64(1)
			}),
		}, Missing, Missing, ""},
	} {
		t.Run(name, func(t *testing.T) {
			found := states(&Report{Around: p.expiries(c.rules)})
			require.Equal(t, c.uploads, found["lifecycle: uploads expire"])
			require.Equal(t, c.parts, found["lifecycle: parts expire"])
			require.Equal(t, c.finished, found["lifecycle: published files"])
		})
	}
	p.final = ""
	require.Equal(t, Info, p.expiries(nil)[0].State)
}

// TestOlderVersions checks which rules remove older versions of uploads, and
// that the document to paste has such a rule.
func TestOlderVersions(t *testing.T) {
	p := &examiner{prefix: "incoming/", final: "files/"}
	rule := func(prefix string, days, newer int32) types.LifecycleRule {
		return types.LifecycleRule{
			Status: types.ExpirationStatusEnabled,
			Filter: &types.LifecycleRuleFilter{Prefix: &prefix},
			NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{
				NoncurrentDays: &days, NewerNoncurrentVersions: &newer,
			},
		}
	}
	for name, c := range map[string]struct {
		rules []types.LifecycleRule
		want  State
	}{
		"none":           {nil, Missing},
		"one day":        {[]types.LifecycleRule{rule("incoming/", 1, 0)}, Good},
		"ten days":       {[]types.LifecycleRule{rule("", 10, 0)}, Info},
		"another prefix": {[]types.LifecycleRule{rule("files/", 1, 0)}, Missing},
		"some are kept":  {[]types.LifecycleRule{rule("incoming/", 1, 50)}, Missing},
	} {
		require.Equal(t, c.want, p.olderVersions(c.rules).State, name)
	}
	documents := p.paste(&Report{Around: []Finding{p.olderVersions(nil)}})
	require.Len(t, documents, 1)
	require.Contains(t, string(documents[0].Content),
		`"NoncurrentVersionExpiration":{"NoncurrentDays":1}`)
}

// TestSharing checks the warning about Signers that share a FinalPrefix.
func TestSharing(t *testing.T) {
	p := &examiner{prefix: "incoming/", final: "files/"}
	require.Contains(t, p.sharing()[0].Detail,
		"two Signers that publish under files/ replace each other's objects")
	p.final = ""
	require.Empty(t, p.sharing())
}
