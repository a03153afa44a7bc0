package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// request is what the child process hands in, next to the bytes of the files.
type request struct {
	// Engine is one of engines, or "auto": found from the files.
	Engine string `json:"engine"`
	// Path is the application's directory in the file set, "." for its root.
	Path      string            `json:"path"`
	Helm      *helmOptions      `json:"helm"`
	Kustomize *kustomizeOptions `json:"kustomize"`
	Remotes   []remote          `json:"remotes"`
	// Raw asks for what the engine itself prints, for comparing it with the real program.
	Raw              bool             `json:"raw"`
	Recurse          bool             `json:"recurse"`
	Substitute       bool             `json:"substitute"`
	Cluster          clusterVariables `json:"cluster"`
	DefaultNamespace string           `json:"defaultNamespace"`
	SensitiveKinds   []groupKind      `json:"sensitiveKinds"`
	HasRecipients    bool             `json:"hasRecipients"`
	Files            []fileHeader     `json:"files"`

	// What a render says besides its objects.
	raw   string
	notes string
	used  map[string]bool
}

type fileHeader struct {
	Path  string `json:"path"`
	Bytes int    `json:"bytes"`
}

// result precedes the bodies: for each object its canonical bytes and then, if it is sensitive, the redacted ones.
type result struct {
	Errors  []ruleError    `json:"errors"`
	Objects []objectHeader `json:"objects"`
	ReadSet readSet        `json:"readSet"`
	Engine  string         `json:"engine"`
	// Notes are a chart's NOTES.txt.
	Notes string `json:"notes"`
	Raw   string `json:"raw,omitempty"`
	// NeedsFull says that the small module has no such engine; nothing else in the result counts.
	NeedsFull bool `json:"needsFull,omitempty"`
}

type objectHeader struct {
	ID            objectID   `json:"id"`
	Scope         string     `json:"scope"`
	Stage         string     `json:"stage"`
	Wave          int        `json:"wave"`
	Source        source     `json:"source"`
	Sensitive     bool       `json:"sensitive"`
	BodyBytes     int        `json:"bodyBytes"`
	RedactedBytes int        `json:"redactedBytes"`
	Keep          bool       `json:"keep,omitempty"`
	CreateOnly    bool       `json:"createOnly,omitempty"`
	Hook          *hookFacts `json:"hook,omitempty"`
}

type source struct {
	File string `json:"file"`
	Line int    `json:"line"`
}

type readSet struct {
	Files     []string  `json:"files"`
	Listed    []listing `json:"listed"`
	Variables []string  `json:"variables"`
	// Clock says that an engine let the input read the time.
	Clock bool `json:"clock"`
	// HasSecrets says that the output depends on the recipients.
	HasSecrets bool `json:"hasSecrets"`
}

// render is the whole of it: a pure function of the request and the files (clock and randomness come from the host).
func render(r *request, files []file, at func(name string, line int)) (result, []*object) {
	sink := &errorSink{}
	set := newFileSet(files)
	r.used = map[string]bool{}
	if r.Path == "" {
		r.Path = "."
	}
	if r.Engine == "auto" {
		r.Engine = chooseEngine(set, r.Path)
	}
	if _, ok := engines[r.Engine]; !ok && (r.Engine == "helm" || r.Engine == "kustomize") {
		return result{Objects: []objectHeader{}, Engine: r.Engine, NeedsFull: true}, nil
	}
	objects := collect(r, set, sink, at)
	if sink.count() == 0 {
		objects = finish(r, objects, sink)
	}
	if sink.count() > 0 {
		objects = nil
	}
	out := result{Errors: sink.all(), Objects: make([]objectHeader, 0, len(objects)), Engine: r.Engine, Notes: r.notes}
	if r.Raw {
		out.Raw = r.raw
	}
	out.ReadSet = readSet{Files: sortedKeys(set.read), Listed: set.listed, Variables: sortedKeys(r.used), Clock: set.clock}
	for _, o := range objects {
		out.ReadSet.HasSecrets = out.ReadSet.HasSecrets || o.sensitive
		out.Objects = append(out.Objects, objectHeader{
			ID: o.id, Scope: o.scope, Stage: o.stage, Wave: o.wave, Source: source{o.file, o.line},
			Sensitive: o.sensitive, BodyBytes: len(o.body), RedactedBytes: len(o.redacted),
			Keep: o.keep, CreateOnly: o.createOnly, Hook: o.hook,
		})
	}
	return out, objects
}

