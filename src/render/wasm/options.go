package main

import "encoding/json"

type helmOptions struct {
	ReleaseName string `json:"releaseName"`
	// ValueFiles are paths in the repository, in the order in which they are merged.
	ValueFiles              []string        `json:"valueFiles"`
	IgnoreMissingValueFiles bool            `json:"ignoreMissingValueFiles"`
	Values                  json.RawMessage `json:"values"`
	// CRDs says what becomes of a chart's crds/: Skip, Create or CreateReplace.
	CRDs string `json:"crds"`
	// HookTimeoutSeconds is how long each hook may take; 0 stands for Helm's own --timeout.
	HookTimeoutSeconds int `json:"hookTimeoutSeconds"`
}

// kustomizeOptions are added around the application's own kustomization, as another overlay would.
type kustomizeOptions struct {
	NamePrefix string          `json:"namePrefix"`
	NameSuffix string          `json:"nameSuffix"`
	Namespace  string          `json:"namespace"`
	Labels     json.RawMessage `json:"labels"`
	Images     json.RawMessage `json:"images"`
	Components []string        `json:"components"`
	Patches    json.RawMessage `json:"patches"`
}

// remote is something fetched before: an entry of a kustomization, and the directory in the file set that holds it.
type remote struct {
	Entry     string `json:"entry"`
	Directory string `json:"directory"`
}

// hookFacts are what the agent needs to run a hook.
type hookFacts struct {
	Events         []string `json:"events"`
	Weight         int      `json:"weight"`
	DeletePolicies []string `json:"deletePolicies"`
	TimeoutSeconds int      `json:"timeoutSeconds"`
}
