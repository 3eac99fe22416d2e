package main

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// speed has f run on that many cores for a slice of time, and returns how often a second it ran, and the CPU time that
// each took: others on the machine make it run less often, but not longer.
func speed(cores int, slice time.Duration, f func() error) (rate, cpu float64, err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	runtime.GC() // of what others left
	before, err := cpuTime()
	if err != nil {
		return 0, 0, err
	}
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
	if err := all.Wait(); err != nil {
		return 0, 0, err
	}
	took := time.Since(begun)
	after, err := cpuTime()
	n := float64(calls.Load())
	return n / took.Seconds(), (after - before).Seconds() / n, err
}
