//go:build !small

package main

import (
	"encoding/json"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/krusty"
)

// kustomize is the engine for kustomizations: what `kustomize build` makes of them, without plugins and charts.
type kustomize struct{}

// reserved holds what is not in the repository: fetched content, and the overlay of the options.
const reserved = ".fairlead"

func (kustomize) run(files *fileSet, r *request, sink *errorSink) []text {
	view := &kustomizeFiles{files: files, made: map[string][]byte{}, remotes: map[string]string{}}
	for _, one := range r.Remotes {
		view.remotes[one.Entry] = one.Directory
	}
	target := r.Path
	if overlay, err := r.Kustomize.overlay(r); err != nil {
		sink.add(ruleError{Code: codeRequest, Rule: "request-form", Message: "the options of kustomize cannot be used: " + clip(err.Error())})
		return nil
	} else if overlay != nil {
		target = reserved + "/overlay"
		view.made[target+"/kustomization.yaml"] = overlay
	}
	options := krusty.MakeDefaultOptions()
	// What the command does where the kustomization has no sortOptions.
	options.Reorder = krusty.ReorderOptionLegacy
	found, err := krusty.MakeKustomizer(options).Run(view, "/"+target)
	if err != nil {
		sink.add(kustomizeError(view, r, err))
		return nil
	}
	for _, name := range view.loaded {
		content, _ := view.content(name)
		if e, encrypted := encryptedFile(name, content); encrypted {
			sink.add(e)
			return nil
		}
	}
	if r.Raw {
		whole, _ := found.AsYaml()
		r.raw = string(whole)
	}
	origins := originsOf(view)
	texts := make([]text, 0, found.Size())
	for _, resource := range found.Resources() {
		out, err := resource.AsYAML()
		if err != nil {
			sink.add(kustomizeError(view, r, err))
			return nil
		}
		name, line := origins.find(resource.GetKind(), resource.GetName())
		if name == "" {
			name, line = kustomizationOf(view, r.Path), 1
		}
		texts = append(texts, text{name: name, bytes: out, rendered: true, line: line})
	}
	return texts
}

// overlay is a kustomization of the options around the application's; nil when there are none.
func (o *kustomizeOptions) overlay(r *request) ([]byte, error) {
	if o == nil {
		return nil, nil
	}
	up := "../../" + r.Path
	around := map[string]any{}
	set := func(key string, raw json.RawMessage) error {
		if len(raw) == 0 || string(raw) == "null" {
			return nil
		}
		var value any
		err := json.Unmarshal(raw, &value)
		around[key] = value
		return err
	}
	for key, raw := range map[string]json.RawMessage{"images": o.Images, "patches": o.Patches} {
		if err := set(key, raw); err != nil {
			return nil, err
		}
	}
	if len(o.Labels) > 0 && string(o.Labels) != "null" {
		var pairs map[string]any
		if err := json.Unmarshal(o.Labels, &pairs); err != nil {
			return nil, err
		}
		around["labels"] = []any{map[string]any{"pairs": pairs}}
	}
	for key, value := range map[string]string{"namePrefix": o.NamePrefix, "nameSuffix": o.NameSuffix, "namespace": o.Namespace} {
		if value != "" {
			around[key] = value
		}
	}
	if len(o.Components) > 0 {
		components := make([]any, 0, len(o.Components))
		for _, one := range o.Components {
			components = append(components, path.Join(up, one))
		}
		around["components"] = components
	}
	if len(around) == 0 {
		return nil, nil
	}
	around["resources"] = []any{path.Clean(up)}
	return yaml.Marshal(around)
}

func kustomizationOf(view *kustomizeFiles, directory string) string {
	for _, name := range kustomizationNames {
		if _, ok := view.files.byPath[path.Join(directory, name)]; ok {
			return path.Join(directory, name)
		}
	}
	return path.Join(directory, "kustomization.yaml")
}

// withFetched replaces the entries of a kustomization that were fetched by the directories they were fetched to.
func withFetched(content []byte, directory string, remotes map[string]string) []byte {
	var root yaml.Node
	if yaml.Unmarshal(content, &root) != nil || len(root.Content) != 1 || root.Content[0].Kind != yaml.MappingNode {
		return content
	}
	changed := false
	fields := root.Content[0].Content
	for i := 0; i+1 < len(fields); i += 2 {
		switch fields[i].Value {
		case "resources", "bases", "components":
			for _, entry := range fields[i+1].Content {
				if to, ok := remotes[entry.Value]; ok {
					entry.Value = relativeTo(directory, to)
					changed = true
				}
			}
		}
	}
	if !changed {
		return content
	}
	if out, err := yaml.Marshal(&root); err == nil {
		return out
	}
	return content
}

func relativeTo(from, to string) string {
	if way, err := filepath.Rel("/"+from, "/"+to); err == nil {
		return way
	}
	return to
}

