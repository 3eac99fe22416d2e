package rules

import (
	"errors"
	"slices"

	"github.com/s3presign/presign/internal/mediatype"
)

// decideType returns the type that is granted for a file.
func (r *Rules) decideType(name, declared string) (string, *Violation) {
	typ, fault := mediatype.Choose(name, declared, r.Types)
	if fault != nil {
		return "", typeViolation(fault)
	}
	return typ, nil
}

func typeViolation(fault *mediatype.Fault) *Violation {
	code := CodeInvalid
	switch {
	case errors.Is(fault, mediatype.ErrContradictsName):
		code = CodeContradictsName
	case errors.Is(fault, mediatype.ErrNotAllowed):
		code = CodeNotAllowed
	}
	v := Violate("type", code, "%v", fault)
	v.Allowed = fault.Allowed
	return v
}

// AllowsType reports whether the policy allows a type.
func (r *Rules) AllowsType(t string) bool {
	return slices.ContainsFunc(r.Types, func(pattern string) bool {
		return mediatype.Match(pattern, t)
	})
}

// TypeViolation returns the Violation of a type that the policy does not allow.
func (r *Rules) TypeViolation(t string) *Violation {
	return typeViolation(mediatype.NotAllowed(t, r.Types))
}
