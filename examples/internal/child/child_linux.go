// Package child holds what demos and tests set on the processes that they start.
package child

import "syscall"

// DieWithParent makes the kernel kill a process when the thread that started it
// ends. The main thread lasts as long as the process.
func DieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
