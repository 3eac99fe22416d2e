//go:build !linux

package child

import "syscall"

// DieWithParent returns nil, because only Linux can end a process with its
// parent.
func DieWithParent() *syscall.SysProcAttr { return nil }
