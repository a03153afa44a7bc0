// Package kubernetes stands in for that of client-go: Helm imports it only to know the module's version.
package kubernetes
