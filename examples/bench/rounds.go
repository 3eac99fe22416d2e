package main

import (
	"context"
	"slices"
)

// The names of the contenders in the table.
const (
	ours     = "presign"
	theSDK   = "SDK"
	theMinIO = "minio-go"
	bare     = "net/http"
)

var contenders = []string{ours, theSDK, theMinIO, bare}

// A series holds one figure for each round, by contender.
type series map[string][]float64

func (s series) add(contender string, figure float64) {
	s[contender] = append(s[contender], figure)
}

func (s series) median(contender string) float64 { return median(s[contender]) }

// ratio returns the median of a/b over all rounds.
func (s series) ratio(a, b string) float64 {
	rounds := make([]float64, len(s[a]))
	for i := range rounds {
		rounds[i] = s[a][i] / s[b][i]
	}
	return median(rounds)
}

func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	if n := len(sorted); n > 0 {
		return (sorted[(n-1)/2] + sorted[n/2]) / 2
	}
	return 0
}

// takeTurns calls each of turns once in each round. Each round starts with the
// next function.
func takeTurns(ctx context.Context, rounds int, turns []func() error) error {
	for round := range rounds {
		for i := range turns {
			if err := turns[(round+i)%len(turns)](); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
