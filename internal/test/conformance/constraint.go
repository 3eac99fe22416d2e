package conformance

// A Constraint is a rule that a grant sets for clients, or that a service needs
// from a store.
type Constraint string

// The constraints. Each Kind has cases of its own for a constraint.
const (
	Honest       Constraint = "an honest upload"
	Key          Constraint = "exact key"
	Type         Constraint = "type"
	FileName     Constraint = "file name"
	Size         Constraint = "exact size"
	SizeRange    Constraint = "size range"
	Metadata     Constraint = "metadata"
	Headers      Constraint = "headers of the policy"
	Tags         Constraint = "tags"
	Redirect     Constraint = "redirect"
	ExtraFields  Constraint = "no further field"
	Unsigned     Constraint = "no unsigned x-amz-* header"
	CopySource   Constraint = "no unsigned x-amz-copy-source"
	OtherHeaders Constraint = "headers that need no signature"
	WriteOnce    Constraint = "write once"
	Expiry       Constraint = "expiry"
	Signature    Constraint = "signature"
	Policy       Constraint = "signature and policy"
	Method       Constraint = "method"
	Session      Constraint = "session token"
	PartNumber   Constraint = "part number and upload"
	Ended        Constraint = "no part after the end"
	PartAgain    Constraint = "a part sent again"
	BareParts    Constraint = "parts without their own checksum"
	ObjectSize   Constraint = "object size" // x-amz-mp-object-size
	PartList     Constraint = "parts as they arrived"
	OnceComplete Constraint = "write once on completion"
	OnceCopy     Constraint = "write once on copy"
	PinnedCopy   Constraint = "pinned copy"   // x-amz-copy-source-if-match
	PinnedRead   Constraint = "pinned read"   // If-Match
	PinnedDelete Constraint = "pinned delete" // If-Match
	JoinedCopy   Constraint = "pinned copy of joined parts"
	JoinedDelete Constraint = "pinned delete of joined parts"
)

// A Kind is the kind of request that a case tests.
type Kind string

// The kinds.
const (
	PUT        Kind = "PUT"
	Form       Kind = "form"
	PartURL    Kind = "part"       // the PUT of the only part of a multipart upload
	Completion Kind = "completion" // requests of a service to its store with its own credentials
)

// noun returns the name of a request of the kind.
func (k Kind) noun() string {
	if k == PUT || k == Completion {
		return "upload"
	}
	return string(k)
}

// Cases returns the matrix, by kind and constraint.
func Cases() (all []Case) {
	for _, kind := range []struct {
		Kind
		proofs []proof
	}{{PUT, puts()}, {Form, forms()}, {PartURL, parts()}, {Completion, completions()}} {
		for _, p := range kind.proofs {
			for _, c := range p.cases {
				c.Kind, c.Constraint = kind.Kind, p.Constraint
				all = append(all, withServers(c))
			}
		}
	}
	return all
}

// A proof holds the cases that show whether a store enforces a constraint.
type proof struct {
	Constraint
	cases []Case
}
