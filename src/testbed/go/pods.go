package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	// annotationOutcome on a pod: crash-loop | image-pull | never-ready | fail (the last: a pod that may end ends with 1).
	annotationOutcome = "testbed.fairlead.dev/outcome"
	// annotationReadyAfter on a pod: a Go duration from its start until it is ready.
	annotationReadyAfter = "testbed.fairlead.dev/ready-after"
	// annotationRunFor on a pod of a Job: a Go duration from its start until it ends.
	annotationRunFor = "testbed.fairlead.dev/run-for"

	defaultRunFor = 300 * time.Millisecond
	podWorkers    = 8
)

// firstSeenAt: pod UID → time.Time. The API keeps a start in whole seconds, too coarse to count half a second from.
var firstSeenAt sync.Map

type podKey struct{ namespace, name string }

// runPods plays the kubelets of the nodes: level-triggered, so annotating a running pod changes its fate.
func runPods(ctx context.Context, client kubernetes.Interface, nodes []string) {
	indexOf := map[string]int{}
	for i, name := range nodes {
		indexOf[name] = i
	}
	bound := informers.WithTweakListOptions(func(options *meta.ListOptions) {
		options.FieldSelector = fields.OneTermNotEqualSelector("spec.nodeName", "").String()
	})
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, bound)
	informer := factory.Core().V1().Pods()
	lister := informer.Lister()
	queue := workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[podKey](20*time.Millisecond, 2*time.Second))
	enqueue := func(object any) {
		if pod, ok := object.(*core.Pod); ok {
			queue.Add(podKey{pod.Namespace, pod.Name})
		}
	}
	_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, updated any) { enqueue(updated) },
		DeleteFunc: func(object any) {
			if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			if pod, ok := object.(*core.Pod); ok {
				firstSeenAt.Delete(pod.UID)
			}
		},
	})
	if err != nil {
		fail("simulated-nodes: %v", err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for range podWorkers {
		go func() {
			for {
				key, shutdown := queue.Get()
				if shutdown {
					return
				}
				pod, err := lister.Pods(key.namespace).Get(key.name)
				var again time.Duration
				if err == nil {
					if index, ours := indexOf[pod.Spec.NodeName]; ours {
						again, err = reconcilePod(ctx, client, pod, index)
					}
				}
				switch {
				case err != nil && !apierrors.IsNotFound(err):
					if !apierrors.IsConflict(err) {
						klog.Warningf("pod %s/%s: %v", key.namespace, key.name, err)
					}
					queue.AddRateLimited(key)
				default:
					queue.Forget(key)
					if again > 0 {
						queue.AddAfter(key, again)
					}
				}
				queue.Done(key)
			}
		}()
	}
}

// reconcilePod brings one pod to what it should look like now, and says when it should be looked at again (0: when it changes).
func reconcilePod(ctx context.Context, client kubernetes.Interface, pod *core.Pod, nodeIndex int) (time.Duration, error) {
	pods := client.CoreV1().Pods(pod.Namespace)
	now := time.Now()
	if pod.DeletionTimestamp != nil {
		if !isEnded(pod) {
			// As a kubelet does: the end of the containers is reported before the object goes, which is what lets the Job
			// controller take its finalizer off.
			ended := pod.DeepCopy()
			endPod(ended, now, 137, "Killed")
			if _, err := pods.UpdateStatus(ctx, ended, meta.UpdateOptions{}); err != nil {
				return 0, err
			}
		}
		if pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0 {
			return 0, nil // only finalizers hold it now
		}
		now := int64(0)
		return 0, pods.Delete(ctx, pod.Name, meta.DeleteOptions{
			GracePeriodSeconds: &now, Preconditions: &meta.Preconditions{UID: &pod.UID},
		})
	}
	if isEnded(pod) {
		return 0, nil
	}
	wanted := pod.DeepCopy()
	again := playPod(wanted, nodeIndex, now)
	if equality.Semantic.DeepEqual(pod.Status, wanted.Status) {
		return again, nil
	}
	_, err := pods.UpdateStatus(ctx, wanted, meta.UpdateOptions{})
	return again, err
}

func isEnded(pod *core.Pod) bool {
	return pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
}

// playPod writes into pod.Status what a kubelet would report at `now`; returns when that would change by itself, or 0.
func playPod(pod *core.Pod, nodeIndex int, now time.Time) time.Duration {
	status := &pod.Status
	if status.StartTime == nil {
		start := meta.NewTime(now)
		status.StartTime = &start
	}
	firstSeen, _ := firstSeenAt.LoadOrStore(pod.UID, now)
	start := firstSeen.(time.Time)
	status.ObservedGeneration = pod.Generation
	status.HostIP = nodeIP(nodeIndex)
	status.HostIPs = []core.HostIP{{IP: status.HostIP}}
	status.PodIP = status.HostIP
	if !pod.Spec.HostNetwork {
		status.PodIP = podIP(string(pod.UID))
	}
	status.PodIPs = []core.PodIP{{IP: status.PodIP}}

	outcome := pod.Annotations[annotationOutcome]
	if outcome != "crash-loop" && outcome != "image-pull" && outcome != "never-ready" && pod.Spec.RestartPolicy != core.RestartPolicyAlways {
		runFor := durationOf(pod, annotationRunFor, defaultRunFor)
		if now.Before(start.Add(runFor)) {
			run(pod, now, true)
			return start.Add(runFor).Sub(now)
		}
		if outcome == "fail" {
			endPod(pod, now, 1, "Error")
		} else {
			endPod(pod, now, 0, "Completed")
		}
		return 0
	}
	switch outcome {
	case "image-pull":
		status.Phase = core.PodPending
		status.ContainerStatuses = containers(pod, func(c core.Container, s *core.ContainerStatus) {
			s.State.Waiting = &core.ContainerStateWaiting{
				Reason:  "ImagePullBackOff",
				Message: fmt.Sprintf("Back-off pulling image %q: not found", c.Image),
			}
			s.ImageID, s.ContainerID = "", ""
			s.Started = new(bool)
		})
		conditions(pod, now, false)
	case "crash-loop":
		status.Phase = core.PodRunning
		status.ContainerStatuses = containers(pod, func(c core.Container, s *core.ContainerStatus) {
			s.RestartCount = 3
			s.Started = new(bool)
			s.State.Waiting = &core.ContainerStateWaiting{
				Reason: "CrashLoopBackOff",
				Message: fmt.Sprintf("back-off 40s restarting failed container=%s pod=%s_%s(%s)",
					c.Name, pod.Name, pod.Namespace, pod.UID),
			}
			s.LastTerminationState.Terminated = &core.ContainerStateTerminated{
				ExitCode: 1, Reason: "Error", ContainerID: s.ContainerID,
				StartedAt: meta.NewTime(startOf(pod)), FinishedAt: meta.NewTime(startOf(pod)),
			}
		})
		conditions(pod, now, false)
	case "never-ready":
		run(pod, now, false)
	default:
		ready := start.Add(durationOf(pod, annotationReadyAfter, 0))
		if now.Before(ready) {
			run(pod, now, false)
			return ready.Sub(now)
		}
		run(pod, now, true)
	}
	return 0
}

func run(pod *core.Pod, now time.Time, ready bool) {
	started := true
	pod.Status.Phase = core.PodRunning
	startedAt := meta.NewTime(startOf(pod))
	pod.Status.ContainerStatuses = containers(pod, func(_ core.Container, s *core.ContainerStatus) {
		s.Ready = ready
		s.Started = &started
		s.State.Running = &core.ContainerStateRunning{StartedAt: startedAt}
	})
	conditions(pod, now, ready)
}

// startOf is the start of the pod in whole seconds, which is all the API keeps.
func startOf(pod *core.Pod) time.Time { return pod.Status.StartTime.Truncate(time.Second) }

func endPod(pod *core.Pod, now time.Time, exitCode int32, reason string) {
	if pod.Status.StartTime == nil {
		start := meta.NewTime(now)
		pod.Status.StartTime = &start
	}
	pod.Status.Phase = core.PodSucceeded
	if exitCode != 0 {
		pod.Status.Phase = core.PodFailed
	}
	started := false
	pod.Status.ContainerStatuses = containers(pod, func(_ core.Container, s *core.ContainerStatus) {
		s.Started = &started
		s.State.Terminated = &core.ContainerStateTerminated{
			ExitCode: exitCode, Reason: reason, ContainerID: s.ContainerID,
			StartedAt: meta.NewTime(startOf(pod)), FinishedAt: meta.NewTime(now),
		}
	})
	conditions(pod, now, false)
	if exitCode == 0 {
		for i := range pod.Status.Conditions {
			if c := &pod.Status.Conditions[i]; c.Type == core.PodReady || c.Type == core.ContainersReady {
				c.Reason = "PodCompleted"
			}
		}
	}
}

func containers(pod *core.Pod, set func(core.Container, *core.ContainerStatus)) []core.ContainerStatus {
	initStatuses := make([]core.ContainerStatus, 0, len(pod.Spec.InitContainers))
	for _, c := range pod.Spec.InitContainers {
		s := baseStatus(pod, c)
		startedAt := meta.NewTime(startOf(pod))
		if c.RestartPolicy != nil && *c.RestartPolicy == core.ContainerRestartPolicyAlways {
			set(c, &s)
		} else {
			s.Ready = true
			s.Started = new(bool)
			s.State.Terminated = &core.ContainerStateTerminated{
				Reason: "Completed", ContainerID: s.ContainerID, StartedAt: startedAt, FinishedAt: startedAt,
			}
		}
		initStatuses = append(initStatuses, s)
	}
	if len(initStatuses) > 0 {
		pod.Status.InitContainerStatuses = initStatuses
	}
	statuses := make([]core.ContainerStatus, 0, len(pod.Spec.Containers))
	for _, c := range pod.Spec.Containers {
		s := baseStatus(pod, c)
		set(c, &s)
		statuses = append(statuses, s)
	}
	return statuses
}

func baseStatus(pod *core.Pod, c core.Container) core.ContainerStatus {
	return core.ContainerStatus{
		Name:        c.Name,
		Image:       c.Image,
		ImageID:     "simulated://" + c.Image,
		ContainerID: fmt.Sprintf("simulated://%s-%s", pod.UID, c.Name),
	}
}

// conditions sets what a kubelet sets; those of others (PodScheduled, readiness gates) stay as they are.
func conditions(pod *core.Pod, now time.Time, ready bool) {
	containersReady := core.ConditionFalse
	podReady := core.ConditionFalse
	reason, podReason := "ContainersNotReady", "ContainersNotReady"
	if ready {
		containersReady, podReady, reason, podReason = core.ConditionTrue, core.ConditionTrue, "", ""
		for _, gate := range pod.Spec.ReadinessGates {
			if !isTrue(pod, gate.ConditionType) {
				podReady, podReason = core.ConditionFalse, "ReadinessGatesNotReady"
			}
		}
	}
	setCondition(pod, now, core.PodReadyToStartContainers, core.ConditionTrue, "")
	setCondition(pod, now, core.PodInitialized, core.ConditionTrue, "")
	setCondition(pod, now, core.ContainersReady, containersReady, reason)
	setCondition(pod, now, core.PodReady, podReady, podReason)
}

func isTrue(pod *core.Pod, kind core.PodConditionType) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c.Status == core.ConditionTrue
		}
	}
	return false
}

func setCondition(pod *core.Pod, now time.Time, kind core.PodConditionType, status core.ConditionStatus, reason string) {
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		if c.Type != kind {
			continue
		}
		if c.Status != status {
			c.LastTransitionTime = meta.NewTime(now)
		}
		c.Status, c.Reason, c.ObservedGeneration = status, reason, pod.Generation
		return
	}
	pod.Status.Conditions = append(pod.Status.Conditions, core.PodCondition{
		Type: kind, Status: status, Reason: reason, LastTransitionTime: meta.NewTime(now), ObservedGeneration: pod.Generation,
	})
}

func durationOf(pod *core.Pod, annotation string, fallback time.Duration) time.Duration {
	if d, err := time.ParseDuration(pod.Annotations[annotation]); err == nil {
		return d
	}
	return fallback
}

func podIP(uid string) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(uid))
	h := hash.Sum32()
	return fmt.Sprintf("10.%d.%d.%d", 210+h>>24%40, h>>16&0xff, h>>8&0xff)
}
