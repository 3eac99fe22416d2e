package main

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// speed runs f on a number of cores for a slice of time. It returns the calls
// per second, and the CPU time of a call. Other programs on the machine affect
// the rate more than the CPU time.
func speed(cores int, slice time.Duration, f func() error) (rate, cpu float64, err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	runtime.GC() // Otherwise f would collect the garbage of the previous task.
	before, err := cpuTime()
	if err != nil {
		return 0, 0, err
	}
	var calls atomic.Int64
	var all errgroup.Group
	started := time.Now()
	for range cores {
		all.Go(func() error {
			own := int64(0)
			defer func() { calls.Add(own) }()
			for time.Since(started) < slice {
				for range 8 { // Reading the clock takes time.
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
	took := time.Since(started)
	after, err := cpuTime()
	n := float64(calls.Load())
	return n / took.Seconds(), (after - before).Seconds() / n, err
}