var (
	// Kustomize prints the configuration of a failing plugin, which may hold literals of a Secret.
	configDump = regexp.MustCompile("(?s) with config: `.*?`")
	// It prints whole objects too.
	objectDump = regexp.MustCompile(`(?s)\{"?(apiVersion|kind|metadata|data|stringData)"?:.*\}|\n(apiVersion|data|stringData|kind|metadata):.*`)
	// And literals, as they are written.
	literals  = regexp.MustCompile(`(?s)literal sources \[.*?\]: |(invalid literal source) .*?(, expected)`)
	yamlLine  = regexp.MustCompile(`(?:yaml: )?line (\d+):`)
	absolute  = regexp.MustCompile(`'/([^']*)'|"/([^"]*)"|(^|[\s:])/([\w.~-][^\s':"]*)`)
	loadError = regexp.MustCompile(`accumulating resources from '([^']+)'`)
)

// kustomizeError says in one sentence what Kustomize says in a chain of them, with paths as the repository has them.
func kustomizeError(view *kustomizeFiles, r *request, err error) ruleError {
	message := objectDump.ReplaceAllString(configDump.ReplaceAllString(err.Error(), ""), " …")
	message = literals.ReplaceAllString(message, "$1$2")
	e := ruleError{Code: codeInvalid, Rule: "kustomize", File: kustomizationOf(view, r.Path), Line: 1}
	switch {
	case strings.Contains(message, "must specify --enable-helm"):
		e.Rule, e.Code = "helm-charts", codeEngine
		message = "helmCharts in a kustomization are not inflated; deliver the chart as an application of its own, or commit what it renders"
	case strings.Contains(message, "external plugins disabled") || strings.Contains(message, "failed to start starlark") ||
		strings.Contains(message, "alpha exec") || strings.Contains(message, "unable to load plugin") || strings.Contains(message, "plugins disabled"):
		e.Rule, e.Code = "plugin", codeEngine
		message = "a generator, transformer or validator is a plugin or a container; only those built into Kustomize run here"
	case strings.Contains(message, "git") && (strings.Contains(message, "not supported") || strings.Contains(message, "executable file not found") || strings.Contains(message, "no 'git' program")):
		e.Rule, e.Code = "remote", codeEngine
		message = "a remote base was not fetched" + about(message)
	case strings.Contains(message, "security; file"):
		message = "a file lies outside of its kustomization's directory; move it below, or make it a base: " + clipTo(message, 300)
	default:
		if at := yamlLine.FindStringSubmatch(message); at != nil {
			e.Line, _ = strconv.Atoi(at[1])
		}
	}
	if n := len(view.loaded); n > 0 && e.Line > 1 {
		e.File = view.loaded[n-1]
	}
	message = strings.ReplaceAll(message, " "+reserved+"/overlay", " the options of render.kustomize")
	e.Message = clipTo(absolute.ReplaceAllStringFunc(message, func(found string) string { return strings.Replace(found, "/", "", 1) }), 600)
	return e
}

func about(message string) string {
	if found := loadError.FindStringSubmatch(message); found != nil {
		return ": " + clip(found[1])
	}
	return ""
}

// clipTo makes a text of a library printable: one line, no control characters, at most so many bytes.
func clipTo(message string, most int) string {
	flat := strings.Join(strings.Fields(message), " ")
	if len(flat) > most {
		flat = strings.ToValidUTF8(flat[:most], "") + "…"
	}
	quoted := strconv.Quote(flat)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}

// origins are the objects in the files that a kustomization read, by kind.
type origins map[string][]origin

type origin struct {
	name string
	file string
	line int
}

var (
	firstLine = regexp.MustCompile(`(?m)^[A-Za-z]`)
	topKind   = regexp.MustCompile(`(?m)^kind:\s*["']?([A-Za-z0-9]+)`)
	topName   = regexp.MustCompile(`(?m)^  name:\s*["']?([^\s"'#]+)|^metadata:\s*\{.*?\bname:\s*["']?([^\s"'#,}]+)`)
)

// originsOf looks through the files for objects, roughly: it serves messages, nothing else.
func originsOf(view *kustomizeFiles) origins {
	out := origins{}
	for _, name := range view.loaded {
		content, _ := view.content(name)
		if len(content) > maxDocumentBytes || otherEngines[path.Base(name)] != "" {
			continue
		}
		line := 1
		for document := range strings.SplitSeq(string(content), "\n---") {
			kind, named := topKind.FindStringSubmatch(document), topName.FindStringSubmatch(document)
			if kind != nil && named != nil {
				start := firstLine.FindStringIndex(document)
				own := line + strings.Count(document[:start[0]], "\n")
				out[kind[1]] = append(out[kind[1]], origin{named[1] + named[2], name, own})
			}
			line += strings.Count(document, "\n") + 1
		}
	}
	return out
}

// find gives the object of that kind whose name the final one is, or holds; the longest wins.
func (o origins) find(kind, name string) (string, int) {
	best := origin{}
	for _, one := range o[kind] {
		if one.name == name {
			return one.file, one.line
		}
		if strings.Contains(name, one.name) && len(one.name) > len(best.name) {
			best = one
		}
	}
	return best.file, best.line
}
