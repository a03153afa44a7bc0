// fairlead-testbed is one program with the parts of a Kubernetes control plane as subcommands, so that they share one
// compile and one link: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, and nodes of our own that
// only pretend. Called through a link named kubectl it is kubectl.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // CronJob time zones, as in the stock binaries

	"github.com/spf13/cobra"
	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func main() {
	if filepath.Base(os.Args[0]) == "kubectl" {
		runKubectl()
		return
	}
	if len(os.Args) < 2 {
		usage()
	}
	name := os.Args[1]
	// The commands below read their arguments as if they were programs of their own.
	os.Args = append([]string{name}, os.Args[2:]...)
	switch name {
	case "kubectl":
		runKubectl()
	case "etcd":
		endWithParent()
		runEtcd(os.Args[1:])
	case "simulated-nodes":
		endWithParent()
		runNodes(os.Args[1:])
	case "kube-apiserver":
		runServer(apiserver.NewAPIServerCommand())
	case "kube-controller-manager":
		runServer(controllermanager.NewControllerManagerCommand())
	case "kube-scheduler":
		runServer(scheduler.NewSchedulerCommand())
	default:
		usage()
	}
}

func runServer(command *cobra.Command) {
	endWithParent()
	os.Exit(cli.Run(command))
}

// runKubectl is the body of kubectl's own main.
func runKubectl() {
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr,
		"usage: fairlead-testbed etcd|kube-apiserver|kube-controller-manager|kube-scheduler|simulated-nodes|kubectl [arguments]")
	os.Exit(2)
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}
