// A real OCI registry (CNCF distribution) for tests. `registry <config.yaml>` serves until its standard input ends, so that
// it never outlives the test; `registry hash <user>` prints a line of htpasswd for the password on standard input.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"golang.org/x/crypto/bcrypt"
)

func main() {
	if os.Args[1] == "hash" {
		password, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != io.EOF {
			check(err)
		}
		hash, err := bcrypt.GenerateFromPassword([]byte(strings.TrimSuffix(password, "\n")), bcrypt.MinCost)
		check(err)
		fmt.Printf("%s:%s\n", os.Args[2], hash)
		return
	}
	file, err := os.Open(os.Args[1])
	check(err)
	config, err := configuration.Parse(file)
	check(err)
	server, err := registry.NewRegistry(context.Background(), config)
	check(err)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	check(server.ListenAndServe())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
