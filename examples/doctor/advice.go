package main

import "github.com/s3presign/presign/internal/test/conformance"

// advice is what to do where a store does not enforce something.
type advice struct {
	verdict Verdict // in place of NotEnforced
	instead string
	lacking string // where it takes not even an honest upload
}

func adviceFor(kind conformance.Kind, constraint conformance.Constraint) advice {
	a := advices[constraint]
	if a.instead == "" {
		a.instead = "Nothing helps: do not hand out grants for this store."
	}
	if kind == conformance.Form {
		if constraint != conformance.Checksum {
			a.instead = "WithoutForms(): grant PUTs alone, where those are enforced."
		}
		a.lacking = "WithoutForms(): grant PUTs alone."
	}
	return a
}

const lookedAt = "Completion looks before and after. "

var advices = map[conformance.Constraint]advice{
	conformance.Checksum: {
		instead: "Leave Policy.Checksum out, for Complete refuses what the store does not confirm; compute the digest of what " +
			"was published in WithOnComplete.",
	},
	conformance.Headers: {
		instead: "Set them when you serve the files; completion publishes a copy that has them.",
	},
	conformance.Tags: {
		instead: "Tag objects in WithOnComplete.",
		lacking: "With tags in Policy.Headers the role that signs needs s3:PutObjectTagging, too.",
	},
	conformance.Unsigned: {
		instead: "WithStore and two roles, and a bucket that knows no ACLs. Completion refuses metadata, redirects and storage " +
			"classes that were not granted; tags it does not see, so rely on none.",
	},
	conformance.CopySource: {
		instead: "WithStore: let a role sign that may put objects under the prefix and read nothing.",
	},
	conformance.WriteOnce: {
		instead: "Policy.FinalPrefix: no grant reaches what was published. Keys with a random part are known to nobody else.",
	},
	conformance.OnceComplete: {
		instead: "Policy.FinalPrefix, or keys with a random part: an upload in parts replaces what lies under its key.",
	},
	conformance.Method: {instead: "Two roles: the one that signs may put objects under the prefix, and nothing else."},
	conformance.ObjectSize: {
		verdict: MadeGood, instead: "Completion adds up the parts before, and looks at the object afterwards.",
	},
	conformance.OnceCopy: {
		verdict: MadeGood, instead: lookedAt + "Of two uploads to one key that are published at once, one may be lost.",
	},
	conformance.PinnedCopy: {
		verdict: MadeGood, instead: lookedAt + "A copy that came out as another object is not published.",
	},
	conformance.PinnedRead:   {verdict: MadeGood, instead: "Completion holds ETag and size of what it read against what it saw."},
	conformance.PinnedDelete: {verdict: MadeGood, instead: "What took the place of an upload meanwhile is deleted with it; nothing published is."},
	conformance.OtherHeaders: {verdict: Admitted, instead: "Completion refuses what was not granted."},
}
