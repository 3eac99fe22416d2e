package checkup

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// lifecycle checks whether rules remove uploads that are never completed, and
// older versions if the bucket keeps them.
func (p *examiner) lifecycle(ctx context.Context, versioned bool) []Finding {
	out, err := p.store.GetBucketLifecycleConfiguration(ctx,
		&s3.GetBucketLifecycleConfigurationInput{Bucket: &p.bucket})
	var rules []types.LifecycleRule
	switch response, text := describe(err); {
	case err == nil:
		rules = out.Rules
	case response.Code != "NoSuchLifecycleConfiguration":
		return []Finding{{What: "lifecycle", State: Unknown,
			Detail: "the store does not return its rules: " + text +
				"; if the store has no rules, call Signer.Sweep from a job"}}
	}
	found := p.expiries(rules)
	if versioned && p.final != "" {
		found = append(found, p.olderVersions(rules))
	}
	return found
}

// olderVersions checks the rule for older versions of uploads. Each use of the
// same form stores another version.
func (p *examiner) olderVersions(rules []types.LifecycleRule) Finding {
	f := Finding{What: "lifecycle: older versions expire", State: Good}
	switch days := firstDays(rules, p.prefix, olderVersion); days {
	case 0:
		f.State, f.Detail = Missing,
			"no rule removes older versions under "+p.prefix+
				"; a form that is used 50 times stores 50 versions"
	case olderDays:
		f.Detail = "after 1 day"
	default:
		f.State, f.Detail = Info, fmt.Sprintf(
			"after %d days; one day is enough, and a form that is used 50 times stores 50 versions",
			days)
	}
	return f
}

// needDays is the number of days in which an upload can be completed: 7 days
// and one more.
const needDays = 8

// expiries checks the rules for uploads, for parts and for published files.
func (p *examiner) expiries(rules []types.LifecycleRule) []Finding {
	uploads := Finding{What: "lifecycle: uploads expire", State: Info,
		Detail: "without a FinalPrefix, completed files stay under Prefix, so no rule can remove uploads"}
	kept := cmp.Or(p.final, p.prefix)
	if p.final != "" {
		uploads = judgeExpiry(uploads.What,
			"no rule removes uploads that are never completed under "+p.prefix,
			firstDays(rules, p.prefix, expiration))
	}
	days := firstDays(rules, p.prefix, abortDays)
	if inCopies := firstDays(rules, kept, abortDays); inCopies == 0 ||
		days != 0 && inCopies < days {
		days = inCopies
	}
	found := []Finding{uploads, judgeExpiry("lifecycle: parts expire",
		"no rule aborts multipart uploads that are never completed", days)}
	if n := firstDays(rules, kept, expiration); n != 0 {
		found = append(found, Finding{
			What: "lifecycle: published files", State: Wrong,
			Detail: fmt.Sprintf("a rule removes published files from %s after %d days", kept, n),
		})
	}
	return found
}

// judgeExpiry returns the finding about a rule that applies after days, or that
// is missing if days is 0.
func judgeExpiry(what, missing string, days int32) Finding {
	switch {
	case days == 0:
		return Finding{What: what, State: Missing, Detail: missing}
	case days < needDays:
		return Finding{
			What: what, State: Wrong,
			Detail: fmt.Sprintf("after %d days, but uploads can be completed for %d days", days,
				needDays),
		}
	}
	return Finding{What: what, State: Good, Detail: fmt.Sprintf("after %d days", days)}
}

// firstDays returns the smallest number of days of the rules that apply to
// everything under a prefix, or 0 if no rule does.
func firstDays(
	rules []types.LifecycleRule, prefix string, days func(types.LifecycleRule) *int32,
) (first int32) {
	for _, rule := range rules {
		scopePrefix, all := scope(rule)
		if rule.Status != types.ExpirationStatusEnabled || !all ||
			!strings.HasPrefix(prefix, scopePrefix) {
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

// olderVersion returns the days after which a rule removes all older versions.
func olderVersion(rule types.LifecycleRule) *int32 {
	if older := rule.NoncurrentVersionExpiration; older != nil &&
		aws.ToInt32(older.NewerNoncurrentVersions) == 0 {
		return older.NoncurrentDays
	}
	return nil
}

func abortDays(rule types.LifecycleRule) *int32 {
	if rule.AbortIncompleteMultipartUpload == nil {
		return nil
	}
	return rule.AbortIncompleteMultipartUpload.DaysAfterInitiation
}

// scope returns the prefix of a rule, and whether the rule applies to
// everything under it.
func scope(rule types.LifecycleRule) (prefix string, all bool) {
	f := rule.Filter
	switch {
	case f == nil:
		//lint:ignore SA1019 rules without a filter have a prefix instead
		return aws.ToString(rule.Prefix), true
	case f.And != nil, f.Tag != nil, f.ObjectSizeGreaterThan != nil, f.ObjectSizeLessThan != nil:
		return "", false
	}
	return aws.ToString(f.Prefix), true
}

// versioning reports whether the bucket keeps versions.
func (p *examiner) versioning(ctx context.Context) (f Finding, versioned bool) {
	f = Finding{What: "versioning", State: Info}
	out, err := p.store.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &p.bucket})
	switch {
	case err != nil:
		_, text := describe(err)
		f.State, f.Detail = Unknown, "the store does not return the configuration: "+text
	case out.Status == types.BucketVersioningStatusEnabled:
		f.Detail = "on: completion pins versions"
	case out.Status == types.BucketVersioningStatusSuspended:
		f.Detail = "suspended: completion pins ETags"
	default:
		f.Detail = "off: completion pins ETags"
	}
	return f, err == nil && out.Status == types.BucketVersioningStatusEnabled
}
