package process

import "syscall"

// dieWithParent has the kernel kill a process when the thread that started it is gone. Init, and so the supervisor,
// runs on the main thread, which lasts as long as the process.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
