// Package rest stands in for that of client-go: there is no cluster to configure.
package rest

// Config configures nothing.
type Config struct{}
