//go:build !wasip1

package main

// Only the tests run natively.
func main() {}
