//go:build !small

package main

// The small module has manifests alone: it is an eighth of the size, and starts as much faster.
func init() {
	engines["kustomize"] = kustomize{}
	engines["helm"] = helm{}
}
