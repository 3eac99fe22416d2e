//go:build !linux

package ceph

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
