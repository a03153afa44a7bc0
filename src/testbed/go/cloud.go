package main

import (
	"context"
	"time"

	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	provisioner        = "testbed.fairlead.dev/simulated"
	storageClass       = "simulated"
	annotationOwner    = "pv.kubernetes.io/provisioned-by"
	annotationDefault  = "storageclass.kubernetes.io/is-default-class"
	loadBalancerPrefix = "load-balancer/"
)

// runCloud plays the cloud around the nodes, as far as workloads wait for it: claims of the default storage class get a
// volume, Services of type LoadBalancer an address.
func runCloud(ctx context.Context, client kubernetes.Interface) {
	for {
		_, err := client.StorageV1().StorageClasses().Create(ctx, newStorageClass(), meta.CreateOptions{})
		if err == nil || apierrors.IsAlreadyExists(err) {
			break
		}
		time.Sleep(250 * time.Millisecond)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	claims := factory.Core().V1().PersistentVolumeClaims()
	volumes := factory.Core().V1().PersistentVolumes()
	services := factory.Core().V1().Services()
	reconcilers := []struct {
		informer  cache.SharedIndexInformer
		reconcile func(object any) error
	}{
		{claims.Informer(), func(object any) error {
			claim := object.(*core.PersistentVolumeClaim)
			if claim.Status.Phase != core.ClaimPending || claim.DeletionTimestamp != nil || claim.Spec.VolumeName != "" ||
				claim.Spec.StorageClassName == nil || *claim.Spec.StorageClassName != storageClass {
				return nil
			}
			_, err := client.CoreV1().PersistentVolumes().Create(ctx, newVolume(claim), meta.CreateOptions{})
			return err
		}},
		{volumes.Informer(), func(object any) error {
			volume := object.(*core.PersistentVolume)
			if volume.Annotations[annotationOwner] != provisioner || volume.Status.Phase != core.VolumeReleased {
				return nil
			}
			return client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{})
		}},
		{services.Informer(), func(object any) error {
			service := object.(*core.Service)
			if service.Spec.Type != core.ServiceTypeLoadBalancer || len(service.Status.LoadBalancer.Ingress) > 0 {
				return nil
			}
			service = service.DeepCopy()
			service.Status.LoadBalancer.Ingress = []core.LoadBalancerIngress{{IP: podIP(loadBalancerPrefix + string(service.UID))}}
			_, err := client.CoreV1().Services(service.Namespace).UpdateStatus(ctx, service, meta.UpdateOptions{})
			return err
		}},
	}
	for _, one := range reconcilers {
		runQueue(one.informer, one.reconcile)
	}
	factory.Start(ctx.Done())
}

// runQueue calls reconcile with each object that appears or changes, one at a time, again with back-off when it failed.
func runQueue(informer cache.SharedIndexInformer, reconcile func(object any) error) {
	queue := workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](20*time.Millisecond, 2*time.Second))
	enqueue := func(object any) {
		if key, err := cache.MetaNamespaceKeyFunc(object); err == nil {
			queue.Add(key)
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, updated any) { enqueue(updated) },
	})
	if err != nil {
		fail("simulated-nodes: %v", err)
	}
	go func() {
		for {
			key, shutdown := queue.Get()
			if shutdown {
				return
			}
			object, exists, err := informer.GetIndexer().GetByKey(key)
			if err == nil && exists {
				err = reconcile(object)
			}
			if err == nil || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) {
				queue.Forget(key)
			} else {
				if !apierrors.IsConflict(err) {
					klog.Warningf("%s: %v", key, err)
				}
				queue.AddRateLimited(key)
			}
			queue.Done(key)
		}
	}()
}

func newStorageClass() *storage.StorageClass {
	return &storage.StorageClass{
		ObjectMeta:  meta.ObjectMeta{Name: storageClass, Annotations: map[string]string{annotationDefault: "true"}},
		Provisioner: provisioner,
	}
}

func newVolume(claim *core.PersistentVolumeClaim) *core.PersistentVolume {
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{
			Name:        "pvc-" + string(claim.UID),
			Annotations: map[string]string{annotationOwner: provisioner},
		},
		Spec: core.PersistentVolumeSpec{
			StorageClassName:              storageClass,
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    claim.Spec.VolumeMode,
			Capacity:                      core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			PersistentVolumeReclaimPolicy: core.PersistentVolumeReclaimDelete,
			PersistentVolumeSource: core.PersistentVolumeSource{
				HostPath: &core.HostPathVolumeSource{Path: "/simulated/" + string(claim.UID)},
			},
			ClaimRef: &core.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
		},
	}
}