// collect parses and identifies every object, one after another.
func collect(r *request, set *fileSet, sink *errorSink, at func(name string, line int)) []*object {
	chosen, ok := engines[r.Engine]
	if !ok {
		sink.add(ruleError{Code: codeRequest, Rule: "request-form", Message: "there is no engine " + quote(r.Engine)})
		return nil
	}
	p := &parser{sink: sink, used: r.used, at: at}
	if r.Substitute {
		p.cluster = &r.Cluster
	}
	at(r.Path, 1)
	var objects []*object
	for _, t := range chosen.run(set, r, sink) {
		before := len(sink.errors)
		objects = appendObjects(objects, t, p)
		if t.rendered {
			placeRendered(sink.errors[before:], t)
		}
		if len(objects) > maxObjects {
			sink.add(ruleError{Code: codeLimit, Rule: "object-count", File: t.name, Limit: maxObjects,
				Message: fmt.Sprintf("more than %d objects; split the application", maxObjects)})
			return nil
		}
	}
	return objects
}

func appendObjects(objects []*object, t text, p *parser) []*object {
	for _, d := range p.parse(t) {
		start := &object{value: d.value, node: d.node, file: d.file, line: d.node.Line, text: &t}
		for _, o := range flatten(p.sink, start, 0, nil) {
			o.hook, o.createOnly, o.text = t.hook, t.createOnly, &t
			if identify(p.sink, o) {
				checkMetadata(p.sink, o)
				o.keep = isKept(o)
				if t.rendered {
					o.line = max(t.line, 1)
				}
				objects = append(objects, o)
			}
		}
	}
	return objects
}

// placeRendered turns lines of a rendered text, which nobody can go to, into words.
func placeRendered(errors []ruleError, t text) {
	for i := range errors {
		if errors[i].File != t.name || strings.HasSuffix(errors[i].Message, outputSuffix) {
			continue
		}
		if errors[i].Line > 0 {
			errors[i].Message += fmt.Sprintf(" (line %d%s", errors[i].Line, outputSuffix)
		}
		errors[i].Line = max(t.line, 1)
	}
}

const outputSuffix = " of the output)"

