package main

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// speed returns how often a second f runs on that many cores, by what it does in slice.
func speed(cores int, slice time.Duration, f func() error) (float64, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	runtime.GC() // of what others left
	var calls atomic.Int64
	var all errgroup.Group
	begun := time.Now()
	for range cores {
		all.Go(func() error {
			own := int64(0)
			defer func() { calls.Add(own) }()
			for time.Since(begun) < slice {
				for range 8 { // the clock is not for nothing
					if err := f(); err != nil {
						return err
					}
					own++
				}
			}
			return nil
		})
	}
	err := all.Wait()
	return float64(calls.Load()) / time.Since(begun).Seconds(), err
}
