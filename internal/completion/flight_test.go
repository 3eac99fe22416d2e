package completion

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/s3presign/presign/internal/rules"
	"github.com/s3presign/presign/internal/stamp"
)

// TestJoinSeparatesGrants checks that a call does not receive the outcome of
// another grant's completion under the same key.
func TestJoinSeparatesGrants(t *testing.T) {
	var flights Flights
	defer flights.Enter("a")()
	for _, owner := range []string{"alice", "bob"} {
		ticket := Ticket{Key: "a", Granted: &stamp.Stamp{ID: [16]byte{owner[0]}, Owner: owner}}
		run := func(context.Context, *Flight) (*Result, error) {
			return &Result{Object: &Object{Owner: owner}, Clean: func(context.Context) {}}, nil
		}
		result, err := flights.Join(t.Context(), ticket, run)
		require.NoError(t, err)
		require.Equal(t, owner, result.Object.Owner)
	}
}

// TestRejectedRequiresClaim checks that the rejection of an upload that is gone
// is returned only for a grant that the caller claims.
func TestRejectedRequiresClaim(t *testing.T) {
	var flights Flights
	defer flights.Enter("a")()
	rejection := &Rejection{Object: &Object{}, Violations: []*rules.Violation{Taken()}}
	ticket := Ticket{Key: "a", Granted: &stamp.Stamp{Owner: "alice"}}
	run := func(context.Context, *Flight) (*Result, error) { return nil, rejection }
	_, err := flights.Join(t.Context(), ticket, run)
	require.ErrorIs(t, err, rejection)
	by := func(owner string) func(*stamp.Stamp) bool {
		return func(granted *stamp.Stamp) bool { return granted.Owner == owner }
	}
	require.NoError(t, flights.Rejected("a", by("bob")))
	require.ErrorIs(t, flights.Rejected("a", by("alice")), rejection)
}
