package main

import "strings"

// objectID names an object. Two objects are the same one when all but the version agree.
type objectID struct {
	Group     string `json:"group"`
	Version   string `json:"version"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String is how errors name an object: "Deployment.apps shop/web".
func (id objectID) String() string {
	kind := id.Kind
	if id.Group != "" {
		kind += "." + id.Group
	}
	name := id.Name
	if id.Namespace != "" {
		name = id.Namespace + "/" + name
	}
	return clip(kind + " " + name)
}

const (
	scopeNamespaced = "Namespaced"
	scopeCluster    = "Cluster"
	scopeUnknown    = "unknown"
)

// Stages, in the order in which the agent applies them (architecture.md, Applying).
const (
	stageCRDs       = "crds"
	stageNamespaces = "namespaces"
	stageConfig     = "config"
	stageWorkloads  = "workloads"
	stageRest       = "rest"
	stageWebhooks   = "webhooks"
)

var stageOrder = map[string]int{stageCRDs: 0, stageNamespaces: 1, stageConfig: 2, stageWorkloads: 3, stageRest: 4, stageWebhooks: 5}

type builtin struct {
	scope string
	stage string
}

// builtins are the kinds every cluster of a supported version serves: group/kind → scope and stage. A kind that is not
// here has its scope from a CustomResourceDefinition in the same bundle, or the agent's discovery.
var builtins = func() map[string]builtin {
	table := map[string]builtin{}
	add := func(scope, stage, group, kinds string) {
		for _, kind := range strings.Fields(kinds) {
			table[group+"/"+kind] = builtin{scope, stage}
		}
	}
	add(scopeCluster, stageNamespaces, "", "Namespace")
	add(scopeCluster, stageConfig, "", "PersistentVolume")
	add(scopeCluster, stageRest, "", "Node")
	add(scopeNamespaced, stageConfig, "", "ConfigMap Secret ServiceAccount LimitRange ResourceQuota PersistentVolumeClaim")
	add(scopeNamespaced, stageWorkloads, "", "Service Endpoints Pod PodTemplate ReplicationController")
	add(scopeNamespaced, stageRest, "", "Event")
	add(scopeNamespaced, stageWorkloads, "apps", "Deployment StatefulSet DaemonSet ReplicaSet ControllerRevision")
	add(scopeNamespaced, stageWorkloads, "batch", "Job CronJob")
	add(scopeNamespaced, stageWorkloads, "discovery.k8s.io", "EndpointSlice")
	add(scopeNamespaced, stageWorkloads, "policy", "PodDisruptionBudget")
	add(scopeNamespaced, stageConfig, "rbac.authorization.k8s.io", "Role RoleBinding")
	add(scopeCluster, stageConfig, "rbac.authorization.k8s.io", "ClusterRole ClusterRoleBinding")
	add(scopeNamespaced, stageRest, "autoscaling", "HorizontalPodAutoscaler")
	add(scopeNamespaced, stageConfig, "networking.k8s.io", "NetworkPolicy")
	add(scopeNamespaced, stageRest, "networking.k8s.io", "Ingress")
	add(scopeCluster, stageConfig, "networking.k8s.io", "IngressClass IPAddress ServiceCIDR")
	add(scopeCluster, stageConfig, "storage.k8s.io", "StorageClass CSIDriver CSINode VolumeAttributesClass VolumeAttachment")
	add(scopeNamespaced, stageConfig, "storage.k8s.io", "CSIStorageCapacity")
	add(scopeCluster, stageConfig, "scheduling.k8s.io", "PriorityClass")
	add(scopeCluster, stageConfig, "node.k8s.io", "RuntimeClass")
	add(scopeCluster, stageConfig, "flowcontrol.apiserver.k8s.io", "FlowSchema PriorityLevelConfiguration")
	add(scopeCluster, stageConfig, "resource.k8s.io", "DeviceClass ResourceSlice")
	add(scopeNamespaced, stageConfig, "resource.k8s.io", "ResourceClaim ResourceClaimTemplate")
	add(scopeNamespaced, stageRest, "coordination.k8s.io", "Lease")
	add(scopeNamespaced, stageRest, "events.k8s.io", "Event")
	add(scopeCluster, stageRest, "certificates.k8s.io", "CertificateSigningRequest ClusterTrustBundle")
	add(scopeCluster, stageRest, "apiregistration.k8s.io", "APIService")
	add(scopeCluster, stageCRDs, crdGroup, crdKind)
	add(scopeCluster, stageWebhooks, "admissionregistration.k8s.io", "ValidatingWebhookConfiguration MutatingWebhookConfiguration")
	add(scopeCluster, stageRest, "admissionregistration.k8s.io",
		"ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding MutatingAdmissionPolicy MutatingAdmissionPolicyBinding")
	return table
}()

const (
	crdGroup = "apiextensions.k8s.io"
	crdKind  = "CustomResourceDefinition"
)

// stageOf gives a kind's stage; custom resources come after the workloads that may serve them.
func stageOf(id objectID) string {
	if known, ok := builtins[id.Group+"/"+id.Kind]; ok {
		return known.stage
	}
	return stageRest
}

// scopesOf reads the scopes that the CRDs of a bundle give to kinds.
func scopesOf(objects []*object) map[string]string {
	scopes := map[string]string{}
	for _, o := range objects {
		if o.id.Group != crdGroup || o.id.Kind != crdKind {
			continue
		}
		spec, _ := o.value["spec"].(map[string]any)
		names, _ := spec["names"].(map[string]any)
		group, _ := spec["group"].(string)
		kind, _ := names["kind"].(string)
		if scope, _ := spec["scope"].(string); scope == scopeNamespaced || scope == scopeCluster {
			scopes[group+"/"+kind] = scope
		}
	}
	return scopes
}

func scopeOf(id objectID, declared map[string]string) string {
	key := id.Group + "/" + id.Kind
	if known, ok := builtins[key]; ok {
		return known.scope
	}
	if scope, ok := declared[key]; ok {
		return scope
	}
	return scopeUnknown
}
