//go:build !small

package main

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	helmengine "helm.sh/helm/v4/pkg/engine"
	release "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

// helm is the engine for charts: what `helm template` makes of them, with the capabilities of the real target.
type helm struct{}

func (helm) run(files *fileSet, r *request, sink *errorSink) []text {
	options := r.Helm
	if options == nil {
		options = &helmOptions{}
	}
	h := &helmRun{files: files, r: r, sink: sink, options: options}
	root := h.loadChart(r.Path, 0)
	if root == nil || !h.isComplete(root) {
		return nil
	}
	h.root = root
	values, ok := h.values()
	if !ok {
		return nil
	}
	if err := chartutil.ProcessDependencies(root, values); err != nil {
		h.fail("chart dependencies cannot be processed: " + err.Error())
		return nil
	}
	caps, ok := h.capabilities(root, values)
	if !ok {
		return nil
	}
	top, err := util.ToRenderValues(root, values, common.ReleaseOptions{
		Name: h.releaseName(), Namespace: h.namespace(), Revision: 1, IsInstall: true,
	}, common.DefaultCapabilities)
	if err != nil {
		h.failValues(err)
		return nil
	}
	top["Capabilities"] = caps
	rendered, err := helmengine.Engine{CustomTemplateFuncs: helmFunctions(files)}.Render(root, top)
	if err != nil {
		h.failTemplate(err)
		return nil
	}
	for name, out := range rendered {
		if strings.HasSuffix(name, "NOTES.txt") {
			if name == path.Join(root.ChartFullPath(), "templates", "NOTES.txt") {
				r.notes = clipNotes(out)
			}
			delete(rendered, name)
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(rendered, nil, releaseutil.InstallOrder)
	if err != nil {
		h.failOutput(err)
		return nil
	}
	return h.texts(hooks, manifests)
}

// helmRun is one render of a chart.
type helmRun struct {
	files   *fileSet
	r       *request
	sink    *errorSink
	options *helmOptions
	root    *chart.Chart
}

func (h *helmRun) releaseName() string {
	if h.options.ReleaseName != "" {
		return h.options.ReleaseName
	}
	return "release-name"
}

func (h *helmRun) namespace() string {
	if h.r.DefaultNamespace != "" {
		return h.r.DefaultNamespace
	}
	return "default"
}

// texts gives what Helm would apply, and, where asked for, what it prints.
func (h *helmRun) texts(hooks []*release.Hook, manifests []releaseutil.Manifest) []text {
	var texts []text
	var raw bytes.Buffer
	if h.options.CRDs != "Skip" {
		for _, crd := range h.root.CRDObjects() {
			fmt.Fprintf(&raw, "---\n# Source: %s\n%s\n", crd.Filename, crd.File.Data)
			texts = append(texts, text{name: h.placeOf(crd.Filename), bytes: crd.File.Data, createOnly: h.options.CRDs != "CreateReplace"})
		}
	}
	for _, m := range manifests {
		fmt.Fprintf(&raw, "---\n# Source: %s\n%s\n", m.Name, m.Content)
		texts = append(texts, text{name: h.placeOf(m.Name), bytes: []byte(m.Content), rendered: true, laterKeysWin: true})
	}
	h.r.raw = strings.TrimSpace(raw.String()) + "\n"
	for _, hook := range hooks {
		h.r.raw += fmt.Sprintf("---\n# Source: %s\n%s\n", hook.Path, hook.Manifest)
		if facts := hookOf(hook, h.options.HookTimeoutSeconds); facts != nil {
			texts = append(texts, text{name: h.placeOf(hook.Path), bytes: []byte(hook.Manifest), rendered: true, laterKeysWin: true, hook: facts})
		}
	}
	return texts
}

// placeOf gives the file in the repository for a name as Helm knows it: <chart>/charts/<subchart>/templates/x.yaml.
func (h *helmRun) placeOf(name string) string {
	_, below, ok := strings.Cut(name, "/")
	if !ok {
		return path.Join(h.r.Path, "Chart.yaml")
	}
	inside := path.Join(h.r.Path, below)
	if _, ok := h.files.byPath[inside]; ok {
		return inside
	}
	parts := strings.Split(below, "/")
	if len(parts) > 2 && parts[0] == "charts" {
		for _, entry := range h.files.directories[path.Join(h.r.Path, "charts")] {
			if strings.HasPrefix(entry, parts[1]+"-") && strings.HasSuffix(entry, ".tgz") {
				return path.Join(h.r.Path, "charts", entry)
			}
		}
		if from, ok := h.localDependency(parts[1]); ok {
			return path.Join(from, path.Join(parts[2:]...))
		}
	}
	return path.Join(h.r.Path, "Chart.yaml")
}

func (h *helmRun) localDependency(name string) (string, bool) {
	if h.root == nil {
		return "", false
	}
	for _, d := range h.root.Metadata.Dependencies {
		if from, ok := strings.CutPrefix(d.Repository, "file://"); ok && d.Name == name {
			return path.Join(h.r.Path, from), true
		}
	}
	return "", false
}

var (
	hookEvents   = []string{"pre-install", "post-install", "pre-upgrade", "post-upgrade", "pre-delete", "post-delete"}
	hookPolicies = []string{"before-hook-creation", "hook-succeeded", "hook-failed"}
)

// defaultHookSeconds is Helm's own --timeout.
const defaultHookSeconds = 300

// hookOf gives nil for what never runs here: tests, and hooks of nothing but rollbacks.
func hookOf(h *release.Hook, timeoutSeconds int) *hookFacts {
	if timeoutSeconds <= 0 {
		timeoutSeconds = defaultHookSeconds
	}
	facts := &hookFacts{Weight: h.Weight, TimeoutSeconds: timeoutSeconds, DeletePolicies: []string{}, Events: []string{}}
	for _, event := range h.Events {
		name := string(event)
		if slices.Contains(hookEvents, name) && !slices.Contains(facts.Events, name) {
			facts.Events = append(facts.Events, name)
		}
	}
	if len(facts.Events) == 0 {
		return nil
	}
	for _, policy := range h.DeletePolicies {
		if name := string(policy); slices.Contains(hookPolicies, name) && !slices.Contains(facts.DeletePolicies, name) {
			facts.DeletePolicies = append(facts.DeletePolicies, name)
		}
	}
	if len(facts.DeletePolicies) == 0 {
		facts.DeletePolicies = append(facts.DeletePolicies, hookPolicies[0])
	}
	return facts
}

func clipNotes(notes string) string {
	const most = 16 << 10
	if len(notes) > most {
		return strings.ToValidUTF8(notes[:most], "") + "…"
	}
	return strings.ToValidUTF8(notes, "?")
}
