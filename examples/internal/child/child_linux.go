// Package child sets attributes of processes that demos and tests start.
package child

import "syscall"

// DieWithParent makes the kernel kill a process when the thread that started it
// ends. The main thread lives as long as the process.
func DieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
