package main

import "golang.org/x/sys/unix"

// killWithParent: what the kernel calls the parent is the thread that started us. Node starts children on the thread that asks
// for them, so a testbed must be started on a main thread, not on a worker that may end earlier.
func killWithParent() {
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
}
