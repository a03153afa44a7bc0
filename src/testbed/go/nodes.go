package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/version"
	"k8s.io/klog/v2"
)

const (
	leaseNamespace = "kube-node-lease"
	leaseSeconds   = int32(40)
	heartbeat      = 10 * time.Second
)

// runNodes registers nodes that are always ready, plays the kubelet of each (pods.go) and the cloud around them (cloud.go).
func runNodes(args []string) {
	flags := flag.NewFlagSet("simulated-nodes", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig with the rights of a cluster administrator")
	count := flags.Int("count", 2, "number of nodes")
	_ = flags.Parse(args)
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fail("simulated-nodes: %v", err)
	}
	config.QPS = -1
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.UserAgent = "fairlead-testbed/simulated-nodes"
	client := kubernetes.NewForConfigOrDie(rest.AddUserAgent(config, "v1"))
	ctx := context.Background()
	names := make([]string, *count)
	for i := range names {
		names[i] = fmt.Sprintf("node-%d", i+1)
	}
	go runPods(ctx, client, names)
	go runCloud(ctx, client)
	for {
		wait := heartbeat
		for i, name := range names {
			if err := beat(ctx, client, i, name); err != nil {
				klog.Warningf("node %s: %v", name, err)
				wait = 250 * time.Millisecond // the API server is starting, or restarting
			}
		}
		time.Sleep(wait)
	}
}

// beat creates what is missing of a node and renews its lease, the one write a node at rest makes.
func beat(ctx context.Context, client kubernetes.Interface, index int, name string) error {
	node, err := client.CoreV1().Nodes().Get(ctx, name, meta.GetOptions{ResourceVersion: "0"})
	if apierrors.IsNotFound(err) {
		node, err = client.CoreV1().Nodes().Create(ctx, newNode(index, name), meta.CreateOptions{})
	}
	if err != nil {
		return err
	}
	if !isNodeReady(node) {
		node = node.DeepCopy()
		node.Status = nodeStatus(index, name)
		if _, err := client.CoreV1().Nodes().UpdateStatus(ctx, node, meta.UpdateOptions{}); err != nil {
			return err
		}
	}
	now := meta.NowMicro()
	seconds := leaseSeconds
	lease, err := client.CoordinationV1().Leases(leaseNamespace).Get(ctx, name, meta.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = client.CoordinationV1().Leases(leaseNamespace).Create(ctx, &coordination.Lease{
			ObjectMeta: meta.ObjectMeta{
				Name: name,
				OwnerReferences: []meta.OwnerReference{
					{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID},
				},
			},
			Spec: coordination.LeaseSpec{HolderIdentity: &node.Name, LeaseDurationSeconds: &seconds, RenewTime: &now},
		}, meta.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec.RenewTime = &now
	_, err = client.CoordinationV1().Leases(leaseNamespace).Update(ctx, lease, meta.UpdateOptions{})
	return err
}

func isNodeReady(node *core.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == core.NodeReady {
			return condition.Status == core.ConditionTrue
		}
	}
	return false
}

func newNode(index int, name string) *core.Node {
	return &core.Node{
		ObjectMeta: meta.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				"kubernetes.io/hostname":         name,
				"kubernetes.io/os":               "linux",
				"kubernetes.io/arch":             "amd64",
				"topology.kubernetes.io/zone":    fmt.Sprintf("zone-%d", index%3+1),
				"testbed.fairlead.dev/simulated": "true",
			},
		},
		Status: nodeStatus(index, name),
	}
}

func nodeStatus(index int, name string) core.NodeStatus {
	now := meta.Now()
	condition := func(kind core.NodeConditionType, status core.ConditionStatus, reason string) core.NodeCondition {
		return core.NodeCondition{
			Type: kind, Status: status, Reason: reason, Message: "simulated", LastHeartbeatTime: now, LastTransitionTime: now,
		}
	}
	resources := core.ResourceList{
		core.ResourceCPU:              resource.MustParse("64"),
		core.ResourceMemory:           resource.MustParse("256Gi"),
		core.ResourceEphemeralStorage: resource.MustParse("1Ti"),
		core.ResourcePods:             resource.MustParse("5000"),
	}
	return core.NodeStatus{
		Phase:       core.NodeRunning,
		Capacity:    resources,
		Allocatable: resources,
		Conditions: []core.NodeCondition{
			condition(core.NodeReady, core.ConditionTrue, "KubeletReady"),
			condition(core.NodeMemoryPressure, core.ConditionFalse, "KubeletHasSufficientMemory"),
			condition(core.NodeDiskPressure, core.ConditionFalse, "KubeletHasNoDiskPressure"),
			condition(core.NodePIDPressure, core.ConditionFalse, "KubeletHasSufficientPID"),
			condition(core.NodeNetworkUnavailable, core.ConditionFalse, "RouteCreated"),
		},
		Addresses: []core.NodeAddress{
			{Type: core.NodeInternalIP, Address: nodeIP(index)},
			{Type: core.NodeHostName, Address: name},
		},
		NodeInfo: core.NodeSystemInfo{
			KubeletVersion:          version.Get().GitVersion,
			ContainerRuntimeVersion: "simulated://1",
			OperatingSystem:         "linux",
			Architecture:            "amd64",
			OSImage:                 "simulated",
		},
	}
}

func nodeIP(index int) string {
	return fmt.Sprintf("10.200.%d.%d", index/250, index%250+1)
}
