package main

import (
	"flag"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// runEtcd serves one single-member etcd on a Unix socket: no port to collide on, and nobody but the owner of the directory
// can read it.
func runEtcd(args []string) {
	flags := flag.NewFlagSet("etcd", flag.ExitOnError)
	dir := flags.String("data-dir", "", "directory of the database")
	socket := flags.String("socket", "", "path of the Unix socket to serve on")
	noFsync := flags.Bool("unsafe-no-fsync", false, "acknowledge writes before they are on disk")
	_ = flags.Parse(args)
	if *dir == "" || *socket == "" {
		fail("etcd: --data-dir and --socket are required")
	}
	config := embed.NewConfig()
	config.Name = "default"
	config.Dir = *dir
	config.UnsafeNoFsync = *noFsync
	config.LogLevel = "warn"
	config.WarningUnaryRequestDuration = time.Second
	config.QuotaBackendBytes = 4 << 30
	config.MaxRequestBytes = 4 << 20
	config.ListenClientUrls = []url.URL{{Scheme: "unix", Path: *socket}}
	// etcd refuses to advertise a socket; our clients are told the address and never ask.
	config.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:2379"}}
	// A single member never talks to a peer, but etcd insists on listening for one: any free port of the loopback.
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	config.ListenPeerUrls = []url.URL{peer}
	config.AdvertisePeerUrls = []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		fail("etcd: cannot start: %v", err)
	}
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		fail("etcd: not ready within 30 s")
	}
	fail("etcd: ended: %v", <-server.Err())
}