// isKept says whether a chart or a person asked never to have the object deleted.
func isKept(o *object) bool {
	metadata, _ := o.value["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	policy, _ := annotations["helm.sh/resource-policy"].(string)
	return strings.ToLower(strings.TrimSpace(policy)) == "keep"
}

// finish gives every object its scope, namespace, stage and bytes, and orders the bundle.
func finish(r *request, objects []*object, sink *errorSink) []*object {
	declared := scopesOf(objects)
	total := 0
	for _, o := range objects {
		o.scope = scopeOf(o.id, declared)
		place(r, o)
		o.stage = stageOf(o.id)
		o.sensitive = isSensitive(r, o.id)
		switch {
		case isSecret(o.id):
			foldSecret(sink, o)
		case o.id.Group == "" && o.id.Kind == "ConfigMap":
			checkConfigMap(sink, o)
		}
		if o.sensitive && !r.HasRecipients {
			o.failWith(sink, ruleError{Code: codeNoRecipient, Rule: "no-recipient",
				Message: "the object is secret and no cluster has registered a sealing key to receive it; enrol the cluster first"})
			continue
		}
		encode(o, sink)
		if total += len(o.body) + len(o.redacted); total > maxOutputBytes {
			o.failWith(sink, ruleError{Code: codeLimit, Rule: "output-size", Limit: maxOutputBytes,
				Message: fmt.Sprintf("all objects together are longer than %d bytes; split the application", maxOutputBytes)})
			return nil
		}
		o.value = nil
	}
	refuseDuplicates(objects, sink)
	slices.SortFunc(objects, compareObjects)
	return objects
}

// place settles the namespace as the API server would: none on a cluster-scoped object, the default on a namespaced one
// that names none. What is neither stays as written, for the agent to settle after discovery.
func place(r *request, o *object) {
	metadata := o.value["metadata"].(map[string]any)
	switch {
	case o.scope == scopeCluster:
		delete(metadata, "namespace")
		o.id.Namespace = ""
	case o.scope == scopeNamespaced && o.id.Namespace == "" && r.DefaultNamespace != "":
		metadata["namespace"] = r.DefaultNamespace
		o.id.Namespace = r.DefaultNamespace
	case o.id.Namespace == "":
		delete(metadata, "namespace")
	}
}

func isSensitive(r *request, id objectID) bool {
	return isSecret(id) || slices.Contains(r.SensitiveKinds, groupKind{id.Group, id.Kind})
}

func encode(o *object, sink *errorSink) {
	if o.sensitive {
		dropLastApplied(o.value["metadata"].(map[string]any))
	}
	o.body = appendCanonical(nil, o.value, maxObjectBytes)
	if len(o.body) > maxObjectBytes {
		o.failWith(sink, ruleError{Code: codeLimit, Rule: "object-size", Limit: maxObjectBytes,
			Message: fmt.Sprintf("the object is longer than %d bytes; the API server's store refuses it", maxObjectBytes)})
		o.body = nil
		return
	}
	if o.sensitive {
		o.redacted = appendCanonical(nil, redact(o), maxObjectBytes)
	}
}

func refuseDuplicates(objects []*object, sink *errorSink) {
	seen := make(map[objectID]*object, len(objects))
	for _, o := range objects {
		if o.hook != nil {
			// Hooks may share an object with each other and with the bundle: they run at other times.
			continue
		}
		key := o.id
		key.Version = ""
		first, twice := seen[key]
		if !twice {
			seen[key] = o
			continue
		}
		o.failWith(sink, ruleError{Rule: "duplicate-object",
			Message: fmt.Sprintf("the same object is in %s, line %d; keep one", clip(first.file), first.line)})
	}
}

// compareObjects puts the bundle in the order of its application, and hooks after it, in the order of weight and name.
func compareObjects(a, b *object) int {
	if a.hook != nil || b.hook != nil {
		if a.hook == nil || b.hook == nil {
			return cmp.Compare(boolOrder(a.hook != nil), boolOrder(b.hook != nil))
		}
		return cmp.Or(
			cmp.Compare(a.hook.Weight, b.hook.Weight),
			strings.Compare(a.id.Name, b.id.Name),
			strings.Compare(a.id.Group, b.id.Group),
			strings.Compare(a.id.Kind, b.id.Kind),
			strings.Compare(a.id.Namespace, b.id.Namespace),
			slices.Compare(a.hook.Events, b.hook.Events),
			// Those whose name is generated have none.
			bytes.Compare(a.body, b.body),
		)
	}
	return cmp.Or(
		cmp.Compare(stageOrder[a.stage], stageOrder[b.stage]),
		cmp.Compare(a.wave, b.wave),
		strings.Compare(a.id.Group, b.id.Group),
		strings.Compare(a.id.Kind, b.id.Kind),
		strings.Compare(a.id.Namespace, b.id.Namespace),
		strings.Compare(a.id.Name, b.id.Name),
	)
}

func boolOrder(is bool) int {
	if is {
		return 1
	}
	return 0
}
