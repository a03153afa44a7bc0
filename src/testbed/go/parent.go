package main

import (
	"io"
	"os"
)

// endWithParent ends this process at once when its standard input closes, which it does however the parent ends. On Linux
// the kernel also kills it when the parent dies, which reaches it even while it is stopped by SIGSTOP.
func endWithParent() {
	killWithParent()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
}
